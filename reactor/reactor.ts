/**
 * The select-style loop.
 *
 * Theory of operation. A turn is: ask the selector for news, dispatch the handles that have any (each once), resume the
 * selects that waited for one of them, expire deadlines. It runs when the selector wakes the reactor, when the timer
 * for the next deadline fires, or in the next iteration of the event loop while a handle was left ready. Asking first,
 * even when only a deadline is due, lets data that came while the loop was busy win over it. What handlers throw ends
 * neither the turn nor the loop; promises that they settle go on after the batch and before the next turn, because a
 * turn is one macrotask.
 */

import { setMaxListeners } from 'node:events';

import { EventEmitter } from 'eventemitter3';

import { Deadline, Deadlines } from '../core/deadlines.ts';
import { ClosedError } from '../core/errors.ts';
import type { OperationName } from '../core/errors.ts';
import { Operation } from '../core/operation.ts';
import type { OperationOptions, Step, Venue } from '../core/operation.ts';
import { checkArgument, checkOptions, milliseconds } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import { limit } from '../core/timeouts.ts';
import type { TimeoutMode } from '../core/timeouts.ts';
import type { Want } from '../core/want.ts';
import { checkTarget, isPath, numericAddress } from './addresses/address.ts';
import type { Address } from './addresses/address.ts';
import { CONNECT_RULES, CONNECT_SECURE_RULES, ConnectStep } from './connecting/connect.ts';
import type { ConnectOptions, ConnectSecureOptions } from './connecting/connect.ts';
import type { Connection } from './connections/connection.ts';
import { epollGround } from './epoll/epoll-ground.ts';
import { GROUND_RULES } from './ground.ts';
import type { Ground } from './ground.ts';
import { surface } from './guarded.ts';
import type { Handle } from './handle.ts';
import { hostName, lookUpName } from './addresses/host-name.ts';
import { Linger } from './connections/linger.ts';
import { LISTEN_RULES, Listener } from './listening/listener.ts';
import type { ListenOptions } from './listening/listener.ts';
import { ReadyQueue } from './ready-queue.ts';
import { SELECT_RULES, SELECTION_RULES, SelectStep } from './select.ts';
import type { Selectable, Selected, Selection, SelectOptions } from './select.ts';
import { SleepStep } from './sleep.ts';

/** What a reactor tells. */
export interface ReactorEvents {
  /** A handle was told to be ready 64 times while nobody did any input or output on it. */
  spin: (connection: Connection) => void;
}

/** How a reactor ends. */
export interface CloseOptions {
  /** How long running work may take to end, in milliseconds; 10 seconds by default. What is left then is aborted. */
  readonly timeoutMs?: number | undefined;
}

export const CLOSE_RULES = { timeoutMs: milliseconds } satisfies Rules<CloseOptions>;

/** The work of an operation that belongs to no connection: it wakes the operation by itself. @internal */
export interface ReactorStep<T> extends Step<T> {
  runsIn(operation: Operation<unknown>): void;
}

/** One running operation, as it was when it was asked for. */
export interface OperationSnapshot {
  readonly name: OperationName;
  /** What it waits for; `null` when it has its turn or is about to. */
  readonly want: Want | null;
  /** The moment when the present wait began, in the reactor's milliseconds. */
  readonly sinceMs: number;
  /** What is left of the limit that will end the wait; `null` without one. */
  readonly remaining: { readonly ms: number; readonly mode: TimeoutMode } | null;
  /** The peer's address, where there is one. */
  readonly peer: Address | undefined;
}

/**
 * One event loop over non-blocking descriptors, inside of Node's. It keeps the process alive while it has anything
 * open.
 */
export class Reactor extends EventEmitter<ReactorEvents> implements Venue {
  /** @internal */ readonly ground: Ground;
  readonly deadlines: Deadlines;
  readonly exhausted = false;
  /** How many turns have run. */
  turns = 0;

