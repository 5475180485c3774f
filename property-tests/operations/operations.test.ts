// Law: `reactor.operations()` lists every running operation with its want, its start and the time that its limits
// leave.

import { describe, expect, it } from 'vitest';

import { SecureConnection, selfSigned, TlsContext } from '../../protocols/tls/index.ts';
import type { SessionStore } from '../../protocols/tls/index.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';

const { certificate, key } = selfSigned({ names: ['there'] });

describe('reactor.operations()', () => {
  it('lists each operation with its want, its start, and the time left of its limits', () =>
    simulate({}, async (world) => {
      const { here, there, client, server } = await pairIn(world);
      const startedAt = world.now();
      const receiving = client.receive(5, { timeouts: { blockMs: 100, totalMs: 250 } });
      const accepting = [...there.reactor.openListeners][0].accept();
      const selecting = there.reactor.select({ read: [server] }, 1_000);
      await world.sleep(40);
      expect(here.reactor.operations()).toEqual([
        {
          name: 'receive',
          want: 'read',
          sinceMs: startedAt,
          remaining: { ms: 60, mode: 'block' },
          peer: client.remoteAddress,
        },
      ]);
      expect(there.reactor.operations()).toEqual([
        { name: 'select', want: 'read', sinceMs: startedAt, remaining: { ms: 960, mode: 'total' }, peer: undefined },
        { name: 'accept', want: 'read', sinceMs: startedAt, remaining: null, peer: undefined },
      ]);
      // Each byte begins a new wait, which renews the block limit. The total limit continues.
      await server.send('a');
      await world.sleep(75);
      await server.send('b');
      await world.sleep(75);
      await server.send('c');
      await world.sleep(40);
      expect(here.reactor.operations()).toMatchObject([
        { name: 'receive', want: 'read', remaining: { ms: 20, mode: 'total' } },
      ]);
      await server.send('de');
      expect(await receiving).toEqual(new TextEncoder().encode('abcde'));
      for (const operation of [accepting, selecting]) operation.catch(() => undefined);
      expect(here.reactor.operations()).toEqual([]);
    }));

  it('shows that a handshake waits for a session store', () =>
    simulate({}, async (world) => {
      const values = new Map<string, Uint8Array>();
      const store: SessionStore = {
        get: (name) => world.sleep(100).then(() => values.get(name)),
        set: (name, value) => void values.set(name, value),
        remove: (name) => void values.delete(name),
      };
      const contexts = {
        server: await TlsContext.server({
          certificate: { pem: certificate },
          key: { pem: key },
          resumption: 'stateful',
          sessionStore: store,
          sessionLookupMs: 500,
        }),
        client: await TlsContext.client({ ca: { pem: certificate }, sessions: 'off' }),
      };
      const first = await pairIn(world, {}, contexts);
      await Promise.all([
        first.client.send('hi\n'),
        first.server.receive(),
        first.server.send('hi\n'),
        first.client.receive(),
      ]);
      const session = first.client instanceof SecureConnection ? first.client.session : undefined;
      first.client.abort();
      first.server.abort();

      const [plain, accepted] = await Promise.all([
        first.here.reactor.connect({ host: 'there', port: 7 }),
        [...first.there.reactor.openListeners][0].accept(),
      ]);
      const [near, far] = [
        plain.secure(contexts.client.with({ session }), { serverName: 'there' }),
        accepted.secure(contexts.server),
      ];
      const shaken = Promise.all([near.handshake(), far.handshake({ timeouts: { totalMs: 300 } })]);
      const startedAt = world.now();
      await world.sleep(60);
      expect(first.there.reactor.operations()).toEqual([
        {
          name: 'handshake',
          want: 'lookup',
          sinceMs: startedAt,
          remaining: { ms: 240, mode: 'total' },
          peer: far.remoteAddress,
        },
      ]);
      expect(first.here.reactor.operations()).toMatchObject([{ name: 'handshake', want: 'read', remaining: null }]);
      await shaken;
      expect(far.resumption).toBe('resumed');
      contexts.server.close();
      contexts.client.close();
    }));
});
