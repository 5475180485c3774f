/**
 * Injects faults between a reactor and its ground, real or simulated.
 *
 * Theory of operation. A selector reports readiness once. A reactor takes it as used up when a call would block or
 * moves fewer bytes than asked. After a fault with that effect, the descriptor is still ready, but the kernel will not
 * report it again, because it knows nothing of the fault. So the injector reports the readiness itself, in the next
 * turn or after the delay of the fault.
 */

import { constants } from 'node:os';

import { checkArgument, func } from '../../core/options.ts';
import type { Ground } from '../ground.ts';
import { READABLE, WRITABLE } from '../handle.ts';
import type { Handle } from '../handle.ts';
import type { Batch, Selector } from '../selector.ts';
import { passOn } from '../system-calls.ts';
import type { SystemCalls } from '../system-calls.ts';
import { faultRule, PASS } from './fault.ts';
import type { Fault, FaultErrno, FaultRule, FaultyCall } from './fault.ts';

/** Injects faults by a rule, and counts those that had an effect. */
export class FaultInjector {
  /**
   * How often each kind of fault happened. A fault without an effect does not count, such as a short read when no more
   * bytes were there.
   */
  readonly happened = new Map<Fault['kind'], number>();
  readonly #rule: FaultRule;
  readonly #indexes = new Map<FaultyCall, number>();

  /** @throws {TypeError} when `rule` is not a function. Its results are checked at each call. */
  constructor(rule: FaultRule) {
    checkArgument('new FaultInjector', 'the rule', rule, func);
    this.#rule = rule;
  }

  /** How many faults happened in total. */
  get total(): number {
    return [...this.happened.values()].reduce((sum, count) => sum + count, 0);
  }

  /** @returns `ground` with faults. One injector may wrap several grounds; they share the rule and the counts. */
  wrap(ground: Ground): Ground {
    const selector = new InsistentSelector(ground.selector);
    const later = (ms: number, task: () => void): void => {
      if (ms <= 0) task();
      else ground.wakeAt(ground.clock.now() + ms, task);
    };
    return { ...ground, selector, calls: this.#faulty(ground.calls, selector, later) };
  }

  #faulty(calls: SystemCalls, selector: InsistentSelector, later: (ms: number, task: () => void) => void): SystemCalls {
    /** The permanent faults, by descriptor. */
    const lasting = new Map<number, 'reset' | 'end' | 'hold'>();
    /**
     * Descriptors on which a send has failed because the peer is gone. All data of the peer have arrived by then, so
     * faults must no longer make a read wait.
     */
    const broken = new Set<number>();

    const act = (call: 'recv' | 'send', fd: number, bytes: Uint8Array): number => {
      const count = calls[call](fd, bytes);
      if (call === 'send' && (count === -EPIPE || count === -ECONNRESET)) broken.add(fd);
      return count;
    };

    /** Calls `recv` or `send` with the fault that the rule chooses. */
    const move = (call: 'recv' | 'send', fd: number, bytes: Uint8Array): number => {
      const ready = call === 'recv' ? READABLE : WRITABLE;
      const chosen = lasting.has(fd)
        ? { kind: lasting.get(fd) as 'reset' | 'end' | 'hold' }
        : this.#choose(call, fd, bytes.length);
      const fault = call === 'recv' && broken.has(fd) && holdsBack(chosen) ? PASS : chosen;
      switch (fault.kind) {
        case 'pass':
          return act(call, fd, bytes);
        case 'delay':
          this.#count(fault);
          later(fault.ms, selector.reminder(fd, ready));
          return -EAGAIN;
        case 'short': {
          const count = act(call, fd, bytes.subarray(0, Math.max(1, fault.bytes)));
          if (count < bytes.length && count === Math.max(1, fault.bytes)) {
            this.#count(fault);
            selector.again(fd, ready);
          }
          return count;
        }
        case 'zero':
          this.#count(fault);
          if (call === 'send') return 0;
          selector.again(fd, ready);
          return -EAGAIN;
        case 'errno':
          this.#count(fault);
          if (fault.code === 'EAGAIN') selector.again(fd, ready);
          return -constants.errno[fault.code];
        case 'reset':
          if (!lasting.has(fd)) this.#makeLasting(lasting, fd, fault);
          calls.setOption(fd, 'linger', 0);
          return -ECONNRESET;
        case 'end':
          if (!lasting.has(fd)) this.#makeLasting(lasting, fd, fault);
          return call === 'recv' ? 0 : -EPIPE;
        case 'hold':
          if (!lasting.has(fd)) this.#makeLasting(lasting, fd, fault);
          return -EAGAIN;
      }
    };

    /**
     * Fails with the fault that the rule chooses, or makes the call.
     * @param stage performs the side effects of the fault, if it has any, and returns the result.
     */
    const attempt = (
      call: FaultyCall,
      fd: number,
      make: () => number,
      stage: (errno: FaultErrno) => number | undefined = () => undefined,
    ): number => {
      const fault = this.#choose(call, fd, 0);
      if (fault.kind !== 'errno') return make();
      this.#count(fault);
      if (fault.code === 'EAGAIN') selector.again(fd, READABLE);
      return stage(fault.code) ?? -constants.errno[fault.code];
    };

    return {
      ...passOn(calls),
      socket: (family) => attempt('socket', -1, () => calls.socket(family)),
      accept: (fd, peer) => attempt('accept', fd, () => calls.accept(fd, peer)),
      connect: (fd, address) =>
        attempt(
          'connect',
          fd,
          () => calls.connect(fd, address),
          (errno) => {
            if (errno !== 'EINTR') return undefined;
            // The kernel continues a connect that a signal has interrupted.
            const result = calls.connect(fd, address);
            return result === 0 || result === -constants.errno.EINPROGRESS ? -constants.errno.EINTR : result;
          },
        ),
      recv: (fd, into) => move('recv', fd, into),
      send: (fd, from) => move('send', fd, from),
      close: (fd) => {
        lasting.delete(fd);
        broken.delete(fd);
        return calls.close(fd);
      },
    };
  }

