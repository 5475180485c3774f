import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { TlsContext } from './context.ts';
import type { TlsClientOptions, TlsServerOptions } from './options.ts';
import { ClientSessions } from '../sessions/client-sessions.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { TicketKeys } from '../sessions/ticket-keys.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { abort, failuresOf, securePair, shakenPair, talk } from '../../testing/tls/pair.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const rsa = authority.issue({ key: 'rsa2048' });
const ecdsa = authority.issue();
const identityOf = ({ certificate, key }: { certificate: string; key: string }) => ({
  certificate: { pem: certificate },
  key: { pem: key },
});
const folder = (): string => mkdtempSync(join(tmpdir(), 'wantio-'));

describe('a certificate and its key', () => {
  it('may be one of several: the server picks one that the peer can verify', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({
        certificate: undefined,
        key: undefined,
        identities: [identityOf(rsa), identityOf(ecdsa)],
      });
      for (const [signatureAlgorithms, expected] of [
        ['RSA-PSS+SHA256', 'rsa'],
        ['ECDSA+SHA256', 'ec'],
      ] as const) {
        const pair = await shakenPair(secure, { client: await secure.client({ ca, signatureAlgorithms }), server });
        expect(pair[0].peerCertificate()?.publicKey().type).toBe(expected);
        expect(pair[1].localCertificate()?.equals(pair[0].peerCertificate() ?? fail())).toBe(true);
        abort(...pair);
      }
    }));

  it('can be replaced for new connections without an effect on existing ones', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server(identityOf(ecdsa));
      const renewed = authority.issue();
      const client = await secure.client({ ca });
      const old = await shakenPair(secure, { client, server });
      await server.replaceCertificate(identityOf(renewed));
      const young = await shakenPair(secure, { client, server });
      expect(BigInt(`0x${old[0].peerCertificate()?.serial ?? ''}`)).toBe(ecdsa.serial);
      expect(BigInt(`0x${young[0].peerCertificate()?.serial ?? ''}`)).toBe(renewed.serial);
      await expect(
        server.replaceCertificate({ certificate: { pem: renewed.certificate }, key: { pem: ecdsa.key } }),
      ).rejects.toMatchObject({ name: 'TlsError' });
      await expect(
        server.replaceCertificate({ certificate: { file: '/nowhere' }, key: { pem: ecdsa.key } }),
      ).rejects.toMatchObject({ name: 'FileError' });
      await Promise.all([talk(...old), talk(...young)]);
      abort(...old, ...young);
    }));

  it('come with a chain, as sent and as verified', () =>
    withSecureReactor(async (secure) => {
      const middle = authority.intermediate();
      const issued = middle.issue();
      const pair = await shakenPair(secure, {
        client: await secure.client({ ca }),
        server: await secure.server({ certificate: { pem: issued.chain }, key: { pem: issued.key } }),
      });
      expect(pair[0].peerChain().length).toBe(2);
      expect(pair[0].peerChain('verified').length).toBe(3);
      expect(pair[1].localChain().map(({ serial }) => serial)).toEqual(pair[0].peerChain().map(({ serial }) => serial));
      expect(pair[1].peerChain()).toEqual([]);
      abort(...pair);
    }));

  it('accept a password as a string, or from a function, also asynchronous', () =>
    withSecureReactor(async (secure) => {
      const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
      const issued = authority.issue({ key: { pem: key.export({ type: 'pkcs8', format: 'pem' }).toString() } });
      const pem = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open' }).toString();
      for (const password of [
        'open',
        () => 'open',
        () =>
          new Promise<string>((resolve) => {
            setImmediate(resolve, 'open');
          }),
      ]) {
        const server = await secure.server({ certificate: { pem: issued.certificate }, key: { pem }, password });
        const pair = await shakenPair(secure, { client: await secure.client({ ca }), server });
        abort(...pair);
      }
      for (const password of ['shut', () => 'shut'])
        await expect(
          secure.server({ certificate: { pem: issued.certificate }, key: { pem }, password }),
        ).rejects.toMatchObject({ name: 'TlsError' });
      await expect(
        secure.server({
          certificate: { pem: issued.certificate },
          key: { pem },
          password: () => Promise.reject(new Error('forgotten')),
        }),
      ).rejects.toThrow('forgotten');
      await expect(secure.server({ certificate: { pem: issued.certificate }, key: undefined })).rejects.toBeInstanceOf(
        TypeError,
      );
    }));
});

