/**
 * Resumption skips the checks of certificates. Therefore each decision about trust is tried with each way in which a
 * client can get a session.
 */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';

import { describe, expect, it } from 'vitest';

import type { TlsClientOptions, TlsConnectionOptions, TlsServerOptions } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { abort, securePair, talk } from '../../testing/tls/pair.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import { CertificateError } from '../tls-error.ts';
import { ClientSessions } from './client-sessions.ts';

const authority = new Authority();
const site = authority.issue({ names: ['localhost'] });
const person = authority.issue({ names: ['someone.test'], purpose: 'client' });
const misused = authority.issue({ names: ['localhost'], purpose: 'client' });
const stranger = new Authority().issue({ names: ['someone.test'], purpose: 'client' });
const own = { certificate: { pem: site.certificate }, key: { pem: site.key } };
const identity = ({ certificate, key }: typeof person) => ({ certificate: { pem: certificate }, key: { pem: key } });
const trusts = { ca: { pem: authority.pem } };
const strangers = { ca: { pem: new Authority().pem } };

/** The ways in which the second connection gets the session. */
const SOURCES = ['kept', 'given', 'given as a copy', 'copied'] as const;
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

/** What changes between the first and the second connection. */
interface Change {
  readonly server?: Partial<TlsServerOptions>;
  /** The client's options of the first connection. */
  readonly before: TlsClientOptions;
  /** The client's options of the second connection. */
  readonly after: TlsClientOptions;
  readonly connection?: TlsConnectionOptions;
  readonly serverName?: string;
}

/**
 * Connects twice, the second time with the session of the first connection.
 * @returns both ends of the second connection, before its handshake.
 */
async function comeBack(
  secure: SecureReactor,
  version: (typeof VERSIONS)[number],
  source: (typeof SOURCES)[number],
  { server, before, after, connection = {}, serverName = 'localhost' }: Change,
): Promise<[SecureConnection, SecureConnection]> {
  const protocols = { min: version, max: version };
  const sessions = new ClientSessions();
  const context = await secure.server({ ...own, resumption: 'stateless', ...server });
  const [first, second] = [
    await secure.client({ ...before, protocols, sessions }),
    await secure.client({ ...after, protocols, sessions }),
  ];
  const [near, far] = await securePair(secure, { client: first.with({ peer: 'one place' }), server: context });
  await Promise.all([near.handshake(), far.handshake()]);
  await talk(near, far);
  const { session } = near;
  if (source !== 'kept') sessions.clear();
  const copy = session?.copy();
  const given = source === 'given' ? { session } : source === 'given as a copy' ? { session: copy } : {};
  const pair = await securePair(secure, {
    client: second.with({ peer: 'one place', ...connection, ...given }),
    server: context,
    serverName,
  });
  if (source === 'copied') pair[0].copySessionFrom(near);
  abort(near, far);
  session?.dispose();
  copy?.dispose();
  return pair;
}

/** The error of the client's handshake, or the result of the resumption. */
async function outcomeOf([client, server]: [SecureConnection, SecureConnection]): Promise<unknown> {
  const serving = server.handshake().catch(() => undefined);
  try {
    await client.handshake();
    return client.resumption;
  } catch (error) {
    return error;
  } finally {
    client.abort();
    await serving;
    server.abort();
  }
}

