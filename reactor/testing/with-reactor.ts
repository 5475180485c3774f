/** Runs a test with a reactor over real sockets, and checks that it leaks nothing. */

import assert from 'node:assert/strict';

import { epollGround } from '../epoll/epoll-ground.ts';
import type { Listener } from '../listening/listener.ts';
import { Reactor } from '../reactor.ts';
import type { SystemCalls } from '../system-calls.ts';
import { Ledger } from '../ledger.ts';

/**
 * Runs `use` with a new reactor, drains it, and checks that no descriptor, deadline, connection or listener is left.
 * @param wrap wraps the system calls of the reactor, for example to simulate a shortage of descriptors.
 */
export async function withReactor(
  use: (reactor: Reactor, ledger: Ledger) => Promise<void>,
  wrap: (calls: SystemCalls) => SystemCalls = (calls) => calls,
): Promise<void> {
  const ledger = new Ledger();
  const reactor = new Reactor(epollGround((calls) => wrap(ledger.wrap(calls))));
  try {
    await use(reactor, ledger);
  } catch (error) {
    reactor.abort();
    await reactor.close({ timeoutMs: 0 });
    throw error;
  }
  await reactor.close({ timeoutMs: 3_000 });
  assert.deepEqual([...ledger.open], [], 'descriptors that are still open');
  assert.deepEqual(ledger.closedTwice, [], 'descriptors that were closed although they were not open');
  assert.equal(reactor.loop.deadlines.size, 0, 'armed deadlines');
  assert.equal(reactor.connections.size, 0, 'open connections');
  assert.equal(reactor.openListeners.size, 0, 'open listeners');
}

/** @returns the TCP port of `listener`. */
export function portOf(listener: Listener): number {
  assert(listener.address.family !== 'unix');
  return listener.address.port;
}
