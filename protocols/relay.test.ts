import { createHash, randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { ClosedError, OperationTimeoutError, SystemError } from '../core/errors.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import type { Reactor } from '../reactor/reactor.ts';
import { portOf, withReactor } from '../reactor/testing/with-reactor.ts';
import { Relay } from './relay.ts';
import type { RelayOptions } from './relay.ts';
import { withSecureReactor } from './testing/tls/secure-reactor.ts';

interface Relayed {
  readonly client: Connection;
  readonly server: Connection;
  readonly relay: Relay;
}

/** A client and a server with a relay between them. */
async function relayed(reactor: Reactor, options?: RelayOptions): Promise<Relayed> {
  const small = { sendBuffer: 16_384, receiveBuffer: 16_384 };
  const front = await reactor.listen({ host: '127.0.0.1', port: 0, ...small });
  const back = await reactor.listen({ host: '127.0.0.1', port: 0, ...small });
  const [client, first] = await Promise.all([
    reactor.connect({ host: '127.0.0.1', port: portOf(front), ...small }),
    front.accept(),
  ]);
  const [second, server] = await Promise.all([
    reactor.connect({ host: '127.0.0.1', port: portOf(back), ...small }),
    back.accept(),
  ]);
  return { client, server, relay: new Relay(first, second, options) };
}

const settled = (relay: Relay): Promise<unknown> =>
  relay.done.then(
    () => undefined,
    (reason: unknown) => reason,
  );

describe('a relay', () => {
  it('carries bytes both ways, forwards each end, and counts the bytes', () =>
    withReactor(async (reactor) => {
      const { client, server, relay } = await relayed(reactor);
      await client.send('question');
      await client.shutdown('send');
      expect(Buffer.from(await server.receive('*a')).toString()).toBe('question');
      await server.send('the answer');
      await server.shutdown('send');
      expect(Buffer.from(await client.receive('*a')).toString()).toBe('the answer');
      expect(await relay.done).toMatchObject({ forward: 8, backward: 10 });
      await Promise.all([client.close(), server.close()]);
    }));

  it('keeps both directions busy at once without losing a byte', () =>
    withReactor(async (reactor) => {
      const { client, server, relay } = await relayed(reactor);
      const [there, back] = [randomBytes(3_000_000), randomBytes(2_000_000)];
      const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
      const [atServer, atClient] = await Promise.all([
        server.receive(there.length),
        client.receive(back.length),
        client.send(there),
        server.send(back),
      ]);
      expect([digest(atServer), digest(atClient)]).toEqual([digest(there), digest(back)]);
      await Promise.all([client.close(), server.close(), relay.done]);
      expect(relay.statistics).toMatchObject({ forward: there.length, backward: back.length });
    }));

  it('reads no more than the slow side takes', () =>
    withReactor(async (reactor) => {
      const { client, server, relay } = await relayed(reactor);
      await expect(client.send(Buffer.alloc(20_000_000), { timeouts: { blockMs: 30 } })).rejects.toBeInstanceOf(
        OperationTimeoutError,
      );
      // Six small kernel buffers and one buffer of the relay lie between the two ends.
      expect(client.statistics.bytesOut).toBeLessThan(1_000_000);
      client.abort();
      expect(await settled(relay)).toBeInstanceOf(SystemError);
      server.abort();
    }));

  it('rejects with ECONNRESET when one side resets, and resets the other side', () =>
    withReactor(async (reactor) => {
      const { client, server, relay } = await relayed(reactor);
      client.abort();
      expect(await settled(relay)).toMatchObject({ code: 'ECONNRESET' });
      await expect(server.receive('*a')).rejects.toMatchObject({ code: 'ECONNRESET' });
    }));

  it('ends at its total timeout, however busy it is', () =>
    withReactor(async (reactor) => {
      const { client, server, relay } = await relayed(reactor, { totalMs: 40 });
      const end = settled(relay);
      const busy = (async () => {
        for (;;) await client.send('x');
      })();
      await expect(busy).rejects.toBeInstanceOf(Error);
      expect(await end).toMatchObject({ mode: 'total' });
      client.abort();
      server.abort();
    }));

  it('waits for a slow reader by its own limits, not by the timeouts of its connections', () =>
    withSecureReactor(async ({ reactor, server, client }) => {
      const small = { sendBuffer: 16_384, receiveBuffer: 8_192 };
      const secure = await server();
      const trusting = await client();
      // How much the kernel buffers varies. With one of these sizes the last bytes wait in the relay's connection.
      await Promise.all(
        [32, 48, 64, 80, 96, 112, 128].map(async (kib) => {
          const front = await reactor.listen({ host: '127.0.0.1', port: 0, ...small });
          const back = await reactor.listen({ host: '127.0.0.1', port: 0 });
          front.serve({ secure }, async (first) => {
            first.timeouts = { totalMs: 200 };
            const [second, source] = await Promise.all([
              reactor.connect({ host: '127.0.0.1', port: portOf(back) }),
              back.accept(),
            ]);
            const relay = new Relay(first, second);
            await source.send(Buffer.alloc(kib * 1024));
            await Promise.all([source.shutdown('both'), relay.done]);
            await source.close();
          });
          const reader = await reactor.connectSecure({
            host: '127.0.0.1',
            port: portOf(front),
            secure: trusting,
            ...small,
          });
          await reactor.select({}, 400);
          expect((await reader.receive('*a')).length).toBe(kib * 1024);
          await reader.close();
          front.close();
          back.close();
        }),
      );
    }));

  it('rejects when its signal aborts, and when other code aborts one of its connections', () =>
    withReactor(async (reactor) => {
      const cancel = new AbortController();
      const first = await relayed(reactor, { signal: cancel.signal });
      cancel.abort('no more');
      expect(await settled(first.relay)).toMatchObject({ name: 'ClosedError', cause: 'no more' });
      const second = await relayed(reactor);
      for (const connection of reactor.connections)
        if (connection !== second.client && connection !== second.server) connection.abort();
      expect(await settled(second.relay)).toBeInstanceOf(ClosedError);
      for (const { client, server } of [first, second]) {
        client.abort();
        server.abort();
      }
    }));
});