  #choose(call: FaultyCall, fd: number, bytes: number): Fault {
    const index = this.#indexes.get(call) ?? 0;
    this.#indexes.set(call, index + 1);
    const fault = this.#rule({ call, fd, index, bytes });
    if (fault !== PASS) checkArgument('FaultInjector', 'the result of the rule', fault, faultRule);
    return fault;
  }

  #makeLasting(lasting: Map<number, string>, fd: number, fault: Fault): void {
    lasting.set(fd, fault.kind);
    this.#count(fault);
  }

  #count({ kind }: Fault): void {
    this.happened.set(kind, (this.happened.get(kind) ?? 0) + 1);
  }
}

/** Whether a read with this fault reports that no data are there yet. */
function holdsBack(fault: Fault): boolean {
  return fault.kind === 'delay' || fault.kind === 'zero' || (fault.kind === 'errno' && fault.code === 'EAGAIN');
}

/** A selector that can also report readiness again. */
class InsistentSelector implements Selector {
  readonly #selector: Selector;
  readonly #handles = new Map<number, Handle>();
  readonly #again = new Map<Handle, number>();
  #wake: () => void = () => undefined;

  constructor(selector: Selector) {
    this.#selector = selector;
  }

  /** Reports in the next turn that `fd` is ready. */
  again(fd: number, readiness: number): void {
    this.reminder(fd, readiness)();
  }

  /**
   * @returns a function that reports in the next turn that `fd` is ready. If `fd` has a new owner by then, it reports
   * nothing.
   */
  reminder(fd: number, readiness: number): () => void {
    const handle = this.#handles.get(fd);
    return () => {
      if (handle === undefined || this.#handles.get(fd) !== handle) return;
      this.#again.set(handle, (this.#again.get(handle) ?? 0) | readiness);
      this.#wake();
    };
  }

  register(handle: Handle): void {
    this.#handles.set(handle.fd, handle);
    this.#selector.register(handle);
  }

  deregister(handle: Handle): void {
    if (this.#handles.get(handle.fd) === handle) this.#handles.delete(handle.fd);
    this.#again.delete(handle);
    this.#selector.deregister(handle);
  }

  poll(batch: Batch): void {
    this.#selector.poll(batch);
    for (const [handle, readiness] of this.#again) {
      handle.readiness |= readiness;
      batch.add(handle);
    }
    this.#again.clear();
  }

  onReady(wake: () => void): void {
    this.#wake = wake;
    this.#selector.onReady(wake);
  }

  setRef(ref: boolean): void {
    this.#selector.setRef(ref);
  }

  close(): void {
    this.#again.clear();
    this.#selector.close();
  }
}

const { EAGAIN, ECONNRESET, EPIPE } = constants.errno;
