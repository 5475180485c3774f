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
  it('may be several: the peer chooses by the kinds of key that it can verify', () =>
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

  it('are replaced for new connections without those that are there noticing', () =>
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

  it('show a chain, as sent and as verified', () =>
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

  it('take a password as a text, or from who knows it, at once or later', () =>
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

describe('authorities', () => {
  it('come from a file, a directory, a text, and the system', () =>
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

  it('are chosen by the server: from its list, or as it likes', () =>
    withSecureReactor(async (secure) => {
      expect(await alpnOf(secure, { alpn: ['b', 'a'] }, ['a', 'b'])).toBe('b');
      expect(await alpnOf(secure, { alpn: (offered) => offered.at(-1) }, ['a', 'b', 'c'])).toBe('c');
      expect(await alpnOf(secure, { alpn: () => undefined, dangerouslyIgnoreAlpnMismatch: true }, ['a'])).toBe(
        undefined,
      );
    }));

  it('that are not shared end the handshake, unless that does not matter', () =>
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

describe('what both sides can tell each other', () => {
  it('is an OCSP staple, for clients that ask', () =>
    withSecureReactor(async (secure) => {
      const staple = Buffer.from('any bytes will do: nobody looks at them here');
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

  it('is keying material that only they can derive', () =>
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

describe('keys of connections are logged', () => {
  it('to events or a file, only when asked for', () =>
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
        throw new Error('nobody asked for it');
      });
      await Promise.all(pair.map((each) => each.handshake()));
      abort(...pair);
      server.close();
      expect(lines.map((line) => line.split(' ')[0])).toContain('CLIENT_TRAFFIC_SECRET_0');
      await expect.poll(() => readFileSync(file, 'utf8').trim().split('\n').sort()).toEqual([...lines].sort());
    }));
});

it('a context closes nothing that it was given', async () => {
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
    ['cipher suites that select nothing', { ciphersuites: '' }, 'ciphersuites takes text that is not empty'],
    ['unknown options', { options: ['no_such_thing'] as never }, 'options knows'],
    [
      'options that give up a protection, where they are not expected',
      { options: ['allow_unsafe_legacy_renegotiation'] as never },
      'belongs into dangerouslyEnable',
    ],
    ['a security level beyond the last', { minimumSecurityLevel: 6 as never }, 'minimumSecurityLevel'],
    [
      'a security level below the default',
      { minimumSecurityLevel: 1 as never },
      'minimumSecurityLevel takes a whole number of 2…5',
    ],
    ['two security levels', { minimumSecurityLevel: 2, dangerouslyLowerSecurityLevel: 1 }, 'not both'],
    ['a security level among the ciphers', { ciphers: 'ALL:@SECLEVEL=0' }, '@SECLEVEL'],
    [
      'broken versions',
      { protocols: { min: 'TLSv1.1' }, dangerouslyLowerSecurityLevel: 1 },
      'needs dangerouslyLowerSecurityLevel: 0',
    ],
    [
      'a key for a store that is not there',
      { sessionStoreKey: new Uint8Array(32) },
      'sessionStoreKey is for a sessionStore',
    ],
    ['versions upside down', { protocols: { min: 'TLSv1.3', max: 'TLSv1.2' } }, 'is above'],
    ['signature algorithms that are not known', { signatureAlgorithms: 'nonsense' }, 'signatureAlgorithms'],
    ['DH parameters that are none', { dhParameters: { pem: 'nonsense' } }, 'DH parameters'],
    ['faults that it does not know', { dangerouslyAccept: ['NONSENSE'] as never }, 'dangerouslyAccept'],
    ['revocation lists that are none', { ca, crls: { pem: 'nonsense' } }, 'revocation list'],
    ['a number of renegotiations that is none', { allowPeerRenegotiations: -1 }, 'allowPeerRenegotiations'],
  ])('%s', async (_, options, message) => {
    await expect(TlsContext.server({ ...identityOf(ecdsa), ...options })).rejects.toThrow(message);
  });
});

it('old versions need their number and the lowest security level', () =>
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
      'protocols.min TLSv1 is broken',
    );
  }));

function fail(): never {
  throw new Error('there is none');
}