describe.each(VERSIONS)('under %s, a session that was', (version) => {
  describe.each(SOURCES)('%s', (source) => {
    it('is resumed when nothing has changed', () =>
      withSecureReactor(async (secure) => {
        expect(await outcomeOf(await comeBack(secure, version, source, { before: trusts, after: trusts }))).toBe(
          'resumed',
        );
      }));

    it.each<[string, Change]>([
      [
        'another server name, which the certificate does not have',
        { before: trusts, after: trusts, serverName: 'other.test' },
      ],
      [
        'a first connection without verification',
        { before: { ...strangers, dangerouslyVerifyNobody: true }, after: strangers },
      ],
      ['a first connection that trusted another authority', { before: trusts, after: strangers }],
      ['a first connection with more authorities', { before: { ca: [trusts.ca, strangers.ca] }, after: strangers }],
      [
        'a first connection that accepted certificates for any purpose',
        { server: identity(misused), before: { ...trusts, dangerouslyIgnorePurpose: true }, after: trusts },
      ],
      [
        'a first connection that checked no name',
        { before: { ...trusts, dangerouslySkipNameCheck: true }, after: trusts, serverName: 'other.test' },
      ],
      [
        'a first connection with an older revocation list',
        {
          before: { ...trusts, crls: { pem: authority.crl() } },
          after: { ...trusts, crls: { pem: authority.crl([site.serial]) } },
        },
      ],
      [
        'a first connection without revocation lists',
        { before: trusts, after: { ...trusts, crls: { pem: authority.crl([site.serial]) } } },
      ],
      [
        'a first connection that accepted every fault',
        { before: { ...strangers, dangerouslyAccept: 'all' }, after: strangers },
      ],
      [
        'a pin of another certificate in the context',
        { before: trusts, after: { ...trusts, expect: { digest: '00'.repeat(32) } } },
      ],
      [
        'a pin of another certificate on the connection',
        { before: trusts, after: trusts, connection: { expect: { digest: '00'.repeat(32) } } },
      ],
      [
        'a pin of another key',
        { before: trusts, after: trusts, connection: { expect: { publicKeyDigest: `${'A'.repeat(43)}=` } } },
      ],
      [
        'an expected name that is not in the certificate',
        { before: trusts, after: trusts, connection: { expect: { name: 'other.test' } } },
      ],
    ])('ends with a CertificateError after %s', (_, change) =>
      withSecureReactor(async (secure) => {
        expect(await outcomeOf(await comeBack(secure, version, source, change))).toBeInstanceOf(CertificateError);
      }),
    );

    it('does not replace the client certificate that the server requests later', () =>
      withSecureReactor(async (secure) => {
        const server = { ca: { pem: authority.pem } };
        for (const [shown, isWelcome] of [
          [person, true],
          [stranger, false],
        ] as const) {
          // Under TLS 1.2 the server renegotiates to request the certificate.
          const after = { ...trusts, ...identity(shown), allowPeerRenegotiations: 1 };
          const [client, far] = await comeBack(secure, version, source, { server, before: after, after });
          await Promise.all([client.handshake(), far.handshake()]);
          expect([client.resumption, far.peerCertificate()]).toEqual(['resumed', undefined]);
          const receiving = client.receive('*a').catch(() => undefined);
          const demanded = far.requestClientCertificate().then(
            () => true,
            () => false,
          );
          expect(await demanded).toBe(isWelcome);
          if (isWelcome) expect(far.peerCertificate()?.checkHost('someone.test')).toBe('someone.test');
          abort(client, far);
          await receiving;
        }
      }));
  });
});

describe('a resumed session of TLS 1.2', () => {
  it.each(SOURCES)('is checked against the pin again after a renegotiation: %s', (source) =>
    withSecureReactor(async (secure) => {
      const pin = { expect: { name: 'localhost' } };
      const [client, far] = await comeBack(secure, 'TLSv1.2', source, {
        server: { allowPeerRenegotiations: 1 },
        before: { ...trusts, ...pin },
        after: { ...trusts, ...pin },
      });
      await Promise.all([client.handshake(), far.handshake()]);
      expect(client.resumption).toBe('resumed');
      const receiving = [client, far].map((each) => each.receive('*a').catch(() => undefined));
      await client.renegotiate();
      expect(client.statistics.renegotiations).toBe(1);
      expect(client.verification()).toMatchObject({ ok: true, result: 'OK' });
      abort(client, far);
      await Promise.all(receiving);
    }),
  );
});

describe('a session that a caller passes to a client', () => {
  it.each(['given', 'copied'] as const)(
    'is checked like a certificate when the server resumes it under any name: %s',
    (source) =>
      withSecureReactor(async (secure) => {
        for (const version of VERSIONS) {
          const server = createServer({ cert: site.certificate, key: site.key }, (socket) => {
            socket.end('hi\n');
          }).listen(0, '127.0.0.1');
          await once(server, 'listening');
          const { port } = server.address() as AddressInfo;
          const client = await secure.client({ ...trusts, protocols: { min: version, max: version } });
          const first = await secure.reactor.connectSecure({
            host: '127.0.0.1',
            port,
            secure: client,
            serverName: 'localhost',
          });
          await first.receive();
          const { session } = first;
          const below = await secure.reactor.connect({ host: '127.0.0.1', port });
          const second = below.secure(
            source === 'given' ? client.with(session === undefined ? {} : { session }) : client,
            { serverName: 'other.test' },
          );
          if (source === 'copied') second.copySessionFrom(first);
          await expect(second.handshake()).rejects.toBeInstanceOf(CertificateError);
          session?.dispose();
          abort(first);
          server.close();
        }
      }),
  );

  it.each(['given', 'copied'] as const)(
    'counts as a miss of the scope when other authorities are trusted: %s',
    (source) =>
      withSecureReactor(async (secure) => {
        for (const version of VERSIONS) {
          const change = { before: trusts, after: { ca: [trusts.ca, strangers.ca] } };
          expect(await outcomeOf(await comeBack(secure, version, source, change))).toBe('scope');
          // The client's own certificate does not affect which servers the client trusts.
          const asSomebody = { before: trusts, after: { ...trusts, ...identity(person) } };
          expect(await outcomeOf(await comeBack(secure, version, source, asSomebody))).toBe('resumed');
        }
      }),
  );
});
