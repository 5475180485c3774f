// Law: a reactor that drains is closed by its deadline, whatever its connections are doing. Work that can finish in
// time finishes. All descriptors are closed.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TICK_MS } from '../../core/clock.ts';
import { WantioError } from '../../core/errors.ts';
import { schedule } from '../kit/arbitraries.ts';
import { checkLaw } from '../kit/law.ts';
import { follow } from '../kit/schedule.ts';
import { simulate } from '../kit/simulate.ts';

const plan = fc.record({
  latencyMs: fc.integer({ min: 0, max: 20 }),
  timeoutMs: fc.integer({ min: 1, max: 2_000 }),
  drainAtMs: fc.integer({ min: 0, max: 300 }),
  clients: schedule(fc.record({ worksMs: fc.integer({ min: 0, max: 3_000 }), leaves: fc.boolean() }), {
    maxLength: 6,
    maxMs: 150,
  }),
});

describe('a drain', () => {
  it(
    'ends by its deadline, and completes the work that fits into it',
    () =>
      checkLaw(
        fc.asyncProperty(plan, async ({ latencyMs, timeoutMs, drainAtMs, clients }) => {
          await simulate({ link: { latencyMs } }, async (world) => {
            const [here, there] = [world.machine('here'), world.machine('there')];
            const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
            listener.serve({}, async (connection) => {
              const worksMs = Number(await connection.receive());
              await world.sleep(worksMs);
              await connection.send('done\n');
            });
            const working: Promise<void>[] = [];
            const work = async ({ worksMs, leaves }: (typeof clients)[number]['what']): Promise<void> => {
              const arrivesAtMs = world.now();
              try {
                const client = await here.reactor.connect({ host: 'there', port: 7 });
                await client.send(`${String(worksMs)}\n`);
                const startedAt = world.now();
                const answer = client.receive();
                if (leaves) client.abort();
                expect(await answer).toBe('done');
                expect(world.now() - startedAt).toBeGreaterThanOrEqual(worksMs);
                await client.close();
              } catch (error) {
                if (!(error instanceof WantioError)) throw error;
                // A client must be served if it came before the drain and its work and the closes fit into the drain.
                const inTime =
                  !leaves &&
                  arrivesAtMs + 3 * latencyMs < drainAtMs &&
                  arrivesAtMs + worksMs + 8 * latencyMs + 8 < drainAtMs + timeoutMs;
                if (inTime) throw error;
              }
            };
            const arriving = follow(world, clients, (client) => working.push(work(client)));
            await world.sleep(drainAtMs);
            const startedAt = world.now();
            await there.reactor.close({ timeoutMs });
            expect(world.now() - startedAt).toBeLessThanOrEqual(timeoutMs + TICK_MS);
            expect(there.reactor.connections.size).toBe(0);
            expect(there.host.openDescriptors).toBe(0);
            await arriving;
            await Promise.all(working);
          });
        }),
        1_000,
      ),
    600_000,
  );
});
