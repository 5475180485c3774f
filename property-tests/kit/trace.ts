/** The system calls of a simulated run, as text and as a diagram. */

import { formatAddress } from '../../reactor/addresses/address.ts';
import type { Ground } from '../../reactor/ground.ts';
import { passOn } from '../../reactor/system-calls.ts';
import type { SystemCalls } from '../../reactor/system-calls.ts';

/** One system call of one host. */
export interface TraceEntry {
  readonly atMs: number;
  readonly host: string;
  readonly call: 'accept' | 'close' | 'connect' | 'listen' | 'recv' | 'send' | 'shutdown' | 'socket';
  readonly fd: number;
  /** The argument of the call, such as an address or a number of bytes. */
  readonly subject: string;
  /** The result: a count, a descriptor, or a negative errno. */
  readonly result: number;
}

/** Records the system calls of several hosts in their order. */
export class Trace {
  readonly entries: TraceEntry[] = [];

  /** @returns a trace of the last `count` calls, which usually explain why a run failed. */
  last(count: number): Trace {
    const trace = new Trace();
    trace.entries.push(...this.entries.slice(-count));
    return trace;
  }

  /** @returns `ground` with its calls recorded under the name `host`. */
  wrap(ground: Ground, host: string): Ground {
    const { calls } = ground;
    const note = (call: TraceEntry['call'], fd: number, subject: string, result: number): number => {
      this.entries.push({ atMs: ground.clock.now(), host, call, fd, subject, result });
      return result;
    };
    const noted: SystemCalls = {
      ...passOn(calls),
      socket: (family) => note('socket', -1, family, calls.socket(family)),
      accept: (fd, peer) => {
        const accepted = calls.accept(fd, peer);
        return note('accept', fd, accepted < 0 ? '' : formatAddress(peer.address), accepted);
      },
      connect: (fd, address) => note('connect', fd, formatAddress(address), calls.connect(fd, address)),
      listen: (fd, backlog) => note('listen', fd, String(backlog), calls.listen(fd, backlog)),
      recv: (fd, into) => note('recv', fd, `${String(into.length)} B`, calls.recv(fd, into)),
      send: (fd, from) => note('send', fd, `${String(from.length)} B`, calls.send(fd, from)),
      shutdown: (fd, how) => note('shutdown', fd, String(how), calls.shutdown(fd, how)),
      close: (fd) => note('close', fd, '', calls.close(fd)),
    };
    return { ...ground, calls: noted };
  }

  /** One line for each call: the time, the host, the call and its result. */
  toString(): string {
    return this.entries
      .map(
        ({ atMs, host, call, fd, subject, result }) =>
          `${atMs.toFixed(1).padStart(9)} ms  ${host.padEnd(8)} ${call}(${[fd, subject].filter((part) => part !== -1 && part !== '').join(', ')}) = ${String(result)}`,
      )
      .join('\n');
  }

  /**
   * A Mermaid sequence diagram of the hosts, with one line for each call that succeeded, except `socket`.
   */
  toMermaid(): string {
    const hosts = [...new Set(this.entries.map(({ host }) => host))];
    const lines = this.entries
      .filter(({ call, result }) => result >= 0 && call !== 'socket')
      .map(({ atMs, host, call, fd, subject, result }) =>
        `  Note over ${host}: ${atMs.toFixed(1)} ms ${call} ${String(fd)} ${call === 'recv' || call === 'send' ? `${String(result)} of ${subject}` : subject}`.trimEnd(),
      );
    return ['sequenceDiagram', ...hosts.map((host) => `  participant ${host}`), ...lines].join('\n');
  }
}

/** Records the trace of the run that failed with `error`, and appends its last calls to the message of `error`. */
export function noteTrace(error: Error, trace: Trace): void {
  failures.set(error, { trace, message: error.message });
  const omitted = trace.entries.length - EXCERPT;
  const before = omitted > 0 ? `(${String(omitted)} calls before)\n` : '';
  error.message += `\n${before}${trace.last(EXCERPT).toString()}`;
}

/** @returns the trace of the run that failed with `error`, and the original message; `undefined` if there is none. */
export function tracedFailure(error: unknown): { readonly trace: Trace; readonly message: string } | undefined {
  return error instanceof Error ? failures.get(error) : undefined;
}

/** The number of calls that a message shows. */
export const EXCERPT = 60;

const failures = new WeakMap<Error, { trace: Trace; message: string }>();
