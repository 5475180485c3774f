// Law: with a limit of zero an operation does everything that needs no waiting, as with any other limit. Then it times
// out at once.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { OperationTimeoutError } from '../../core/errors.ts';
import { portOf, withReactor } from '../../reactor/testing/with-reactor.ts';
import { checkLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const contexts = await contextsFor('TLSv1.3');
const zero = fc.constantFrom(
  { blockMs: 0 },
  { totalMs: 0 },
  { blockMs: 0, totalMs: 0 },
  { blockMs: 0, totalMs: 1_000 },
  { blockMs: 1_000, totalMs: 0 },
);

describe('a limit of zero', () => {
  it(
    'lets a send and a receive move all bytes that need no waiting, also over TLS',
    () =>
      checkLaw(
        fc.asyncProperty(
          zero,
          zero,
          fc.integer({ min: 0, max: 3_000_000 }),
          fc.boolean(),
          async (ofSend, ofReceive, size, isSecure) => {
            await simulate({}, async (world) => {
              const { client, server } = await pairIn(
                world,
                { sendBuffer: 4_000_000, receiveBuffer: 4_000_000 },
                isSecure ? contexts : undefined,
              );
              await Promise.all([client.handshake(), server.handshake()]);
              const data = Buffer.alloc(size, 'data');
              expect(await client.send(data, { timeouts: ofSend })).toBe(size - 1);
              await world.sleep(1);
              expect(Buffer.from(await server.receive(size, { timeouts: ofReceive })).equals(data)).toBe(true);
              const startedAt = world.now();
              const failure = await server.receive(1, { timeouts: ofReceive }).catch((error: unknown) => error);
              expect(failure).toBeInstanceOf(OperationTimeoutError);
              expect(failure).toMatchObject({ want: 'read' });
              expect(world.now()).toBe(startedAt);
            });
          },
        ),
        60,
      ),
    600_000,
  );

  it('lets a loop of receives see arriving bytes although the loop never waits', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const [client, server] = await Promise.all([
        reactor.connect({ host: '127.0.0.1', port: portOf(listener) }),
        listener.accept(),
      ]);
      await client.send('hello\n');
      let line: string | undefined;
      for (let tries = 0; tries < 1_000 && line === undefined; tries++)
        line = await server.receive('*l', { timeouts: { totalMs: 0 } }).catch(() => undefined);
      expect(line).toBe('hello');
      client.abort();
      server.abort();
    }));

  it.each(['a number', 'a path'])('lets a connect succeed that needs no waiting: to %s', (where) =>
    withReactor(async (reactor) => {
      const target =
        where === 'a path' ? { path: `\0wantio-zero-${String(process.pid)}` } : { host: '127.0.0.1', port: 0 };
      const listener = await reactor.listen(target);
      const to = 'path' in target ? target : { host: '127.0.0.1', port: portOf(listener) };
      for (const timeouts of [{ blockMs: 0 }, { totalMs: 0 }]) {
        const client = await reactor.connect({ ...to, timeouts });
        const server = await listener.accept({ timeouts });
        client.abort();
        server.abort();
      }
      await expect(listener.accept({ timeouts: { totalMs: 0 } })).rejects.toMatchObject({
        name: 'OperationTimeoutError',
        message: 'accept timed out (total 0 ms) waiting to read',
      });
      listener.close();
    }),
  );
});
