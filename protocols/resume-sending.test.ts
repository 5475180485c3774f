import { createHash, randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { OperationTimeoutError } from '../core/errors.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import { portOf } from '../reactor/testing/with-reactor.ts';
import { withSecureReactor } from './testing/tls/secure-reactor.ts';
import type { SecureReactor } from './testing/tls/secure-reactor.ts';

const SIZE = 64 * 1024 * 1024;
const host = '127.0.0.1';

async function plainPair({ reactor }: SecureReactor): Promise<[sender: Connection, reader: Connection]> {
  const listener = await reactor.listen({ host, port: 0 });
  return Promise.all([reactor.connect({ host, port: portOf(listener) }), listener.accept()]);
}

async function securePair(secure: SecureReactor): Promise<[sender: Connection, reader: Connection]> {
  const [client, server] = await plainPair(secure);
  const pair: [Connection, Connection] = [
    client.secure(await secure.client(), { serverName: 'localhost' }),
    server.secure(await secure.server()),
  ];
  await Promise.all([pair[0].handshake(), pair[1].handshake()]);
  return pair;
}

describe('a send of 64 MiB to a reader that stops', () => {
  it.each([
    ['plain', plainPair],
    ['TLS', securePair],
  ] as const)('times out with the index of the last byte sent, and continues after it: %s', (_, makePair) =>
    withSecureReactor(async (secure) => {
      const [sender, reader] = await makePair(secure);
      const data = randomBytes(SIZE);
      const hash = createHash('sha256');
      let left = SIZE;
      // Reads in bursts. After each burst it pauses long enough for the sender to time out.
      const reading = (async () => {
        for (let burst = 8 * 1024 * 1024; left > 0;) {
          const bytes = await reader.receive('*s');
          hash.update(bytes);
          left -= bytes.length;
          burst -= bytes.length;
          if (burst > 0 || left === 0) continue;
          burst = 8 * 1024 * 1024;
          await secure.reactor.select({}, 60);
        }
      })();
      let timeouts = 0;
      for (let first = 0; first < SIZE;) {
        try {
          first = (await sender.send(data, { first, timeouts: { blockMs: 20 } })) + 1;
        } catch (error) {
          if (!(error instanceof OperationTimeoutError) || error.last === undefined) throw error;
          expect(error.want).toBe('write');
          expect(error.last).toBeGreaterThanOrEqual(first - 1);
          expect(error.rest?.length).toBe(SIZE - 1 - error.last);
          first = error.last + 1;
          timeouts++;
        }
      }
      await reading;
      expect(timeouts).toBeGreaterThan(0);
      expect(hash.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
      await Promise.all([sender.close(), reader.close()]);
    }),
  );
});

describe('block against total', () => {
  it('a byte every 50 ms never trips block 200 ms but trips total 500 ms, with all bytes in the partial result', () =>
    withSecureReactor(async (secure) => {
      const [sender, reader] = await plainPair(secure);
      const typing = (async () => {
        for (const letter of 'abcdefghijklmnopqrst') {
          await sender.send(letter);
          await secure.reactor.select({}, 50);
        }
        await sender.send('\n');
      })();
      const startedAt = performance.now();
      const error = await reader.receive('*l', { timeouts: { blockMs: 200, totalMs: 500 } }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(performance.now() - startedAt).toBeGreaterThanOrEqual(500);
      expect(error).toBeInstanceOf(OperationTimeoutError);
      expect(error).toMatchObject({ mode: 'total', message: 'receive timed out (total 500 ms) waiting to read' });
      const { partial } = error as OperationTimeoutError;
      const text = Buffer.from(partial ?? []).toString();
      expect('abcdefghijklmnopqrst'.startsWith(text) && text.length > 0).toBe(true);
      expect(await reader.receive('*l', { prefix: partial, timeouts: { blockMs: 200 } })).toBe('abcdefghijklmnopqrst');
      await typing;
      await Promise.all([sender.close(), reader.close()]);
    }));
});