describe('certificate authorities', () => {
  it('are read from a file, a directory, a text, and the system', () =>
    withSecureReactor(async (secure) => {
      const directory = folder();
      writeFileSync(join(directory, 'root.pem'), authority.pem);
      writeFileSync(join(directory, 'README'), 'no certificate');
      const server = await secure.server(identityOf(ecdsa));
      for (const source of [
        { file: join(directory, 'root.pem') },
        { directory },
        { pem: authority.pem },
        ['bundled', { directory }],
      ] as NonNullable<TlsClientOptions['ca']>[]) {
        const pair = await shakenPair(secure, { client: await secure.client({ ca: source }), server });
        expect(pair[0].verification()).toEqual({ ok: true, result: 'OK', faults: [], tlsa: undefined });
        abort(...pair);
      }
      await expect(secure.client({ ca: { directory: folder() } })).rejects.toMatchObject({ name: 'TlsError' });
      await expect(secure.client({ ca: { directory: '/nowhere' } })).rejects.toMatchObject({
        name: 'FileError',
        code: 'ENOENT',
      });
      const before = process.env['SSL_CERT_FILE'];
      process.env['SSL_CERT_FILE'] = join(directory, 'root.pem');
      const pair = await shakenPair(secure, { client: await secure.client({ ca: 'system' }), server });
      abort(...pair);
      process.env['SSL_CERT_FILE'] = '/nowhere';
      await expect(secure.client({ ca: 'system' })).rejects.toMatchObject({ name: 'FileError' });
      if (before === undefined) delete process.env['SSL_CERT_FILE'];
      else process.env['SSL_CERT_FILE'] = before;
    }));
});

describe('application protocols', () => {
  const alpnOf = async (
    secure: SecureReactor,
    server: Partial<TlsServerOptions>,
    offered: readonly string[],
  ): Promise<string | undefined> => {
    const pair = await shakenPair(secure, {
      client: await secure.client({ ca, alpn: offered }),
      server: await secure.server({ ...identityOf(ecdsa), ...server }),
    });
    const { alpn } = pair[0].info();
    expect(pair[1].info().alpn).toBe(alpn);
    abort(...pair);
    return alpn;
  };

  it('are selected by the server, from its list or by a callback', () =>
    withSecureReactor(async (secure) => {
      expect(await alpnOf(secure, { alpn: ['b', 'a'] }, ['a', 'b'])).toBe('b');
      expect(await alpnOf(secure, { alpn: (offered) => offered.at(-1) }, ['a', 'b', 'c'])).toBe('c');
      expect(await alpnOf(secure, { alpn: () => undefined, dangerouslyIgnoreAlpnMismatch: true }, ['a'])).toBe(
        undefined,
      );
    }));

  it('that do not match end the handshake, unless the mismatch is ignored', () =>
    withSecureReactor(async (secure) => {
      for (const alpn of [['x'], () => undefined, () => 'not offered']) {
        const pair = await securePair(secure, {
          client: await secure.client({ ca, alpn: ['a'] }),
          server: await secure.server({ ...identityOf(ecdsa), alpn }),
        });
        expect(await failuresOf(...pair.map((each) => each.handshake()))).toMatchObject([
          { side: 'remote', alert: 120 },
          { side: 'local', alert: 120 },
        ]);
      }
      expect(await alpnOf(secure, { alpn: ['x'], dangerouslyIgnoreAlpnMismatch: true }, ['a'])).toBe(undefined);
    }));
});

