// Law: an event is queued for a descriptor, a handler of the same batch closes the descriptor, and a new socket gets
// its number at once. The event never reaches the new socket: a connection to which nothing was sent never emits
// readable, and a connect in progress does not succeed before the answer can have arrived.

import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Connection } from '../../reactor/connections/connection.ts';
import { Reactor } from '../../reactor/reactor.ts';
import { harmlessFaults } from '../kit/arbitraries.ts';
import { checkLaw, replaying } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

const act = fc.record({
  /** Whether the handler first receives the bytes that have arrived. */
  receives: fc.boolean(),
  /** The connection to close: one of all, or one of those for which an event is queued. */
  victim: fc.record({ which: fc.nat(9), among: fc.constantFrom('queued', 'queued', 'all') }),
  how: fc.constantFrom('abort', 'abort', 'abort', 'close', 'keep open'),
  opens: fc.constantFrom('accept', 'accept', 'accept', 'connect', 'nothing'),
});
const plan = fc.record({
  count: fc.integer({ min: 3, max: 6 }),
  /** The connections that wait in the backlog until a handler accepts them. */
  spares: fc.integer({ min: 2, max: 8 }),
  /** The connections that get a byte, for each round. */
  rounds: fc.array(fc.uniqueArray(fc.nat(9), { minLength: 2, maxLength: 8 }), { minLength: 1, maxLength: 5 }),
  /** What the handlers do, in the order in which they run. */
  acts: fc.array(act, { minLength: 1, maxLength: 16, size: 'max' }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

interface Setting {
  readonly near: Reactor;
  readonly far: Reactor;
  /** Lets everything in flight arrive and the handlers run. */
  readonly settle: () => Promise<void>;
  /** Starts a connect from `near` to a distant machine. */
  readonly connectFarAway: (() => void) | undefined;
}

/** @returns how often a descriptor number was reused while an event for its last owner was queued. */
async function run(
  { near, far, settle, connectFarAway }: Setting,
  host: string,
  { count, spares, rounds, acts }: Plan,
): Promise<number> {
  const listener = await near.listen({ host: '0.0.0.0', port: 0 });
  const { port } = listener.address as { port: number };
  const peers = new Map<number, { connection: Connection; sent: number }>();
  const living: Connection[] = [];
  const script = [...acts];
  const offences: string[] = [];
  let chances = 0;

  const portOf = (address: Connection['localAddress']): number => (address as { port: number }).port;
  const admit = (connection: Connection): void => {
    living.push(connection);
    const peer = peers.get(portOf(connection.remoteAddress));
    assert(peer !== undefined);
    connection.readable$.subscribe(() => {
      if (connection.closed) offences.push('a closed connection emitted readable');
      if (peer.sent === 0) offences.push('a connection emitted readable although nothing was sent to it');
      const next = script.shift();
      if (next === undefined) connection.tryReceive();
      else perform(connection, next);
    });
  };
  const perform = (connection: Connection, { receives, victim, how, opens }: Plan['acts'][number]): void => {
    if (receives) connection.tryReceive();
    const queued = living.filter((each) => each.basis.socket.handle.queued);
    const victims = victim.among === 'queued' && queued.length > 0 ? queued : living;
    if (victims.length === 0) return;
    const chosen = victims[victim.which % victims.length];
    const { handle } = chosen.basis.socket;
    if (how === 'abort') chosen.abort();
    else if (how === 'close') void chosen.close();
    if (chosen.closed) living.splice(living.indexOf(chosen), 1);
    if (opens === 'connect') connectFarAway?.();
    const opened = opens === 'accept' && !listener.closed ? listener.tryAccept() : undefined;
    if (opened === undefined) return;
    if (opened.basis.socket.handle.fd === handle.fd && handle.queued) chances++;
    admit(opened);
  };

  for (let i = 0; i < count + spares; i++) {
    const connection = await far.connect({ host, port });
    peers.set(portOf(connection.localAddress), { connection, sent: 0 });
    if (i < count) admit(await listener.accept());
  }
  await settle();
  for (const round of rounds) {
    for (const which of round) {
      const [, peer] = [...peers][which % peers.size];
      peer.sent++;
      // The reactor `near` has aborted or closed some connections. Their errors do not matter here.
      await peer.connection.send('x').catch(() => undefined);
    }
    await settle();
  }
  listener.close();
  assert.deepEqual(offences, []);
  return chances;
}

describe('a stale event', () => {
  it('never reaches a new socket on the simulated network', async () => {
    let chances = 0;
    await checkLaw(
      fc.asyncProperty(plan, harmlessFaults(), async (each, faults) => {
        await simulate({ faults }, async (world) => {
          const [near, far, away] = ['near', 'far', 'away'].map((name) => world.machine(name));
          const distant = await away.reactor.listen({ host: '0.0.0.0', port: 9 });
          world.link(near, away).latencyMs = LATENCY_MS;
          const connecting: Promise<void>[] = [];
          let over = false;
          const connectFarAway = (): void => {
            if (over) return;
            const startedAt = world.now();
            connecting.push(
              near.reactor.connect({ host: '10.0.0.3', port: 9 }).then(() => {
                assert(world.now() - startedAt >= 2 * LATENCY_MS, 'connected before the answer could arrive');
              }),
            );
          };
          chances += await run(
            { near: near.reactor, far: far.reactor, settle: () => world.sleep(25), connectFarAway },
            'near',
            each,
          );
          over = true;
          await Promise.all(connecting);
          distant.close();
        });
      }),
      1_000,
    );
    if (!replaying()) expect(chances, 'numbers reused while an event was queued').toBeGreaterThan(300);
  }, 600_000);

  it('never reaches a new socket on real sockets', async () => {
    let chances = 0;
    await checkLaw(
      fc.asyncProperty(plan, async (each) => {
        const [near, far] = [new Reactor(), new Reactor()];
        try {
          const settle = async (): Promise<void> => {
            for (let turn = 0; turn < 3; turn++) await Promise.all([near.select({}, 0), far.select({}, 0)]);
          };
          chances += await run({ near, far, settle, connectFarAway: undefined }, '127.0.0.1', each);
        } finally {
          for (const reactor of [near, far]) reactor.abort();
          await Promise.all([near.close(), far.close()]);
        }
      }),
      1_000,
    );
    if (!replaying()) expect(chances, 'numbers reused while an event was queued').toBeGreaterThan(60);
  }, 600_000);
});

const LATENCY_MS = 30;