  readonly #queue = new ReadyQueue();
  readonly #connections = new Set<Connection>();
  readonly #listeners = new Set<Listener>();
  readonly #lingering = new Set<Linger>();
  readonly #parked = new Set<Operation<unknown>>();
  readonly #yielded: Operation<unknown>[] = [];
  readonly #running = new Set<Operation<unknown>>();
  #handshakeSteps = 0;
  #holds = 0;
  /** How many of them let the process end. */
  #unrefs = 0;
  #ref = true;
  #scheduled = false;
  #timerAt = Infinity;
  #cancelTimer: () => void = () => undefined;
  #state: 'open' | 'draining' | 'closed' = 'open';
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;
  #end: () => void = () => undefined;
  /** Resolves when the reactor is closed. */
  readonly ended = new Promise<void>((resolve) => {
    this.#end = resolve;
  });
  readonly #drain = new AbortController();

  /**
   * @param ground what it stands on: the system's sockets unless given.
   * @throws {UnsupportedError} where real sockets cannot be had: no Linux, or a worker thread.
   */
  constructor(ground: Ground = epollGround()) {
    super();
    checkOptions('new Reactor', ground, GROUND_RULES);
    this.ground = ground;
    this.deadlines = new Deadlines(ground.clock.now(), (at) => {
      if (at < this.#timerAt) this.#setTimer(at);
    });
    // Every handler of a server may listen to it.
    setMaxListeners(0, this.#drain.signal);
    ground.selector.onReady(() => {
      this.#schedule();
    });
  }

  /** Every open connection. */
  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** Every open listener. */
  get openListeners(): ReadonlySet<Listener> {
    return this.#listeners;
  }

  /** Aborted when {@link close} begins, so that handlers can stop at a good place. */
  get draining(): AbortSignal {
    return this.#drain.signal;
  }

  /** The ground's monotonic time in milliseconds. */
  now(): number {
    return this.ground.clock.now();
  }

  /**
   * Listens on a TCP address or on the path of a Unix socket. Port 0 lets the system choose; see `listener.address`.
   * @throws {SystemError} such as `EADDRINUSE`.
   */
  async listen(options: ListenOptions): Promise<Listener> {
    this.#assertOpen('listen');
    checkOptions('listen', options, LISTEN_RULES);
    checkTarget(options);
    const [address] = isPath(options)
      ? [{ family: 'unix', path: options.path } as const]
      : await this.resolve(options.host, options.port, this.draining);
    this.#assertOpen('listen');
    return new Listener(this, address, options);
  }

  /**
   * Connects to a host by name or number, or to a Unix socket: looks the name up, tries its addresses by the rules of
   * happy eyeballs (RFC 8305), all inside the call's deadlines. What was made is closed when it fails.
   * @throws {SystemError} such as `ECONNREFUSED` or `ENOTFOUND`, through the operation.
   */
  connect(options: ConnectOptions): Operation<Connection> {
    this.#assertOpen('connect');
    checkOptions('connect', options, CONNECT_RULES);
    checkTarget(options);
    return this.run(new ConnectStep(this, options), options);
  }

  /**
   * Connects, lays `layer` over the connection and runs its handshake; what was made is closed when it fails. The block
   * limit holds for each wait, the total for all of it together. `serverName` is the host unless given.
   */
  connectSecure<C extends Connection>(options: ConnectSecureOptions<C>): Operation<C> {
    this.#assertOpen('connect');
    checkOptions('connectSecure', options, CONNECT_SECURE_RULES);
    checkTarget(options);
    if (options.serverName !== undefined) hostName(options.serverName, 'serverName');
    // The layer makes connections of its own type; without one there would be none to return.
    return this.run(
      new ConnectStep(this, options, options.secure, options.serverName) as unknown as ReactorStep<C>,
      options,
    );
  }

  /**
   * Waits until at least one of the sets is ready, as select(2) does, without its limits. Bytes that were received and
   * not taken count as readable.
   * @param ms how long to wait; no limit without it, and 0 only looks.
   * @returns the ready ones; `timedOut` when none became ready in time.
   */
  select<R extends Selectable = never, W extends Selectable = never>(
    selection: Selection<R, W>,
    ms?: number,
    options?: SelectOptions,
  ): Operation<Selected<R, W>> {
    this.#assertOpen('select');
    checkOptions('select', selection, SELECTION_RULES);
    if (ms !== undefined) checkArgument('select', 'ms', ms, milliseconds);
    if (options !== undefined) checkOptions('select', options, SELECT_RULES);
    return this.#adopt(new SelectStep(selection), {
      timeouts: { totalMs: ms },
      signal: options?.signal,
    }).startNextTurn();
  }