describe('a connection', () => {
  it('carries an OCSP staple to clients that request it', () =>
    withSecureReactor(async (secure) => {
      const staple = Buffer.from('any bytes will do: this test does not parse them');
      for (const ocspStaple of [staple, () => staple, () => Promise.resolve(staple)]) {
        const server = await secure.server({ ...identityOf(ecdsa), ocspStaple });
        for (const max of ['TLSv1.2', 'TLSv1.3'] as const) {
          const pair = await shakenPair(secure, {
            client: await secure.client({ ca, requestOcspStaple: true, protocols: { max } }),
            server,
          });
          expect(Buffer.from(pair[0].ocspStaple() ?? [])).toEqual(staple);
          abort(...pair);
        }
        const pair = await shakenPair(secure, { client: await secure.client({ ca }), server });
        expect(pair[0].ocspStaple()).toBeUndefined();
        abort(...pair);
      }
      const pair = await shakenPair(secure, {
        client: await secure.client({ ca, requestOcspStaple: true }),
        server: await secure.server({ ...identityOf(ecdsa), ocspStaple: () => undefined }),
      });
      expect(pair[0].ocspStaple()).toBeUndefined();
      abort(...pair);
    }));

  it('exports the same keying material on both sides', () =>
    withSecureReactor(async (secure) => {
      for (const max of ['TLSv1.2', 'TLSv1.3'] as const) {
        const pair = await shakenPair(secure, {
          client: await secure.client({ ca, protocols: { max } }),
          server: await secure.server(identityOf(ecdsa)),
        });
        const derive = (label: string, context?: Uint8Array): string[] =>
          pair.map((each) => Buffer.from(each.exportKeyingMaterial(32, label, context)).toString('hex'));
        const [own, peers] = derive('EXPORTER-test', Buffer.from('context'));
        expect(own).toBe(peers);
        expect(derive('EXPORTER-other')[0]).not.toBe(own);
        for (const type of ['tls-exporter', 'tls-server-end-point'] as const) {
          const [client, server] = pair.map((each) => Buffer.from(each.channelBinding(type)).toString('hex'));
          expect(client).toBe(server);
          expect(client.length).toBe(64);
        }
        expect(() => pair[0].exportKeyingMaterial(0, 'EXPORTER-test')).toThrow(RangeError);
        abort(...pair);
      }
      const pair = await shakenPair(secure, {
        client: await secure.client({
          ca,
          protocols: { max: 'TLSv1.2' },
          dangerouslyEnable: ['no_extended_master_secret'],
        }),
        server: await secure.server(identityOf(ecdsa)),
      });
      expect(() => pair[0].exportKeyingMaterial(32, 'EXPORTER-test')).toThrow('extended master secret');
      abort(...pair);
    }));
});

describe('the secrets of connections are logged', () => {
  it('to events or to a file, and only on request', () =>
    withSecureReactor(async (secure) => {
      const file = join(folder(), 'keys');
      const lines: string[] = [];
      const server = await secure.server({ ...identityOf(ecdsa), dangerouslyLogKeys: { file } });
      const pair = await securePair(secure, {
        client: await secure.client({ ca, dangerouslyLogKeys: 'event' }),
        server,
      });
      pair[0].on('keylog', (line) => lines.push(line));
      pair[1].on('keylog', () => {
        throw new Error('this key log was not requested');
      });
      await Promise.all(pair.map((each) => each.handshake()));
      abort(...pair);
      server.close();
      expect(lines.map((line) => line.split(' ')[0])).toContain('CLIENT_TRAFFIC_SECRET_0');
      await expect.poll(() => readFileSync(file, 'utf8').trim().split('\n').sort()).toEqual([...lines].sort());
    }));
});

