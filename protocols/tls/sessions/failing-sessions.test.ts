import { describe, expect, it } from 'vitest';

import { ClosedError } from '../../../core/errors.ts';
import type { Transport } from '../../../core/transport.ts';
import type { Listener } from '../../../reactor/listening/listener.ts';
import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { TlsContext } from '../context/context.ts';
import type { TlsServerOptions } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { failuresOf } from '../../testing/tls/pair.ts';
import type { Layer } from '../../testing/tls/pair.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import { CertificateError, TlsError } from '../tls-error.ts';
import { ClientSessions } from './client-sessions.ts';
import { bytes } from '../../testing/stores/check-store.ts';
import { damaged } from '../../testing/stores/damaged.ts';
import { MapStore } from '../../testing/stores/map-store.ts';

const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** A server that counts its clients, and refuses the next one when `alert` is set. */
interface Site {
  readonly listener: Listener;
  readonly target: { readonly host: string; readonly port: number; readonly serverName: string };
  clients: number;
  /** The alert with which the server refuses the next client. */
  alert: number | undefined;
}

async function site(secure: SecureReactor, options: Partial<TlsServerOptions> = {}): Promise<Site> {
  const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
  const served: Site = {
    listener,
    target: { host: '127.0.0.1', port: portOf(listener), serverName: 'localhost' },
    clients: 0,
    alert: undefined,
  };
  const context = await secure.server({
    resumption: 'stateless',
    chooseContext: () => {
      served.clients++;
      const sent = served.alert;
      served.alert = undefined;
      if (sent !== undefined) throw new TlsError('refused for the test', { sent });
      return undefined;
    },
    ...options,
  });
  listener.serve({ secure: context }, async (connection) => {
    await connection.send('hi\n');
    await connection.receive('*a');
  });
  listener.on('clientError', () => undefined);
  return served;
}

async function visit(
  { reactor }: SecureReactor,
  { target }: Site,
  secure: Layer,
): Promise<SecureConnection['resumption']> {
  const connection = await reactor.connectSecure({ ...target, secure });
  expect(await connection.receive()).toBe('hi');
  await connection.close();
  return connection.resumption;
}

