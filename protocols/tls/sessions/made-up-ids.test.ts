// TLS 1.3 clients such as Go, rustls and OpenSSL make up a session id (RFC 8446, appendix D.4). To a TLS 1.2 server it
// looks like the offer of a session.

import { connect as tlsConnect } from 'node:tls';

import { describe, expect, it } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { TlsServerOptions } from '../context/options.ts';
import { localhost, withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { Resumption } from './resumption.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { comeBack, sessionFrom } from '../../testing/stores/visits.ts';

const servers: Readonly<Record<string, () => Partial<TlsServerOptions>>> = {
  'its own cache': () => ({ resumption: 'stateful' }),
  'a store': () => ({ resumption: 'stateful', sessionStore: new MapStore() }),
  tickets: () => ({ resumption: 'stateless' }),
};

describe.each(Object.entries(servers))('a server of TLS 1.2 with %s', (_, options) => {
  it('counts a client with a made-up id as one that offers no session', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ ...options(), protocols: { max: 'TLSv1.2' } });
      const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
      const seen: Resumption[] = [];
      listener.serve({ secure: server }, async (connection) => {
        seen.push(connection.resumption);
        await connection.receive();
      });
      for (let visit = 0; visit < 2; visit++) {
        const client = tlsConnect({
          host: '127.0.0.1',
          port: portOf(listener),
          servername: 'localhost',
          ca: localhost.certificate,
        });
        await new Promise((resolve) => client.once('secureConnect', resolve));
        expect(client.getProtocol()).toBe('TLSv1.2');
        client.end('bye\n');
        await new Promise((resolve) => client.once('close', resolve));
      }
      expect(seen).toEqual(['not offered', 'not offered']);
      expect(server.sessions.statistics.resumption).toEqual({ 'not offered': 2 });
    }));

  it('resumes its own sessions, also for clients that could make up ids', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ ...options(), protocols: { max: 'TLSv1.2' } });
      const session = await sessionFrom(secure, server);
      expect(await comeBack(secure, session, server)).toBe('resumed');
    }));
});

it('a server with a store reports a revoked id of its own as unknown', () =>
  withSecureReactor(async (secure) => {
    const server = await secure.server({
      resumption: 'stateful',
      sessionStore: new MapStore(),
      protocols: { max: 'TLSv1.2' },
    });
    const session = await sessionFrom(secure, server);
    await server.sessions.revoke(session);
    expect(await comeBack(secure, session, server)).toBe('unknown');
  }));
