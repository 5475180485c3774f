// Law: on a simulated network every client is served or gets an error. Even without a time limit each operation
// settles, whatever its target is, whatever the server does, and whenever it does it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { link } from '../kit/arbitraries.ts';
import { checkLaw, replaying } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

const plan = fc.record({
  link: link(),
  kind: fc.constantFrom('tcp', 'unix'),
  backlog: fc.nat(3),
  /** How many descriptors the server has in addition to its listener and the reserve. */
  room: fc.integer({ min: 1, max: 4 }),
  /** When the server begins to accept, and when it closes its listener. The close may come first. */
  acceptsAtMs: fc.constantFrom(0, 10, 2_000, Infinity),
  closesAtMs: fc.constantFrom(0, 5, 1_000, 200_000),
  ending: fc.constantFrom('answers', 'closes', 'resets'),
  clients: fc.array(
    fc.record({
      to: fc.constantFrom('there', 'there', 'there', 'another port', 'nowhere'),
      atMs: fc.constantFrom(0, 1, 20, 3_000),
    }),
    { minLength: 1, maxLength: 8 },
  ),
});

describe('a simulated network', () => {
  it('serves every client or fails it with an error', async () => {
    const outcomes = new Set<string>();
    await checkLaw(
      fc.asyncProperty(
        plan,
        async ({ link: carrying, kind, backlog, room, acceptsAtMs, closesAtMs, ending, clients }) => {
          await simulate({ link: carrying }, async (world) => {
            const [here, there] = [
              world.machine('here'),
              world.machine('there', { descriptors: 2 + room + (kind === 'unix' ? clients.length : 0) }),
            ];
            const from = kind === 'unix' ? there : here;
            const where = (host: string, port: number) =>
              kind === 'unix' ? { path: `${host}:${String(port)}` } : { host, port };
            const listener = await there.reactor.listen({
              ...(kind === 'unix' ? where('there', 7) : { host: '0.0.0.0', port: 7 }),
              backlog,
            });
            const use = async (connection: Connection): Promise<void> => {
              if (ending === 'resets') connection.abort();
              if (ending === 'answers') await connection.send('hi\n');
              await connection.close();
            };
            const accepts = world.sleep(acceptsAtMs === Infinity ? 0 : acceptsAtMs).then(() => {
              if (acceptsAtMs !== Infinity && !listener.closed) listener.serve({}, use);
            });
            const closes = world.sleep(closesAtMs).then(() => {
              listener.close();
            });
            await Promise.all([
              accepts,
              closes,
              ...clients.map(async ({ to, atMs }) => {
                await world.sleep(atMs);
                const target = to === 'nowhere' ? where('10.9.9.9', 7) : where('there', to === 'there' ? 7 : 8);
                try {
                  const client = await from.reactor.connect(target);
                  const line = await client.receive().catch((error: unknown) => {
                    client.abort();
                    throw error;
                  });
                  expect(line).toBe('hi');
                  await client.close();
                  outcomes.add('served');
                } catch (error) {
                  if (!(error instanceof WantioError)) throw error;
                  outcomes.add(error.code);
                }
              }),
            ]);
          });
        },
      ),
      400,
    );
    if (!replaying())
      expect([...outcomes].sort()).toEqual(
        expect.arrayContaining(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ERR_WANTIO_CLOSED', 'served']),
      );
  });
});
