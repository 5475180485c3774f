// Law: a server that runs out of descriptors loses some clients but keeps running. It emits `overload`, and it serves
// new clients when descriptors are free again.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import { checkLaw, replaying } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

const plan = fc.record({
  latencyMs: fc.integer({ min: 0, max: 10 }),
  // The server has a descriptor for the listener, one in reserve, and this many for connections.
  room: fc.integer({ min: 1, max: 4 }),
  clients: fc.array(
    fc.record({ arrivesAtMs: fc.integer({ min: 0, max: 100 }), staysMs: fc.integer({ min: 0, max: 200 }) }),
    { minLength: 5, maxLength: 12 },
  ),
});

describe('a shortage of descriptors', () => {
  it('fails some clients but not the server', async () => {
    let overloads = 0;
    await checkLaw(
      fc.asyncProperty(plan, ({ latencyMs, room, clients }) =>
        simulate({ link: { latencyMs } }, async (world) => {
          const [here, there] = [world.machine('here'), world.machine('there', { descriptors: 2 + room })];
          const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
          listener.on('overload', () => overloads++);
          listener.serve({}, async (connection) => {
            for await (const line of connection.lines()) await connection.send(`${line}\n`);
          });
          await Promise.all(
            clients.map(async ({ arrivesAtMs, staysMs }) => {
              await world.sleep(arrivesAtMs);
              try {
                const client = await here.reactor.connect({ host: 'there', port: 7, timeouts: { totalMs: 500 } });
                await world.sleep(staysMs);
                await client.close();
              } catch (error) {
                if (!(error instanceof WantioError)) throw error;
              }
            }),
          );
          await world.sleep(5_000);
          const late = await here.reactor.connect({ host: 'there', port: 7, timeouts: { totalMs: 5_000 } });
          await late.send('is anybody there?\n');
          expect(await late.receive('*l', { timeouts: { totalMs: 5_000 } })).toBe('is anybody there?');
          await late.close();
        }).then(() => undefined),
      ),
      1_000,
    );
    if (!replaying()) expect(overloads).toBeGreaterThan(0);
  }, 600_000);
});
