// Law: when a descriptor is closed while a selector delivers a batch of events, the selector delivers no more events of
// that descriptor, neither to its last owner nor to a socket that gets its number at once. It loses no event of the
// other descriptors.

import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { epollGround } from '../../reactor/epoll/epoll-ground.ts';
import type { Ground } from '../../reactor/ground.ts';
import { Handle, READABLE } from '../../reactor/handle.ts';
import { World } from '../../reactor/simulated/world.ts';
import { Ledger } from '../../reactor/ledger.ts';
import { checkLaw, replaying } from '../kit/law.ts';

const plan = fc.record({
  count: fc.integer({ min: 2, max: 6 }),
  rounds: fc.array(
    fc.record({
      /** The peers that send a byte before the selector is polled. */
      news: fc.uniqueArray(fc.nat(12), { minLength: 1, maxLength: 8 }),
      /** The connection that each handler closes, and whether a waiting connection then takes its number. */
      closes: fc.array(fc.record({ victim: fc.nat(9), reopens: fc.constantFrom(true, true, false) }), { maxLength: 6 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

/** One registered socket. By its port the test knows whether there is anything to receive. */
interface Socket {
  readonly handle: Handle;
  readonly port: number;
}

/** @returns how often a descriptor number was reused while it had undelivered events. */
async function run({ calls, selector }: Ground, settle: () => Promise<void>, { count, rounds }: Plan): Promise<number> {
  const ledger = new Ledger();
  const { socket, connect, bind, listen, accept, send, close, localAddress } = ledger.wrap(calls);
  const listening = socket('IPv4');
  bind(listening, { family: 'IPv4', host: '127.0.0.1', port: 0 });
  listen(listening, 100);
  const address = localAddress(listening);
  assert(address !== undefined);
  const living: Socket[] = [];
  /** The other ends by port, and how many bytes each has sent. */
  const peers = new Map<number, { fd: number; sent: number }>();
  let chances = 0;

  const open = (): boolean => {
    const peer: Parameters<typeof accept>[1] = {};
    const fd = accept(listening, peer);
    if (fd < 0) return false;
    const handle = new Handle(fd);
    selector.register(handle);
    living.push({ handle, port: (peer.address as { port: number }).port });
    return true;
  };
  const shut = (victim: Socket): void => {
    living.splice(living.indexOf(victim), 1);
    selector.deregister(victim.handle);
    close(victim.handle.fd);
  };

  for (let i = 0; i < count * 2; i++) {
    const fd = socket('IPv4');
    connect(fd, address);
    await settle();
    peers.set((localAddress(fd) as { port: number }).port, { fd, sent: 0 });
  }
  for (let i = 0; i < count; i++) assert(open());
  await settle();

  for (const { news, closes } of rounds) {
    for (const which of news) {
      const peer = [...peers.values()][which % peers.size];
      if (send(peer.fd, Uint8Array.of(1)) === 1) peer.sent++;
    }
    await settle();
    const script = [...closes];
    const delivered = new Set<Handle>();
    selector.poll({
      add: (handle) => {
        assert(
          living.some((each) => each.handle === handle),
          'an event of a closed descriptor',
        );
        delivered.add(handle);
        const next = script.shift();
        if (next === undefined || living.length === 0) return;
        const undelivered = living.filter(
          (each) => !delivered.has(each.handle) && (peers.get(each.port)?.sent ?? 0) > 0,
        );
        const victims = undelivered.length > 0 ? undelivered : living;
        const victim = victims[next.victim % victims.length];
        shut(victim);
        if (next.reopens && open() && undelivered.length > 0 && living.at(-1)?.handle.fd === victim.handle.fd)
          chances++;
      },
    });
    await settle();
    selector.poll({
      add: (handle) => {
        assert(
          living.some((each) => each.handle === handle),
          'an event of a closed descriptor',
        );
      },
    });
    for (const { handle, port } of living)
      assert.equal(
        (handle.readiness & READABLE) !== 0,
        (peers.get(port)?.sent ?? 0) > 0,
        'whether a socket is readable: only if bytes were sent to it',
      );
  }
  for (const { handle } of living) selector.deregister(handle);
  for (const fd of [...ledger.open]) close(fd);
  return chances;
}

describe('a selector that delivers a batch of events', () => {
  it('delivers no event of a descriptor that is closed during the batch: the simulated selector', async () => {
    let chances = 0;
    await checkLaw(
      fc.asyncProperty(plan, async (each) => {
        let ground: Ground | undefined;
        const world = new World({ wrap: (made) => (ground = made) });
        world.machine('only');
        assert(ground !== undefined);
        // Replaces the reactor's callback. Otherwise the machine's reactor would take the events first.
        ground.selector.onReady(() => undefined);
        chances += await run(ground, () => world.run(world.sleep(1)), each);
      }),
      1_000,
    );
    if (!replaying()) expect(chances, 'numbers reused while they had events').toBeGreaterThan(500);
  }, 600_000);

  it('delivers no event of a descriptor that is closed during the batch: epoll', async () => {
    let chances = 0;
    await checkLaw(
      fc.asyncProperty(plan, async (each) => {
        const ground = epollGround();
        try {
          // Loopback delivers within the call.
          chances += await run(ground, () => Promise.resolve(), each);
        } finally {
          ground.selector.close();
          // libuv releases the handles of the selector in the next turn of the event loop.
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
        }
      }),
      1_000,
    );
    if (!replaying()) expect(chances, 'numbers reused while they had events').toBeGreaterThan(100);
  }, 600_000);
});
