// Law: a connect to a name tries each of its addresses once, IPv6 and IPv4 by turns, and reaches the first address that
// answers. This holds for any number of addresses of each family, whichever of them refuse or stay silent. When no
// address answers, the connect rejects with ECONNREFUSED or ETIMEDOUT.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatAddress } from '../../reactor/addresses/address.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { checkLaw } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

type Manner = 'answers' | 'refuses' | 'is silent';

interface Place {
  readonly family: 'IPv4' | 'IPv6';
  readonly manner: Manner;
}

/** Lists of addresses. At most two addresses of a list answer, at any position. */
const places = fc
  .array(
    fc.record({
      family: fc.constantFrom('IPv4', 'IPv6'),
      manner: fc.constantFrom<Manner>('refuses', 'refuses', 'is silent'),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .chain((list) =>
    fc.record({ list: fc.constant(list), answering: fc.array(fc.nat(list.length - 1), { maxLength: 2 }) }),
  )
  .map(({ list, answering }) =>
    list.map((place, index): Place => ({ ...place, manner: answering.includes(index) ? 'answers' : place.manner })),
  );

const hostOf = ({ family, manner }: Place, index: number): string => {
  // No machine has the silent addresses.
  const network = manner === 'is silent' ? 2 : 1;
  return family === 'IPv4'
    ? `10.${String(network)}.0.${String(index + 1)}`
    : `fd00:${String(network)}::${(index + 1).toString(16)}`;
};

/** The indices of all addresses in the order in which they must be tried. The library uses a different algorithm. */
function inTurn(list: readonly Place[]): number[] {
  const queues = { IPv4: [] as number[], IPv6: [] as number[] };
  list.forEach(({ family }, index) => queues[family].push(index));
  const order: number[] = [];
  for (let { family } = list[0]; order.length < list.length; family = family === 'IPv4' ? 'IPv6' : 'IPv4') {
    const next = queues[family].shift();
    if (next !== undefined) order.push(next);
  }
  return order;
}

describe('a connect to a name with many addresses', () => {
  it(
    'reaches the first address that answers',
    () =>
      checkLaw(
        fc.asyncProperty(places, fc.integer({ min: 0, max: 100 }), async (list, latencyMs) => {
          await simulate({}, async (world, { trace }) => {
            const own = list.map(hostOf).filter((_, index) => list[index].manner !== 'is silent');
            const [here, there] = [world.machine('here'), world.machine('there', { addresses: own })];
            world.link(here, there).latencyMs = latencyMs;
            world.network.name('many.test', list.map(hostOf));
            for (const [index, place] of list.entries())
              if (place.manner === 'answers')
                (await there.reactor.listen({ host: hostOf(place, index), port: 7 })).serve({}, async (connection) => {
                  await connection.receive('*a');
                });
            const startedAt = world.now();
            const outcome = await here.reactor
              .connect({ host: 'many.test', port: 7 })
              .catch((error: unknown) => error as NodeJS.ErrnoException);
            const tookMs = world.now() - startedAt;

            let [atMs, lastSilentAtMs] = [0, -Infinity];
            const tried: string[] = [];
            let reached: string | undefined;
            for (const index of inTurn(list)) {
              tried.push(formatAddress({ host: hostOf(list[index], index), port: 7 }));
              if (list[index].manner === 'is silent') {
                lastSilentAtMs = atMs;
                atMs += HEAD_START_MS;
                continue;
              }
              // One round trip.
              atMs += 2 * latencyMs;
              if (list[index].manner === 'refuses') continue;
              reached = tried.at(-1);
              break;
            }
            expect(trace.entries.filter(({ call }) => call === 'connect').map(({ subject }) => subject)).toEqual(tried);
            if (reached === undefined) {
              expect((outcome as NodeJS.ErrnoException).code).toBe(lastSilentAtMs < 0 ? 'ECONNREFUSED' : 'ETIMEDOUT');
              expect(tookMs).toBe(lastSilentAtMs < 0 ? atMs : lastSilentAtMs + UNANSWERED_MS);
            } else {
              expect(formatAddress((outcome as Connection).remoteAddress)).toBe(reached);
              expect(tookMs).toBe(atMs);
              (outcome as Connection).abort();
            }
          });
        }),
        400,
      ),
    60_000,
  );
});

// RFC 8305, section 5.
const HEAD_START_MS = 250;
// Linux repeats a SYN six times before it gives up, which takes this long.
const UNANSWERED_MS = 127_000;