it('a context closes no object that it was given', async () => {
  const sessions = new ClientSessions();
  const ticketKeys = new TicketKeys();
  const sessionStore = Object.assign(new MapStore(), { close: () => undefined });
  const named = await TlsContext.server(identityOf(ecdsa));
  const given = [sessions, ticketKeys, sessionStore, named].map((each) =>
    vi.spyOn(each as { close(): unknown }, 'close'),
  );
  for (const context of [
    await TlsContext.client({ ca, sessions }),
    await TlsContext.server({
      ...identityOf(ecdsa),
      resumption: 'stateless',
      ticketKeys,
      serverNames: { 'a.test': named },
    }),
    await TlsContext.server({ ...identityOf(ecdsa), resumption: 'stateful', sessionStore }),
  ]) {
    context.close();
    context.close();
  }
  expect(given.map(({ mock }) => mock.calls.length)).toEqual([0, 0, 0, 0]);
  vi.restoreAllMocks();
  ticketKeys.close();
  named.close();
});

describe('a context refuses', () => {
  it.each<[string, Partial<TlsServerOptions>, string]>([
    ['ciphersuites that select nothing', { ciphersuites: '' }, 'ciphersuites takes a non-empty string'],
    ['unknown options', { options: ['no_such_thing'] as never }, 'options takes'],
    [
      'options that weaken security outside of dangerouslyEnable',
      { options: ['allow_unsafe_legacy_renegotiation'] as never },
      'put it into dangerouslyEnable',
    ],
    ['a security level above the highest', { minimumSecurityLevel: 6 as never }, 'minimumSecurityLevel'],
    [
      'a security level below the default',
      { minimumSecurityLevel: 1 as never },
      'minimumSecurityLevel takes a whole number of 2…5',
    ],
    ['two security levels', { minimumSecurityLevel: 2, dangerouslyLowerSecurityLevel: 1 }, 'not both'],
    ['a security level in the cipher list', { ciphers: 'ALL:@SECLEVEL=0' }, '@SECLEVEL'],
    [
      'broken protocol versions',
      { protocols: { min: 'TLSv1.1' }, dangerouslyLowerSecurityLevel: 1 },
      'needs dangerouslyLowerSecurityLevel: 0',
    ],
    [
      'a sessionStoreKey without a sessionStore',
      { sessionStoreKey: new Uint8Array(32) },
      'sessionStoreKey needs a sessionStore',
    ],
    ['a minimum version above the maximum', { protocols: { min: 'TLSv1.3', max: 'TLSv1.2' } }, 'is above'],
    ['unknown signature algorithms', { signatureAlgorithms: 'nonsense' }, 'signatureAlgorithms'],
    ['invalid DH parameters', { dhParameters: { pem: 'nonsense' } }, 'DH parameters'],
    ['unknown faults', { dangerouslyAccept: ['NONSENSE'] as never }, 'dangerouslyAccept'],
    ['invalid revocation lists', { ca, crls: { pem: 'nonsense' } }, 'revocation list'],
    ['an invalid number of renegotiations', { allowPeerRenegotiations: -1 }, 'allowPeerRenegotiations'],
  ])('%s', async (_, options, message) => {
    await expect(TlsContext.server({ ...identityOf(ecdsa), ...options })).rejects.toThrow(message);
  });
});

it('old protocol versions work only with an explicit minimum and the lowest security level', () =>
  withSecureReactor(async (secure) => {
    const old = {
      protocols: { min: 'TLSv1', max: 'TLSv1' },
      dangerouslyLowerSecurityLevel: 0,
      ciphers: 'ALL',
    } as const;
    const pair = await shakenPair(secure, {
      client: await secure.client({ ca, ...old }),
      server: await secure.server({ ...identityOf(ecdsa), ...old }),
    });
    expect(pair[0].info().protocol).toBe('TLSv1');
    await talk(...pair);
    abort(...pair);
    await expect(secure.client({ ca, protocols: { min: 'TLSv1', max: 'TLSv1' } })).rejects.toThrow(
      'protocols.min TLSv1 is insecure',
    );
  }));

function fail(): never {
  throw new Error('there is no certificate');
}
