/** Runs one test on real sockets, and checks that it leaks nothing. */

import { checkArgument, checkOptions, finiteSpan, func } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { livingTlsTransports } from '../../protocols/tls/tls-transport.ts';
import { formatAddress } from '../../reactor/addresses/address.ts';
import { epollGround } from '../../reactor/epoll/epoll-ground.ts';
import type { Ground } from '../../reactor/ground.ts';
import { Reactor } from '../../reactor/reactor.ts';
import { Ledger } from '../../reactor/ledger.ts';
import { LeakError } from './simulate.ts';

/** The options of {@link withoutLeaks}. */
export interface LeakOptions {
  /** How long connections may take to close after `use` has settled, in milliseconds; 3 seconds by default. */
  readonly timeoutMs?: number | undefined;
  /** Wraps the ground of the reactor, for example with a `FaultInjector`. */
  readonly wrap?: ((ground: Ground) => Ground) | undefined;
}

export const LEAK_RULES = { timeoutMs: finiteSpan, wrap: func } satisfies Rules<LeakOptions>;

/**
 * Runs `use` with a reactor over real sockets, drains the reactor, and checks that every descriptor, connection,
 * deadline and TLS object was released, and that no descriptor was closed twice. It counts the TLS objects of the whole
 * process, so no other code may use TLS at the same time.
 * @returns the result of `use`.
 * @throws the error of `use`. Everything that is still open is aborted then.
 * @throws {LeakError} which names everything that is left.
 */
export async function withoutLeaks<T>(use: (reactor: Reactor) => Promise<T>, options: LeakOptions = {}): Promise<T> {
  checkArgument('withoutLeaks', 'the function', use, func);
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