  /**
   * Lets `ms` milliseconds of the reactor's time pass: of virtual time in a simulated world. It keeps the process alive
   * meanwhile.
   * @throws {AbortError} when the signal is aborted, through the operation.
   */
  sleep(ms: number, options?: SelectOptions): Operation<void> {
    checkArgument('sleep', 'ms', ms, milliseconds);
    if (options !== undefined) checkOptions('sleep', options, SELECT_RULES);
    this.#assertOpen('sleep');
    return this.run<void>(new SleepStep(), { timeouts: { totalMs: ms }, signal: options?.signal });
  }

  /** Every operation that is running now, with what it waits for. */
  operations(): OperationSnapshot[] {
    const own = [...this.#running, ...[...this.#listeners].flatMap((listener) => listener.operations)].map(
      (operation) => snapshotOf(operation, undefined),
    );
    return [
      ...own,
      ...[...this.#connections].flatMap((connection) =>
        connection.operations.map((operation) => snapshotOf(operation, connection.remoteAddress)),
      ),
    ];
  }

  /** Keeps the process alive while anything is open; this is so from the start. */
  ref(): this {
    this.#ref = true;
    this.#applyRef();
    return this;
  }

  /** Lets the process end although something is open. */
  unref(): this {
    this.#ref = false;
    this.#applyRef();
    return this;
  }

