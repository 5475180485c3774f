/** A reactor over real sockets for one test, and the proof that it gave everything back. */

import assert from 'node:assert/strict';

import { epollGround } from '../epoll/epoll-ground.ts';
import type { Listener } from '../listening/listener.ts';
import { Reactor } from '../reactor.ts';
import type { SystemCalls } from '../system-calls.ts';
import { Ledger } from './ledger.ts';

/**
 * Runs `use` with a new reactor, drains it, and checks that no descriptor, deadline, connection or listener is left.
 * @param wrap puts something between the reactor and the system, such as a shortage of descriptors.
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
  assert.deepEqual([...ledger.open], [], 'every descriptor is closed');
  assert.deepEqual(ledger.closedTwice, [], 'no descriptor is closed twice');
  assert.equal(reactor.loop.deadlines.size, 0, 'no deadline is left');
  assert.equal(reactor.connections.size, 0, 'no connection is left');
  assert.equal(reactor.openListeners.size, 0, 'no listener is left');
}

/** @returns the TCP port that `listener` has. */
export function portOf(listener: Listener): number {
  assert(listener.address.family !== 'unix');
  return listener.address.port;
}
