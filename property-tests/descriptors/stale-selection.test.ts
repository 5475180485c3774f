// Law: a selector that is in the middle of telling its news tells none of a descriptor that is closed meanwhile,
// neither to its last owner nor to the socket that gets its number at once; and it loses nothing of the others'.

import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { epollGround } from '../../reactor/epoll/epoll-ground.ts';
import type { Ground } from '../../reactor/ground.ts';
import { Handle, READABLE } from '../../reactor/handle.ts';
import { World } from '../../reactor/simulated/world.ts';
import { Ledger } from '../../reactor/testing/ledger.ts';
import { checkLaw, replaying } from '../kit/law.ts';

const plan = fc.record({
  count: fc.integer({ min: 2, max: 6 }),
  rounds: fc.array(
    fc.record({
      /** Whose peers send a byte before the selector is asked. */
      news: fc.uniqueArray(fc.nat(12), { minLength: 1, maxLength: 8 }),
      /** Whom each handler closes, and whether a waiting connection takes the number. */
      closes: fc.array(fc.record({ victim: fc.nat(9), reopens: fc.constantFrom(true, true, false) }), { maxLength: 6 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

/** One registered socket of which we know whether there is anything to receive. */
interface Socket {
  readonly handle: Handle;
  readonly port: number;
}

/** @returns how often a number was given away while it had news that were not told yet. */
async function run({ calls, selector }: Ground, settle: () => Promise<void>, { count, rounds }: Plan): Promise<number> {
  const ledger = new Ledger();
  const { socket, connect, bind, listen, accept, send, close, localAddress } = ledger.wrap(calls);
  const listening = socket('IPv4');
  bind(listening, { family: 'IPv4', host: '127.0.0.1', port: 0 });
  listen(listening, 100);
  const address = localAddress(listening);
  assert(address !== undefined);
  const living: Socket[] = [];
  /** The other ends by port, and what was sent from there. */
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
    const told = new Set<Handle>();
    selector.poll({
      add: (handle) => {
        assert(
          living.some((each) => each.handle === handle),
          'news of a descriptor that is closed',
        );
        told.add(handle);
        const next = script.shift();
        if (next === undefined || living.length === 0) return;
        const untold = living.filter((each) => !told.has(each.handle) && (peers.get(each.port)?.sent ?? 0) > 0);
        const victims = untold.length > 0 ? untold : living;
        const victim = victims[next.victim % victims.length];
        shut(victim);
        if (next.reopens && open() && untold.length > 0 && living.at(-1)?.handle.fd === victim.handle.fd) chances++;
      },
    });
    await settle();
    selector.poll({
      add: (handle) => {
        assert(
          living.some((each) => each.handle === handle),
          'news of a descriptor that is closed',
        );
      },
    });
    for (const { handle, port } of living)
      assert.equal(
        (handle.readiness & READABLE) !== 0,
        (peers.get(port)?.sent ?? 0) > 0,
        'readable if and only if something was sent',
      );
  }
  for (const { handle } of living) selector.deregister(handle);
  for (const fd of [...ledger.open]) close(fd);
  return chances;
}

describe('a selector that tells its news', () => {
  it('tells none of what is closed meanwhile: the simulated one', async () => {
    let chances = 0;
    await checkLaw(
      fc.asyncProperty(plan, async (each) => {
        let ground: Ground | undefined;
        const world = new World({ wrap: (made) => (ground = made) });
        world.machine('only');
        assert(ground !== undefined);
        // The machine's reactor would take the news away.
        ground.selector.onReady(() => undefined);
        chances += await run(ground, () => world.run(world.sleep(1)), each);
      }),
      1_000,
    );
    if (!replaying()) expect(chances, 'numbers with news were given away').toBeGreaterThan(500);
  }, 600_000);

  it('tells none of what is closed meanwhile: epoll', async () => {
    let chances = 0;
    await checkLaw(
      fc.asyncProperty(plan, async (each) => {
        const ground = epollGround();
        try {
          // Loopback delivers within the call.
          chances += await run(ground, () => Promise.resolve(), each);
        } finally {
          ground.selector.close();
          // libuv lets go of what a selector had of it in the loop's own time.
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
        }
      }),
      1_000,
    );
    if (!replaying()) expect(chances, 'numbers with news were given away').toBeGreaterThan(100);
  }, 600_000);
});