  /**
   * Drains: stops accepting, tells `draining`, waits until every connection and operation has ended, and aborts what is
   * left at the deadline. Calling it again waits for the same end; {@link abort} does not wait.
   */
  close(options?: CloseOptions): Promise<void> {
    if (options !== undefined) checkOptions('close', options, CLOSE_RULES);
    const timeoutMs = limit(options?.timeoutMs ?? DRAIN_MS, 'timeoutMs');
    return (this.#closing ??= this.#close(timeoutMs));
  }

  /** Breaks every connection now. */
  abort(): void {
    for (const listener of [...this.#listeners]) listener.close();
    for (const connection of [...this.#connections]) connection.abort();
    for (const linger of [...this.#lingering]) linger.abort();
    for (const operation of [...this.#running])
      operation.fail(new ClosedError(`${operation.name} failed: the reactor was aborted`));
    this.#endWhenIdle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(timeoutMs: number): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'draining';
    for (const listener of [...this.#listeners]) listener.close();
    this.#drain.abort(new ClosedError('the reactor is closing'));
    const cancel = this.after(timeoutMs, () => {
      this.abort();
    });
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
      this.#endWhenIdle();
    });
    cancel();
    this.#state = 'closed';
    this.#cancelTimer();
    this.ground.selector.close();
    this.#end();
  }

  #endWhenIdle(): void {
    if (this.#drained !== undefined && this.#holds === 0) this.#drained();
  }

  #assertOpen(what: string): void {
    if (this.#state !== 'open') throw closedBy(what);
  }

  // What follows is for connections, listeners and steps.

  /** Starts an operation that belongs to no connection. @internal */
  run<T>(step: ReactorStep<T>, options: OperationOptions): Operation<T> {
    return this.#adopt(step, options).start();
  }

  #adopt<T>(step: ReactorStep<T>, options: OperationOptions): Operation<T> {
    const operation = new Operation(step, this, options.timeouts ?? {}, options.signal);
    step.runsIn(operation);
    this.#running.add(operation);
    this.hold();
    return operation;
  }

  /** Finds the addresses of a host, at least one. A number is its own address, at once. @internal */
  async resolve(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]> {
    const numeric = numericAddress(host, port);
    const name = lookUpName(host, 'host');
    const addresses = numeric === undefined ? await this.ground.lookUp(name, port, signal) : [numeric];
    if (addresses.length === 0) throw new ClosedError(`look-up failed: ${name} has no address`);
    return addresses;
  }

  /** @internal */
  park(operation: Operation<unknown>): void {
    if (operation.want !== null) {
      this.#parked.add(operation);
      return;
    }
    this.#yielded.push(operation);
    this.#schedule();
  }

  /** @internal */
  settled(operation: Operation<unknown>): void {
    this.#parked.delete(operation);
    if (this.#running.delete(operation)) this.release();
  }

  /** Gives `handle` a place in the next turn. @internal */
  enqueue(handle: Handle): void {
    this.#queue.add(handle);
    this.#schedule();
  }

  /** Resumes a parked operation after the present batch. @internal */
  wake(operation: Operation<unknown>): void {
    if (!this.#parked.delete(operation)) return;
    this.#yielded.push(operation);
    this.#schedule();
  }

  /**
   * Whether one more handshake may go on in this turn: each costs some hundred microseconds, and others wait meanwhile.
   * @internal
   */
  takeHandshakeStep(): boolean {
    return this.#handshakeSteps-- > 0;
  }

  /** Runs `task` in `ms` unless cancelled by what is returned. @internal */
  after(ms: number, task: () => void): () => void {
    if (ms === Infinity) return () => undefined;
    const deadline = new Deadline({ expire: task });
    this.deadlines.arm(deadline, this.now() + ms);
    return () => {
      this.deadlines.cancel(deadline);
    };
  }

  /** Something is open, and keeps the loop alive until it is released. @internal */
  hold(): void {
    if (this.#holds++ === this.#unrefs) this.#applyRef();
  }

  /** @internal */
  release(): void {
    if (--this.#holds === this.#unrefs) this.#applyRef();
    if (this.#holds === 0) this.#endWhenIdle();
  }

  /** One of those that hold it lets the process end, or no longer. @internal */
  countRef(isRef: boolean): void {
    this.#unrefs += isRef ? -1 : 1;
    this.#applyRef();
  }

  /** @internal */
  opened(part: Connection | Listener | Linger): void {
    this.#setOf(part).add(part);
    this.hold();
  }

  /** @internal */
  closed(part: Connection | Listener | Linger): void {
    const known = this.#setOf(part).delete(part);
    if (known) this.release();
  }

  #setOf(part: Connection | Listener | Linger): Set<unknown> {
    return part instanceof Listener ? this.#listeners : part instanceof Linger ? this.#lingering : this.#connections;
  }

  #applyRef(): void {
    if (this.#state !== 'closed') this.ground.selector.setRef(this.#ref && this.#holds > this.#unrefs);
  }

  #schedule(): void {
    if (this.#scheduled || this.#state === 'closed') return;
    this.#scheduled = true;
    this.ground.defer(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#state === 'closed') return;
    this.turns++;
    this.#handshakeSteps = HANDSHAKE_STEPS;
    this.ground.selector.poll(this.#queue);
    this.#queue.drain(dispatch);
    if (this.#yielded.length > 0) for (const operation of this.#yielded.splice(0)) resume(operation);
    if (this.deadlines.size > 0) this.#expire();
    if (this.#queue.length > 0 || this.#yielded.length > 0) this.#schedule();
  };

  #expire(): void {
    const now = this.now();
    // One that throws ends the call, not the others: those are told by the next.
    for (let complete = false; !complete;) {
      try {
        this.deadlines.expire(now);
        complete = true;
      } catch (error) {
        surface(error);
      }
    }
    const next = this.deadlines.nextAt();
    if (next < this.#timerAt) this.#setTimer(next);
  }

  #setTimer(at: number): void {
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = this.ground.wakeAt(at, () => {
      this.#timerAt = Infinity;
      this.#turn();
      if (this.#timerAt === Infinity && this.deadlines.size > 0) this.#setTimer(this.deadlines.nextAt());
    });
  }
}

function dispatch(handle: Handle): void {
  try {
    handle.owner?.dispatch();
  } catch (error) {
    surface(error);
  }
}

function resume(operation: Operation<unknown>): void {
  try {
    operation.resume();
  } catch (error) {
    surface(error);
  }
}

function snapshotOf(operation: Operation<unknown>, peer: Address | undefined): OperationSnapshot {
  const { name, want, sinceMs, remaining } = operation;
  return { name, want, sinceMs, remaining, peer };
}

function closedBy(what: string): ClosedError {
  return new ClosedError(`${what} refused: the reactor is closed or closing`);
}

// Some ten milliseconds of work.
const HANDSHAKE_STEPS = 32;
const DRAIN_MS = 10_000;