describe.each(versions)('a session that makes the handshake fail, under %s', (version) => {
  const protocols = { min: version, max: version };

  it.each([20, 40, 47, 51, 80, 115])(
    'is forgotten after the alert %i, and connectSecure retries without a session',
    (alert) =>
      withSecureReactor(async (secure) => {
        const served = await site(secure);
        const sessions = new ClientSessions();
        const client = await secure.client({ protocols, sessions });
        expect(await visit(secure, served, client)).toBe('not offered');
        served.alert = alert;
        expect(await visit(secure, served, client)).toBe('failed');
        expect(served.clients).toBe(3);
        expect(await visit(secure, served, client)).toBe('resumed');
        expect(client.sessions.statistics.resumption).toEqual({ 'not offered': 1, failed: 1, resumed: 1 });
      }),
  );

  it.each([42, 43, 44, 45, 46, 48, 49, 112, 120])(
    'is forgotten after the alert %i, without a retry, which would get the same alert',
    (alert) =>
      withSecureReactor(async (secure) => {
        const served = await site(secure);
        const sessions = new ClientSessions();
        const client = await secure.client({ protocols, sessions });
        await visit(secure, served, client);
        served.alert = alert;
        await expect(visit(secure, served, client)).rejects.toMatchObject({ name: 'TlsError', alert, side: 'remote' });
        expect(served.clients).toBe(2);
        expect(sessions.size).toBe(0);
        expect(await visit(secure, served, client)).toBe('not offered');
      }),
  );

  it('does not make connectSecure try a third time', () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const client = await secure.client({ protocols });
      await visit(secure, served, client);
      let refusals = 0;
      const refusing = await site(secure, {
        chooseContext: () => {
          refusals++;
          throw new TlsError('refused for the test', { sent: 80 });
        },
      });
      const session = await keptSession(secure, served, client);
      await expect(
        secure.reactor.connectSecure({ ...refusing.target, secure: client.with({ session }) }),
      ).rejects.toMatchObject({ alert: 80 });
      expect(refusals).toBe(2);
      session.dispose();
    }));

  it('is not offered to the retry when the caller passed it', () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const client = await secure.client({ protocols });
      const session = await keptSession(secure, served, client);
      served.alert = 80;
      expect(await visit(secure, served, client.with({ session }))).toBe('failed');
      session.dispose();
    }));

  it("is forgotten when its secret differs from the server's", () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const sessions = new ClientSessions();
      const client = await secure.client({ protocols, sessions });
      await visit(secure, served, client);
      const kept = sessions.export();
      sessions.clear();
      expect(sessions.import(kept.map(({ key, der }) => ({ key, der: damaged(der) })))).toBeGreaterThan(0);
      expect(await visit(secure, served, client)).toBe('failed');
      expect(await visit(secure, served, client)).toBe('resumed');
    }));

  it('costs one failed handshake when the caller secures the connection', () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const client = await secure.client({ protocols });
      await visit(secure, served, client);
      served.alert = 80;
      const connect = async (): Promise<SecureConnection> =>
        (await secure.reactor.connect({ host: served.target.host, port: served.target.port })).secure(client, {
          serverName: 'localhost',
        });
      await expect((await connect()).handshake()).rejects.toMatchObject({ alert: 80 });
      const connection = await connect();
      await connection.handshake();
      expect(connection.resumption).toBe('not offered');
      connection.abort();
    }));

  it('is also removed from the shared store', () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const store = new MapStore();
      const shared = () => new ClientSessions({ store, storeKey: bytes(32, 1) });
      const [one, other] = [shared(), shared()];
      await visit(secure, served, await secure.client({ protocols, sessions: one }));
      await one.saved();
      expect(store.values.size).toBeGreaterThan(0);
      served.alert = 48;
      await expect(visit(secure, served, await secure.client({ protocols, sessions: other }))).rejects.toThrow(
        TlsError,
      );
      await other.saved();
      expect(store.values.size).toBe(0);
      expect(other.size).toBe(0);
    }));

  it('is kept when the connection is reset, closed, timed out or aborted', () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const sessions = new ClientSessions();
      const client = await secure.client({ protocols, sessions });
      await visit(secure, served, client);
      const [{ key, der }] = sessions.export();
      const endings: ((
        client: Promise<SecureConnection>,
        plain: { close(): Promise<void>; abort(): void },
        give: AbortController,
      ) => void)[] = [
        (_, plain) => {
          plain.abort();
        },
        (_, plain) => {
          void plain.close();
        },
        (_, __, give) => {
          give.abort();
        },
        () => undefined,
      ];
      const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
      for (const end of endings) {
        sessions.clear();
        const moved = key.replace(String(served.target.port), String(portOf(listener)));
        sessions.import([
          { key: moved, der },
          { key: moved, der },
        ]);
        const kept = sessions.size;
        const give = new AbortController();
        const connecting = secure.reactor.connectSecure({
          ...served.target,
          port: portOf(listener),
          secure: client,
          signal: give.signal,
          timeouts: { totalMs: 200 },
        });
        const plain = await listener.accept();
        await plain.receive('*s');
        end(connecting, plain, give);
        const [failure] = await failuresOf(connecting);
        expect(failure).not.toBeInstanceOf(TlsError);
        expect(failure).toBeInstanceOf(Error);
        // Under TLS 1.3 the client uses each session once.
        expect(sessions.size).toBe(version === 'TLSv1.3' ? kept - 1 : kept);
        plain.abort();
      }
      listener.close();
    }));

  it('is kept when this side rejects the certificate', () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const client = await secure.client({ protocols });
      const session = await keptSession(secure, served, client);
      const wanted = client.with({ session, expect: { digest: '00'.repeat(32) } });
      await expect(visit(secure, served, wanted)).rejects.toThrow(CertificateError);
      expect(served.clients).toBe(2);
      session.dispose();
    }));
});

describe('a TLS 1.3 server that refuses after the handshake of the client is complete', () => {
  it('fails the first receive, and the next connect offers no session', () =>
    withSecureReactor(async (secure) => {
      const served = await site(secure);
      const sessions = new ClientSessions();
      const client = await secure.client({ sessions });
      await visit(secure, served, client);
      const connection = await secure.reactor.connectSecure({ ...served.target, secure: spoiling(client) });
      expect(connection.resumption).toBe('resumed');
      await expect(connection.receive()).rejects.toMatchObject({ side: 'remote' });
      expect(sessions.size).toBe(0);
      expect(await visit(secure, served, client)).toBe('not offered');
    }));
});

/** A context that corrupts the last byte of everything that the client writes after its ClientHello. */
function spoiling(client: TlsContext): Layer {
  return {
    transport: (below, options) => {
      let written = 0;
      let helloBytes = Infinity;
      const spoiled = new Proxy(below, {
        get: (target: Transport, name: keyof Transport) => {
          if (name !== 'write')
            return typeof target[name] === 'function' ? (target[name].bind(target) as unknown) : target[name];
          return (from: Uint8Array): number => {
            // A record starts with its type, its version and its length. A write may take only a part of the record.
            if (written === 0) helloBytes = 5 + Buffer.from(from).readUInt16BE(3);
            const copy = Uint8Array.from(from);
            if (written >= helloBytes) copy[copy.length - 1] ^= 1;
            const taken = target.write(copy);
            written += Math.max(taken, 0);
            return taken;
          };
        },
      });
      return client.transport(spoiled, options);
    },
    connection: (transport, basis) => client.connection(transport, basis),
  };
}

async function keptSession(secure: SecureReactor, { target }: Site, client: TlsContext) {
  const connection = await secure.reactor.connectSecure({ ...target, secure: client });
  expect(await connection.receive()).toBe('hi');
  const { session } = connection;
  await connection.close();
  if (session === undefined) throw new ClosedError('there is no session');
  return session;
}
