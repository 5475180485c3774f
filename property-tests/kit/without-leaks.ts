/** Real sockets for one test, and the proof that everything was given back. */

import { checkArgument, checkOptions, finiteSpan, func } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { livingTlsTransports } from '../../protocols/tls/tls-transport.ts';
import { formatAddress } from '../../reactor/addresses/address.ts';
import { epollGround } from '../../reactor/epoll/epoll-ground.ts';
import type { Ground } from '../../reactor/ground.ts';
import { Reactor } from '../../reactor/reactor.ts';
import { Ledger } from '../../reactor/testing/ledger.ts';
import { LeakError } from './simulate.ts';

/** How {@link withoutLeaks} looks for leaks. */
export interface LeakOptions {
  /** How long connections may take to close once `use` has settled, in milliseconds; 3 seconds unless given. */
  readonly timeoutMs?: number | undefined;
  /** Puts something between the reactor and the system, such as a `FaultInjector`. */
  readonly wrap?: ((ground: Ground) => Ground) | undefined;
}

export const LEAK_RULES = { timeoutMs: finiteSpan, wrap: func } satisfies Rules<LeakOptions>;

/**
 * Runs `use` with a reactor over real sockets, drains it, and checks that every descriptor, connection, deadline and
 * TLS object was given back, and no descriptor twice. TLS objects are counted in the whole process: nothing else may
 * use TLS meanwhile.
 * @returns what `use` returns. @throws what it throws; what was open is aborted then.
 * @throws {LeakError} that names what is left.
 */
export async function withoutLeaks<T>(use: (reactor: Reactor) => Promise<T>, options: LeakOptions = {}): Promise<T> {
  checkArgument('withoutLeaks', 'what uses the reactor', use, func);
  checkOptions('withoutLeaks', options, LEAK_RULES);
  const { timeoutMs = 3_000, wrap = (ground: Ground): Ground => ground } = options;
  const ledger = new Ledger();
  const tlsBefore = livingTlsTransports();
  const reactor = new Reactor(wrap(epollGround((calls) => ledger.wrap(calls))));
  let result;
  try {
    result = await use(reactor);
  } catch (error) {
    reactor.abort();
    await reactor.close({ timeoutMs: 0 });
    throw error;
  }
  const leaks: string[] = [];
  const cancel = reactor.after(timeoutMs, () => {
    for (const { remoteAddress } of reactor.connections)
      leaks.push(`the connection with ${formatAddress(remoteAddress)}`);
    for (const { name, want } of reactor.operations())
      leaks.push(
        `the operation ${name}${want === null ? '' : `, which wants ${want === 'lookup' ? 'a lookup' : `to ${want}`}`}`,
      );
    reactor.abort();
  });
  await reactor.close({ timeoutMs: Infinity });
  cancel();
  if (ledger.open.size > 0) leaks.push(`${String(ledger.open.size)} descriptors (${[...ledger.open].join(', ')})`);
  if (ledger.closedTwice.length > 0)
    leaks.push(`descriptors closed that were not open: ${ledger.closedTwice.join(', ')}`);
  if (reactor.loop.deadlines.size > 0) leaks.push(`${String(reactor.loop.deadlines.size)} deadlines`);
  const tls = livingTlsTransports() - tlsBefore;
  if (tls > 0) leaks.push(`${String(tls)} TLS objects`);
  if (leaks.length > 0) throw new LeakError(leaks);
  return result;
}
