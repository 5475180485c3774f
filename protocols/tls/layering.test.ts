import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { BusyError, ClosedError, OperationTimeoutError } from '../../core/errors.ts';
import { DONE, END, WANT_READ } from '../../core/want.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { portOf } from '../../reactor/testing/with-reactor.ts';
import { openssl } from './openssl.ts';
import type { SecureConnection } from './secure-connection.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../testing/tls/secure-reactor.ts';

const host = '127.0.0.1';

async function plainPair({ reactor }: SecureReactor): Promise<[client: Connection, server: Connection]> {
  const listener = await reactor.listen({ host, port: 0 });
  const pair = await Promise.all([reactor.connect({ host, port: portOf(listener) }), listener.accept()]);
  listener.close();
  return pair;
}

async function securePair(secure: SecureReactor): Promise<[client: SecureConnection, server: SecureConnection]> {
  const [client, server] = await plainPair(secure);
  return [client.secure(await secure.client(), { serverName: 'localhost' }), server.secure(await secure.server())];
}

const abort = (...connections: Connection[]): void => {
  for (const connection of connections) connection.abort();
};

describe('TLS over a connection', () => {
  it('leaves the connection below unusable by itself', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await plainPair(secure);
      const above = client.secure(await secure.client(), { serverName: 'localhost' });
      await expect(client.send('x')).rejects.toMatchObject({
        name: 'ClosedError',
        message: 'send refused: a layer has taken the connection over; use the connection that secure() returned',
      });
      expect(() => client.tryReceive()).toThrow(ClosedError);
      expect(secure.reactor.connections.has(above)).toBe(true);
      expect(secure.reactor.connections.has(client)).toBe(false);
      abort(above, server);
    }));

  it('is refused while an operation is running', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await plainPair(secure);
      const context = await secure.client();
      const receiving = client.receive();
      expect(() => client.secure(context, { serverName: 'localhost' })).toThrow(BusyError);
      abort(client, server);
      await expect(receiving).rejects.toBeInstanceOf(ClosedError);
    }));

  it('runs the handshake with the first send or receive, within the timeouts of that operation', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      await expect(client.receive('*l', { timeouts: { blockMs: 10 } })).rejects.toBeInstanceOf(OperationTimeoutError);
      expect(client.secured).toBe(false);
      const secured = new Promise<void>((resolve) => client.once('secure', resolve));
      await Promise.all([
        client.send('first\n'),
        server.receive().then((line) => {
          expect(line).toBe('first');
        }),
      ]);
      await secured;
      expect(client.secured && server.secured).toBe(true);
      abort(client, server);
    }));

  it('tries the handshake step by step, as LuaSec does', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      expect(() => client.info()).toThrow(ClosedError);
      expect(client.tryHandshake()).toBe(WANT_READ);
      expect(client.want()).toBe('read');
      for (let done = 0; done < 2;) {
        await secure.reactor.select({ read: [client, server].filter((each) => !each.secured) }, 1_000);
        done = [client, server].filter((each) => each.tryHandshake() === DONE).length;
      }
      expect(client.want()).toBe('nothing');
      expect(client.info().protocol).toBe('TLSv1.3');
      abort(client, server);
    }));

  it('runs one handshake for a concurrent send, receive and shutdown', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
      const both = await Promise.all([
        client.receive('*a'),
        client.send('from the client').then(() => client.shutdown('send')),
        server.receive('*a'),
        server.shutdown('send'),
      ]);
      expect([text(both[0]), text(both[2])]).toEqual(['', 'from the client']);
      await Promise.all([client.close(), server.close()]);
    }));

  it('causes almost no turns while its handshake waits for the peer', () =>
    withSecureReactor(async (secure) => {
      const [client, plain] = await plainPair(secure);
      const server = plain.secure(await secure.server());
      const shaking = server.handshake({ timeouts: { totalMs: 1_000 } });
      await client.send(Buffer.from([22, 3, 1]));
      await secure.reactor.select({}, 20);
      const before = secure.reactor.loop.turns;
      await secure.reactor.select({}, 20);
      expect(secure.reactor.loop.turns - before).toBeLessThan(8);
      abort(client);
      await expect(shaking).rejects.toMatchObject({ code: 'ECONNRESET' });
    }));

  it('stays open after a handshake timeout with keepOpen, and is closed without it', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      await expect(client.handshake({ timeouts: { totalMs: 5 }, keepOpen: true })).rejects.toBeInstanceOf(
        OperationTimeoutError,
      );
      expect(client.closed).toBe(false);
      await Promise.all([client.handshake(), server.handshake()]);
      abort(client, server);
      const [second, peer] = await securePair(secure);
      await expect(second.handshake({ timeouts: { totalMs: 5 } })).rejects.toBeInstanceOf(OperationTimeoutError);
      expect(second.closed).toBe(true);
      abort(peer);
    }));

  it.each(['blockMs', 'totalMs'])('stays open when its handshake is tried only once (%s 0)', (limit) =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      await expect(client.handshake({ timeouts: { [limit]: 0 } })).rejects.toBeInstanceOf(OperationTimeoutError);
      expect(client.closed).toBe(false);
      await Promise.all([client.handshake(), server.handshake()]);
      abort(client, server);
    }),
  );

  it('can be aborted by a "secure" listener in the middle of a shutdown', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      const shaking = server.handshake().catch(() => undefined);
      client.once('secure', () => {
        client.abort();
      });
      await expect(client.shutdown()).rejects.toBeInstanceOf(ClosedError);
      expect(openssl().ERR_peek_error()).toBe(0);
      await shaking;
      abort(server);
    }));

  it('takes over bytes that the connection below has received', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await plainPair(secure);
      const above = client.secure(await secure.client(), { serverName: 'localhost' });
      const shaking = above.handshake();
      // The client hello is in the buffer of the plain connection, as after a command such as STARTTLS.
      const hello = await server.receive(5);
      server.unread(hello);
      const peer = server.secure(await secure.server());
      await Promise.all([shaking, peer.handshake()]);
      await peer.send('over both\n');
      expect(await above.receive()).toBe('over both');
      abort(above, peer);
    }));

  it('half-closes: close_notify ends one direction only', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      await Promise.all([client.send('question'), server.handshake()]);
      await client.shutdown('send');
      expect(Buffer.from(await server.receive('*a')).toString()).toBe('question');
      await server.send('answer');
      expect(Buffer.from(await client.receive(6)).toString()).toBe('answer');
      await expect(client.send('more')).rejects.toMatchObject({
        message: expect.stringContaining('this side has sent close_notify') as string,
      });
      const closing = Promise.all([server.close(), client.close()]);
      await closing;
    }));

  it('counts decrypted bytes as readable', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      await Promise.all([client.handshake(), server.handshake()]);
      await server.send('abcdef');
      await secure.reactor.select({ read: [client] }, 1_000);
      const one = new Uint8Array(1);
      expect(client.tryReceiveInto(one)).toBe(1);
      for (const letter of 'bcdef') {
        const { readable } = await secure.reactor.select({ read: [client] }, 1_000);
        expect(readable).toEqual([client]);
        expect(client.tryReceiveInto(one)).toBe(1);
        expect(String.fromCharCode(one[0])).toBe(letter);
      }
      expect(client.tryReceiveInto(one)).toBe(WANT_READ);
      abort(client, server);
    }));

  it('runs over Unix sockets, and over TLS', () =>
    withSecureReactor(async (secure) => {
      const path = join(mkdtempSync(join(tmpdir(), 'wantio-')), 'socket');
      const listener = await secure.reactor.listen({ path });
      const [client, server] = await Promise.all([secure.reactor.connect({ path }), listener.accept()]);
      const [contextOfClient, contextOfServer] = [
        await secure.client({ protocols: { max: 'TLSv1.2' } }),
        await secure.server(),
      ];
      const outer = [client.secure(contextOfClient, { serverName: 'localhost' }), server.secure(contextOfServer)];
      await Promise.all(outer.map((each) => each.handshake()));
      const inner = [
        outer[0].secure(await secure.client(), { serverName: 'localhost' }),
        outer[1].secure(contextOfServer),
      ];
      const big = Buffer.alloc(1_000_000, 'in two envelopes ');
      const [received] = await Promise.all([inner[1].receive(big.length), inner[0].send(big)]);
      expect(Buffer.from(received).equals(big)).toBe(true);
      expect(inner[0].info().protocol).toBe('TLSv1.3');
      await Promise.all(inner.map((each) => each.close()));
    }));

  it('returns END for each read after close_notify', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await securePair(secure);
      await Promise.all([client.handshake(), server.handshake()]);
      await server.shutdown('send');
      await secure.reactor.select({ read: [client] }, 1_000);
      expect(client.tryReceive()).toBe(END);
      expect(client.tryReceive()).toBe(END);
      await Promise.all([client.close(), server.close()]);
    }));

  it('selects the application protocol in a handshake that outlives its context', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await plainPair(secure);
      const context = await secure.server({ alpn: ['echo'] });
      const pair = [
        client.secure(await secure.client({ alpn: ['echo'] }), { serverName: 'localhost' }),
        server.secure(context),
      ];
      context.close();
      await Promise.all(pair.map((each) => each.handshake()));
      expect(pair[0].info().alpn).toBe('echo');
      abort(...pair);
    }));

  it('frees everything when a context is closed while connections use it', () =>
    withSecureReactor(async (secure) => {
      const [client, server] = await plainPair(secure);
      const contexts = [await secure.client(), await secure.server()];
      const pair = [client.secure(contexts[0], { serverName: 'localhost' }), server.secure(contexts[1])];
      for (const context of contexts) context.close();
      await Promise.all(pair.map((each) => each.handshake()));
      await Promise.all([
        pair[0].send('fine\n'),
        pair[1].receive().then((line) => {
          expect(line).toBe('fine');
        }),
      ]);
      abort(...pair);
    }));

  it('requires a client certificate with fail_if_no_peer_cert', () =>
    withSecureReactor(async (secure) => {
      const { localhost } = await import('../testing/tls/secure-reactor.ts');
      const listener = await secure.reactor.listen({ host, port: 0 });
      const errors: Error[] = [];
      listener.on('clientError', (error) => errors.push(error));
      listener.serve(
        {
          secure: await secure.server({ verify: ['peer', 'fail_if_no_peer_cert'], ca: { pem: localhost.certificate } }),
        },
        async (connection) => {
          await connection.send(connection.peerCertificate()?.toX509Certificate().subject ?? 'nobody');
        },
      );
      const known = await secure.reactor.connectSecure({
        host,
        port: portOf(listener),
        secure: await secure.client({ certificate: { pem: localhost.certificate }, key: { pem: localhost.key } }),
      });
      expect(Buffer.from(await known.receive('*a')).toString()).toBe('CN=localhost');
      const unknown = await secure.reactor.connectSecure({
        host,
        port: portOf(listener),
        secure: await secure.client(),
      });
      // Under TLS 1.3 the client's handshake is done before the server refuses.
      await expect(unknown.receive('*a')).rejects.toMatchObject({ name: 'TlsError', side: 'remote', alert: 116 });
      expect(errors).toMatchObject([{ name: 'TlsError', reason: 'peer did not return a certificate' }]);
      await Promise.all([known.close(), unknown.close()]);
    }));
});
