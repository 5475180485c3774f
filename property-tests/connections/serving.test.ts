// Law: however many clients come, and however slowly they leave, a server never has more than `maxHandshakes`
// unfinished handshakes or more than `maxConnections` connections. For each connection that it drops it reports the
// reason.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { Reactor } from '../../reactor/reactor.ts';
import { checkLaw } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const contexts = await contextsFor('TLSv1.3');

describe('a server', () => {
  it(
    'drops the oldest unfinished handshake for a new one, even when many clients come in one turn',
    () =>
      checkLaw(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 8 }),
          fc.integer({ min: 1, max: 80 }),
          async (maxHandshakes, clients) => {
            await simulate({}, async (world) => {
              const [here, there] = [world.machine('here'), world.machine('there')];
              const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
              const reasons: string[] = [];
              listener.on('clientError', ({ message }) => reasons.push(message));
              listener.serve({ secure: contexts.server, maxHandshakes }, () => undefined);
              // A client that is dropped at once may see its connect fail.
              const silent = await Promise.allSettled(
                Array.from({ length: clients }, () => here.reactor.connect({ host: 'there', port: 7 })),
              );
              await world.sleep(1);
              const unfinished = there.reactor.operations().filter(({ name }) => name === 'handshake').length;
              expect(unfinished).toBe(Math.min(clients, maxHandshakes));
              expect(reasons).toEqual(
                Array.from(
                  { length: Math.max(0, clients - maxHandshakes) },
                  () =>
                    expect.stringContaining(
                      `more than ${String(maxHandshakes)} handshakes were unfinished (maxHandshakes)`,
                    ) as string,
                ),
              );
              for (const each of silent) if (each.status === 'fulfilled') each.value.abort();
              listener.close();
            });
          },
        ),
        60,
      ),
    600_000,
  );

  it(
    'counts closing connections towards maxConnections, and drops the oldest of them for a new one',
    () =>
      checkLaw(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 5 }),
          fc.integer({ min: 1, max: 20 }),
          async (maxConnections, clients) => {
            await simulate({}, async (world) => {
              const [here, there] = [world.machine('here', { receiveBuffer: 100 }), world.machine('there')];
              const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
              const served: Connection[] = [];
              listener.serve(
                { maxConnections, close: { timeoutMs: 60_000, idleMs: 60_000, minBytesPerSecond: 0 } },
                async (connection) => {
                  served.push(connection);
                  // The client does not take this much, so the connection cannot close yet.
                  await connection.send(Buffer.alloc(1_000));
                },
              );
              const readers: Connection[] = [];
              for (let client = 0; client < clients; client++) {
                readers.push(await here.reactor.connect({ host: 'there', port: 7 }));
                await world.sleep(1);
                expect(there.reactor.connections.size).toBe(Math.min(client + 1, maxConnections));
              }
              expect(served.length).toBe(clients);
              const kept = served.map(({ closed }) => !closed);
              expect(kept).toEqual(served.map((_, index) => index >= clients - maxConnections));
              for (const [index, connection] of served.entries())
                if (!kept[index]) expect(connection.closeReason?.message).toContain('dropped for a new one');
              // The clients that were not dropped get all bytes.
              const got = await Promise.all(
                readers.map((reader) =>
                  reader.receive('*a').then(
                    ({ length }) => length,
                    (error: unknown) => (error instanceof WantioError ? 'dropped' : 'bug'),
                  ),
                ),
              );
              expect(got).toEqual(kept.map((isKept) => (isKept ? 1_000 : 'dropped')));
              for (const reader of readers) reader.abort();
              listener.close();
            });
          },
        ),
        60,
      ),
    600_000,
  );

  it.each<[string, (connection: Connection, reactor: Reactor) => unknown, boolean]>([
    [
      'an operation that begins while another runs',
      async (connection) => Promise.all([connection.receive(), connection.receive()]),
      true,
    ],
    ['a failing connect of the handler', (_, reactor) => reactor.connect({ host: 'nowhere', port: 1 }), true],
    ['a TypeError of the handler', () => Promise.reject(new TypeError('a slip')), true],
    ['a client that goes away', (connection) => connection.receive(), false],
  ])('without a clientError listener warns only of faults of the handler itself: %s', async (_, handler, warns) => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    try {
      await simulate({}, async (world) => {
        const [here, there] = [world.machine('here'), world.machine('there')];
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
        listener.serve({}, async (connection) => {
          await handler(connection, there.reactor);
        });
        const client = await here.reactor.connect({ host: 'there', port: 7 });
        await world.sleep(1);
        client.abort();
        await world.sleep(1);
        listener.close();
      });
      await new Promise(setImmediate);
    } finally {
      process.off('warning', onWarning);
    }
    expect(warnings.length).toBe(warns ? 1 : 0);
  });
});
