// Law: interest is armed exactly while a subscriber exists. A subscriber is notified while its direction is ready, at
// most once in a turn. After it unsubscribes it is never notified. A reactor without ready subscribers runs no turns.

import fc from 'fast-check';
import type { Subscription } from 'rxjs';
import { describe, expect, it } from 'vitest';

import type { Connection } from '../../reactor/connections/connection.ts';
import { checkLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';

const step = fc.oneof(
  fc.record({
    act: fc.constant('subscribe' as const),
    who: fc.nat(3),
    to: fc.constantFrom('readable' as const, 'writable' as const),
  }),
  fc.record({ act: fc.constant('unsubscribe' as const), who: fc.nat(3) }),
  fc.record({ act: fc.constant('arrive' as const), count: fc.integer({ min: 1, max: 30 }) }),
  fc.record({ act: fc.constant('take' as const), count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ act: fc.constant('put back' as const), count: fc.integer({ min: 1, max: 5 }) }),
);

interface Subscriber {
  readonly to: 'readable' | 'writable';
  readonly subscription: Subscription;
  /** The turns in which it was notified. */
  readonly turns: number[];
}

describe('interest', () => {
  it(
    'is armed exactly while a subscriber exists',
    () =>
      checkLaw(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          await simulate({}, async (world) => {
            const { client, server, here } = await pairIn(world);
            const living = new Map<number, Subscriber>();
            const dead: Subscriber[] = [];
            let there = 0;
            const subscribe = (to: Subscriber['to']): Subscriber => {
              const turns: number[] = [];
              const told = (connection: Connection): void => {
                expect(connection).toBe(client);
                turns.push(here.reactor.loop.turns);
              };
              return {
                to,
                turns,
                subscription: (to === 'readable' ? client.readable$ : client.writable$).subscribe(told),
              };
            };
            for (const each of steps) {
              switch (each.act) {
                case 'subscribe':
                  if (!living.has(each.who)) living.set(each.who, subscribe(each.to));
                  break;
                case 'unsubscribe': {
                  const subscriber = living.get(each.who);
                  if (subscriber === undefined) break;
                  subscriber.subscription.unsubscribe();
                  living.delete(each.who);
                  dead.push(subscriber);
                  break;
                }
                case 'arrive':
                  await server.send(new Uint8Array(each.count));
                  there += each.count;
                  break;
                case 'take': {
                  const taken = client.tryReceive(each.count);
                  if (typeof taken !== 'number') there -= taken.length;
                  break;
                }
                case 'put back':
                  client.unread(new Uint8Array(each.count));
                  there += each.count;
                  break;
              }
              for (const { turns } of [...living.values(), ...dead]) turns.length = 0;
              // A `try…` call counts as an answer to readiness. Without one, the reactor disarms a subscriber for
              // spinning. This call takes no bytes.
              client.tryHandshake();
              const before = here.reactor.loop.turns;
              await world.step();
              await world.step();
              await world.step();
              for (const { turns } of dead) expect(turns).toEqual([]);
              for (const { to, turns } of living.values()) {
                expect(turns).toEqual([...new Set(turns)]);
                expect(turns.length > 0).toBe(to === 'writable' || there > 0);
              }
              const busy = [...living.values()].some(({ to }) => to === 'writable' || there > 0);
              if (!busy) expect(here.reactor.loop.turns - before).toBeLessThanOrEqual(2);
            }
            for (const { subscription } of living.values()) subscription.unsubscribe();
          });
        }),
        1_000,
      ),
    600_000,
  );
});
