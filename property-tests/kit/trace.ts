/** What happened in a simulated run, as text and as a diagram. */

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
  /** What it was about, such as an address or a number of bytes. */
  readonly subject: string;
  /** What it returned: a count, a descriptor, or a negative errno. */
  readonly result: number;
}

/** Records the calls of several hosts in the order in which they were made. */
export class Trace {
  readonly entries: TraceEntry[] = [];

  /** @returns the last `count` calls alone, which are those that matter when a run fails. */
  last(count: number): Trace {
    const trace = new Trace();
    trace.entries.push(...this.entries.slice(-count));
    return trace;
  }

  /** @returns `ground` whose calls are recorded under the name of `host`. */
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

  /** One line a call: when, who, what, and what came of it. */
  toString(): string {
    return this.entries
      .map(
        ({ atMs, host, call, fd, subject, result }) =>
          `${atMs.toFixed(1).padStart(9)} ms  ${host.padEnd(8)} ${call}(${[fd, subject].filter((part) => part !== -1 && part !== '').join(', ')}) = ${String(result)}`,
      )
      .join('\n');
  }

  /**
   * A sequence diagram in Mermaid's notation of what the hosts did, one line for each call that moved or changed
   * something.
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

/** Remembers the run that `error` ended, and appends its last calls to the message. */
export function noteTrace(error: Error, trace: Trace): void {
  failures.set(error, { trace, message: error.message });
  const omitted = trace.entries.length - EXCERPT;
  const before = omitted > 0 ? `(${String(omitted)} calls before)\n` : '';
  error.message += `\n${before}${trace.last(EXCERPT).toString()}`;
}

/** @returns the run that `error` ended and the message it had by itself; `undefined` for one that ended none. */
export function tracedFailure(error: unknown): { readonly trace: Trace; readonly message: string } | undefined {
  return error instanceof Error ? failures.get(error) : undefined;
}

/** How many calls a message shows. */
export const EXCERPT = 60;

const failures = new WeakMap<Error, { trace: Trace; message: string }>();
