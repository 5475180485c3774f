/** Interoperability with node:tls. */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createSecureContext, createServer } from 'node:tls';
import type { ConnectionOptions, TlsOptions as NodeServerOptions, TLSSocket } from 'node:tls';

import { describe, expect, it } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { TlsServerOptions } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { abort, failuresOf } from '../../testing/tls/pair.ts';
import type { Layer } from '../../testing/tls/pair.ts';
import { call, host } from '../../testing/tls/peer-program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const site = authority.issue({ names: ['localhost'] });
const own = { certificate: { pem: site.certificate }, key: { pem: site.key } };
const person = authority.issue({ names: ['somebody@example.org'], purpose: 'client' });
const key = Buffer.alloc(32, 7);

interface Met {
  readonly socket: TLSSocket;
  readonly connection: SecureConnection;
}

/** Connects a client of node:tls to a server of ours; the handshake is still running. */
async function visit(secure: SecureReactor, server: Layer, options: ConnectionOptions): Promise<Met> {
  const listener = await secure.reactor.listen({ host, port: 0 });
  const socket = connect({ host, port: portOf(listener), servername: 'localhost', ca: authority.pem, ...options });
  const connection = (await listener.accept()).secure(server);
  listener.close();
  return { socket, connection };
}

/** Like `visit`, after the handshake. */
async function visited(
  secure: SecureReactor,
  server: Partial<TlsServerOptions>,
  options: ConnectionOptions = {},
): Promise<Met> {
  const met = await visit(secure, await secure.server({ ...own, ...server }), options);
  await Promise.all([met.connection.handshake(), once(met.socket, 'secureConnect')]);
  return met;
}

/** Calls `use` with a server of node:tls. */
async function withNodeServer(
  options: NodeServerOptions,
  use: (port: number, accepted: () => Promise<TLSSocket>) => Promise<void>,
): Promise<void> {
  const server = createServer({ cert: site.certificate, key: site.key, ...options });
  server.on('tlsClientError', () => undefined);
  server.listen(0, host);
  await once(server, 'listening');
  try {
    await use(
      (server.address() as AddressInfo).port,
      async () => ((await once(server, 'secureConnection')) as [TLSSocket])[0],
    );
  } finally {
    server.close();
  }
}

/** Connects to a server of node:tls, and completes the handshake. */
async function called(
  secure: SecureReactor,
  port: number,
  client: Layer,
  accepted: () => Promise<TLSSocket>,
  serverName?: string,
): Promise<Met> {
  const connection = await call(secure, port, client, serverName);
  const [socket] = await Promise.all([accepted(), connection.handshake()]);
  return { socket, connection };
}

/** Sends a line each way. */
async function chat({ socket, connection }: Met): Promise<void> {
  socket.write('to you\n');
  expect(await connection.receive()).toBe('to you');
  const heard = once(socket, 'data');
  await connection.send('and back\n');
  expect(String((await heard)[0])).toBe('and back\n');
}

/** Ends the connection from both sides, Node first. */
async function part({ socket, connection }: Met): Promise<void> {
  const closed = once(socket, 'close');
  socket.end();
  expect((await connection.receive('*a')).length).toBe(0);
  await connection.close();
  await closed;
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a client of node:tls, under %s,', (version) => {
  const only = { minVersion: version, maxVersion: version };

  it('exchanges data with our server and closes cleanly', () =>
    withSecureReactor(async (secure) => {
      const met = await visited(secure, {}, only);
      expect(met.socket.authorized).toBe(true);
      expect(met.socket.getProtocol()).toBe(version);
      expect(met.connection.info()).toMatchObject({
        protocol: version,
        serverName: 'localhost',
        cipher: met.socket.getCipher().name,
      });
      await chat(met);
      await part(met);
    }));

  it('gets the certificate for the name that it sends', () =>
    withSecureReactor(async (secure) => {
      const other = authority.issue({ names: ['other.test'] });
      const serverNames = {
        'other.test': await secure.server({ certificate: { pem: other.certificate }, key: { pem: other.key } }),
      };
      const met = await visited(secure, { serverNames }, { ...only, servername: 'other.test' });
      expect(met.socket.getPeerCertificate().subject.CN).toBe('other.test');
      await part(met);
    }));

  it('negotiates an application protocol with us, or is refused', () =>
    withSecureReactor(async (secure) => {
      const met = await visited(secure, { alpn: ['h2', 'http/1.1'] }, { ...only, ALPNProtocols: ['http/1.1', 'h2'] });
      expect([met.socket.alpnProtocol, met.connection.info().alpn]).toEqual(['h2', 'h2']);
      await part(met);
      const refused = await visit(secure, await secure.server({ ...own, alpn: ['h2'] }), {
        ...only,
        ALPNProtocols: ['other'],
      });
      const failure = once(refused.socket, 'error');
      await expect(refused.connection.handshake()).rejects.toMatchObject({ alert: 120 });
      expect((await failure)[0]).toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' });
    }));

  it('presents its certificate', () =>
    withSecureReactor(async (secure) => {
      const met = await visited(
        secure,
        { ca, verify: ['peer', 'fail_if_no_peer_cert'] },
        { ...only, cert: person.certificate, key: person.key },
      );
      expect(met.connection.verification()).toMatchObject({ ok: true, result: 'OK' });
      expect(met.connection.peerCertificate()?.checkEmail('somebody@example.org')).toBe('somebody@example.org');
      await chat(met);
      await part(met);
    }));

  it('has the same Finished messages, keying material and key log as we have', () =>
    withSecureReactor(async (secure) => {
      const met = await visit(secure, await secure.server({ ...own, dangerouslyLogKeys: 'event' }), only);
      const lines: Record<'node' | 'wantio', string[]> = { node: [], wantio: [] };
      met.socket.on('keylog', (line: Buffer) => lines.node.push(line.toString().trim()));
      met.connection.on('keylog', (line: string) => lines.wantio.push(line));
      await Promise.all([met.connection.handshake(), once(met.socket, 'secureConnect')]);
      const { local, remote } = met.connection.finished();
      expect(Buffer.from(local)).toEqual(met.socket.getPeerFinished());
      expect(Buffer.from(remote)).toEqual(met.socket.getFinished());
      const context = Buffer.from('some context');
      expect(Buffer.from(met.connection.exportKeyingMaterial(48, 'EXPORTER-test', context))).toEqual(
        met.socket.exportKeyingMaterial(48, 'EXPORTER-test', context),
      );
      // Node can export with a context only. The channel binding uses an empty context, which also counts as one.
      const nothing = Buffer.alloc(0);
      expect(Buffer.from(met.connection.channelBinding('tls-exporter'))).toEqual(
        met.socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', nothing),
      );
      expect(lines.node.length).toBe(version === 'TLSv1.3' ? 5 : 1);
      expect(lines.wantio.sort()).toEqual(lines.node.sort());
      await part(met);
    }));

  it('gets our OCSP staple', () =>
    withSecureReactor(async (secure) => {
      const staple = Buffer.from('any bytes will do');
      const met = await visit(secure, await secure.server({ ...own, ocspStaple: staple }), {
        ...only,
        requestOCSP: true,
      } as ConnectionOptions);
      const response = once(met.socket, 'OCSPResponse');
      await Promise.all([met.connection.handshake(), once(met.socket, 'secureConnect')]);
      expect((await response)[0]).toEqual(staple);
      await part(met);
    }));
});

describe('a client of node:tls under TLS 1.2', () => {
  const only = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
  const renegotiate = (socket: TLSSocket): Promise<Error | null> =>
    new Promise((resolve) => {
      socket.renegotiate({ rejectUnauthorized: true }, resolve);
    });

  it('renegotiates as often as it is allowed to, and no more', () =>
    withSecureReactor(async (secure) => {
      const met = await visited(secure, { allowPeerRenegotiations: 2 }, only);
      met.socket.on('error', () => undefined);
      for (const count of [1, 2]) {
        const received = met.connection.receive();
        expect(await renegotiate(met.socket)).toBeNull();
        met.socket.write('goes on\n');
        expect(await received).toBe('goes on');
        expect(met.connection.statistics.renegotiations).toBe(count);
        expect(Buffer.from(met.connection.finished().remote)).toEqual(met.socket.getFinished());
      }
      const failure = failuresOf(met.connection.receive());
      void renegotiate(met.socket);
      expect(await failure).toMatchObject([{ reason: 'too many renegotiations' }]);
      abort(met.connection);
      await once(met.socket, 'close');
    }));

  it('is refused a renegotiation by default', () =>
    withSecureReactor(async (secure) => {
      const met = await visited(secure, {}, only);
      const failure = once(met.socket, 'error');
      const received = failuresOf(met.connection.receive());
      void renegotiate(met.socket);
      expect((await failure)[0]).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' });
      expect(await received).toMatchObject([{ name: 'TlsError', side: 'remote' }]);
      abort(met.connection);
    }));

  it('follows when we renegotiate, and when we request its certificate', () =>
    withSecureReactor(async (secure) => {
      const met = await visited(secure, { ca }, { ...only, cert: person.certificate, key: person.key });
      await met.connection.renegotiate();
      expect(met.connection.peerCertificate()).toBeUndefined();
      await met.connection.requestClientCertificate();
      expect(met.connection.peerCertificate()?.checkEmail('somebody@example.org')).toBe('somebody@example.org');
      expect(met.connection.statistics.renegotiations).toBe(2);
      await chat(met);
      await part(met);
    }));

  it('connects with a shared key that it selects by our hint', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({
        certificate: undefined,
        key: undefined,
        psk: (identity) => (identity === 'blue' ? key : undefined),
        pskHint: 'which colour',
      });
      const hints: unknown[] = [];
      const met = await visit(secure, server, {
        ...only,
        ciphers: 'DHE-PSK-AES256-GCM-SHA384:ECDHE-PSK-CHACHA20-POLY1305',
        pskCallback: (hint) => {
          hints.push(hint);
          return { psk: key, identity: 'blue' };
        },
        checkServerIdentity: () => undefined,
      });
      await Promise.all([met.connection.handshake(), once(met.socket, 'secureConnect')]);
      expect(hints).toEqual(['which colour']);
      await chat(met);
      await part(met);
    }));
});

it('a client of node:tls under TLS 1.3 follows when we update the keys, on our side or on both sides', () =>
  withSecureReactor(async (secure) => {
    const met = await visited(secure, {});
    for (const peerToo of [false, true]) {
      await met.connection.updateKeys({ peerToo });
      await chat(met);
    }
    await part(met);
  }));

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a server of node:tls, under %s,', (version) => {
  const only = { minVersion: version, maxVersion: version };

  it('negotiates a name and an application protocol with us, and closes cleanly', () =>
    withSecureReactor((secure) =>
      withNodeServer({ ...only, ALPNProtocols: ['b', 'a'] }, async (port, accepted) => {
        const met = await called(secure, port, await secure.client({ ca, alpn: ['a', 'b'] }), accepted);
        expect(met.connection.info()).toMatchObject({
          protocol: version,
          serverName: 'localhost',
          alpn: 'b',
          mac: 'AEAD',
          cipher: met.socket.getCipher().name,
        });
        expect(met.connection.verification().ok).toBe(true);
        await chat(met);
        await part(met);
      }),
    ));

  it('presents the certificate for the name that we send, and we reject another one', () =>
    withSecureReactor(async (secure) => {
      const client = await secure.client({ ca });
      const SNICallback: NodeServerOptions['SNICallback'] = (name, answer) => {
        const { certificate: cert, key } = authority.issue({ names: [name === 'wrong.test' ? 'other.test' : name] });
        answer(null, createSecureContext({ cert, key }));
      };
      await withNodeServer({ ...only, SNICallback }, async (port, accepted) => {
        for (const name of ['one.test', 'two.test']) {
          const met = await called(secure, port, client, accepted, name);
          expect(met.connection.peerCertificate()?.checkHost(name)).toBe(name);
          expect((met.socket as TLSSocket & { servername: string }).servername).toBe(name);
          await part(met);
        }
        await expect((await call(secure, port, client, 'wrong.test')).handshake()).rejects.toMatchObject({
          name: 'WrongHostError',
          expected: 'wrong.test',
        });
      });
    }));

  it('verifies our certificate', () =>
    withSecureReactor((secure) =>
      withNodeServer(
        { ...only, requestCert: true, rejectUnauthorized: true, ca: authority.pem },
        async (port, accepted) => {
          const met = await called(
            secure,
            port,
            await secure.client({ ca, certificate: { pem: person.certificate }, key: { pem: person.key } }),
            accepted,
          );
          expect(met.socket.authorized).toBe(true);
          expect(met.socket.getPeerCertificate().subject.CN).toBe('somebody@example.org');
          await chat(met);
          await part(met);
        },
      ),
    ));

  it('has the same Finished messages, keying material and key log as we have', () =>
    withSecureReactor((secure) =>
      withNodeServer(only, async (port, accepted) => {
        const connection = await call(secure, port, await secure.client({ ca, dangerouslyLogKeys: 'event' }));
        const lines: string[] = [];
        connection.on('keylog', (line: string) => lines.push(line));
        const [socket] = await Promise.all([accepted(), connection.handshake()]);
        const { local, remote } = connection.finished();
        expect(Buffer.from(local)).toEqual(socket.getPeerFinished());
        expect(Buffer.from(remote)).toEqual(socket.getFinished());
        const context = Buffer.from('some context');
        expect(Buffer.from(connection.exportKeyingMaterial(48, 'EXPORTER-test', context))).toEqual(
          socket.exportKeyingMaterial(48, 'EXPORTER-test', context),
        );
        expect(lines).toHaveLength(version === 'TLSv1.3' ? 5 : 1);
        await part({ socket, connection });
      }),
    ));
});

describe('a server of node:tls under TLS 1.2', () => {
  const only = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

  it('follows when we renegotiate', () =>
    withSecureReactor((secure) =>
      withNodeServer(only, async (port, accepted) => {
        const met = await called(secure, port, await secure.client({ ca }), accepted);
        const before = met.connection.finished();
        await met.connection.renegotiate();
        expect(met.connection.finished().local).not.toEqual(before.local);
        expect(met.connection.statistics.renegotiations).toBe(1);
        await chat(met);
        await part(met);
      }),
    ));

  it('accepts us with a shared key that we select by its hint', () =>
    withSecureReactor((secure) =>
      withNodeServer(
        {
          ...only,
          cert: undefined,
          key: undefined,
          ciphers: 'DHE-PSK-AES256-GCM-SHA384:ECDHE-PSK-CHACHA20-POLY1305',
          pskCallback: (_, identity) => (identity === 'blue' ? key : null),
          pskIdentityHint: 'which colour',
        },
        async (port, accepted) => {
          const hints: unknown[] = [];
          const met = await called(
            secure,
            port,
            await secure.client({
              psk: (hint) => {
                hints.push(hint);
                return { identity: hint === undefined ? 'red' : 'blue', key };
              },
            }),
            accepted,
          );
          expect(hints).toEqual([undefined, 'which colour']);
          await chat(met);
          await part(met);
        },
      ),
    ));
});
