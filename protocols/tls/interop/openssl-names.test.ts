/** Negotiation of names, application protocols and versions with `openssl s_client` and `openssl s_server`. */

import { describe, expect, it } from 'vitest';

import type { TlsContext } from '../context/context.ts';
import type { TlsServerOptions } from '../context/options.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { failuresOf } from '../../testing/tls/pair.ts';
import { call, chat, part, sClient, sServer, visit } from '../../testing/tls/peer-program.ts';
import { fileOf, isInstalled, missing } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const caFile = fileOf('authority.pem', authority.pem);
const flags = { 'TLSv1.2': '-tls1_2', 'TLSv1.3': '-tls1_3' } as const;

function contextFor(secure: SecureReactor, name: string, options: Partial<TlsServerOptions> = {}): Promise<TlsContext> {
  const { certificate, key } = authority.issue({ names: [name] });
  return secure.server({ certificate: { pem: certificate }, key: { pem: key }, ...options });
}

/** The arguments that make openssl present a new certificate for `name`. */
function shown(name: string, certificateFlag = '-cert', keyFlag = '-key'): string[] {
  const { certificate, key } = authority.issue({ names: [name] });
  return [certificateFlag, fileOf(`${name}.pem`, certificate), keyFlag, fileOf(`${name}.key`, key)];
}

describe.skipIf(!isInstalled('openssl')).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `openssl s_client, under %s,${missing('openssl')}`,
  (version) => {
    /** Connects with a client that requires a certificate for `name`, and asserts that it gets one for `expected`. */
    async function askedFor(secure: SecureReactor, server: TlsContext, name: string, expected = name): Promise<void> {
      const { program, connection } = await visit(secure, server, (port) =>
        sClient(
          port,
          flags[version],
          '-servername',
          name,
          '-CAfile',
          caFile,
          '-verify_return_error',
          '-verify_hostname',
          name,
        ),
      );
      await connection.handshake();
      await program.says(/Verification: OK/);
      await program.says(new RegExp(`Verified peername: ${expected.replaceAll('*', '\\*')}\n`));
      await chat(connection, program);
      expect(connection.info()).toMatchObject({ serverName: name, protocol: version });
      expect(await part(connection, program)).toBe(0);
    }

    it('gets the certificate for the name that it sends, exact before wildcard', () =>
      withSecureReactor(async (secure) => {
        const server = await contextFor(secure, 'other.test', {
          serverNames: {
            'a.example.test': await contextFor(secure, 'a.example.test'),
            '*.example.test': await contextFor(secure, '*.example.test'),
          },
        });
        await askedFor(secure, server, 'a.example.test');
        await askedFor(secure, server, 'b.example.test', '*.example.test');
        await askedFor(secure, server, 'other.test');
      }));

    it('gets the certificate of a context that is chosen asynchronously', () =>
      withSecureReactor(async (secure) => {
        const chosen = await contextFor(secure, 'later.test');
        const server = await contextFor(secure, 'other.test', {
          chooseContext: () =>
            new Promise((resolve) => {
              setImmediate(resolve, chosen);
            }),
        });
        await askedFor(secure, server, 'later.test');
      }));

    it('gets an alert from a strict server for an unknown name, and for none', () =>
      withSecureReactor(async (secure) => {
        const server = await contextFor(secure, 'other.test', {
          serverNames: { 'a.test': await contextFor(secure, 'a.test') },
          strictServerNames: true,
        });
        for (const args of [['-servername', 'b.test'], ['-noservername']]) {
          const { program, connection } = await visit(secure, server, (port) => sClient(port, flags[version], ...args));
          await expect(connection.handshake()).rejects.toMatchObject({ name: 'TlsError', alert: 112, side: 'local' });
          await program.says(/alert number 112/);
          await program.kill();
        }
        await askedFor(secure, server, 'a.test');
      }));

    it('negotiates the protocol that the server prefers', () =>
      withSecureReactor(async (secure) => {
        const { program, connection } = await visit(secure, await secure.server({ alpn: ['h2', 'http/1.1'] }), (port) =>
          sClient(port, flags[version], '-alpn', 'http/1.1,other,h2'),
        );
        await connection.handshake();
        await program.says(/ALPN protocol: h2\n/);
        expect(connection.info().alpn).toBe('h2');
        connection.abort();
        await program.kill();
      }));

    it('gets the protocol that our callback chooses', () =>
      withSecureReactor(async (secure) => {
        const offers: unknown[] = [];
        const server = await secure.server({
          alpn: (offered) => {
            offers.push(offered);
            return offered.at(-1);
          },
        });
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(port, flags[version], '-alpn', 'a,b,c'),
        );
        await connection.handshake();
        await program.says(/ALPN protocol: c\n/);
        expect(offers).toEqual([['a', 'b', 'c']]);
        connection.abort();
        await program.kill();
      }));

    it('is refused without a common protocol, unless that is ignored, and may offer none', () =>
      withSecureReactor(async (secure) => {
        const refused = await visit(secure, await secure.server({ alpn: ['h2'] }), (port) =>
          sClient(port, flags[version], '-alpn', 'other'),
        );
        await expect(refused.connection.handshake()).rejects.toMatchObject({
          name: 'TlsError',
          alert: 120,
          side: 'local',
        });
        await refused.program.says(/alert number 120/);
        await refused.program.kill();
        for (const [options, args] of [
          [{ alpn: ['h2'], dangerouslyIgnoreAlpnMismatch: true }, ['-alpn', 'other']],
          [{ alpn: ['h2'] }, []],
        ] as const) {
          const { program, connection } = await visit(secure, await secure.server(options), (port) =>
            sClient(port, flags[version], ...args),
          );
          await connection.handshake();
          await program.says(/No ALPN negotiated/);
          expect(connection.info().alpn).toBeUndefined();
          connection.abort();
          await program.kill();
        }
      }));

    it('gets an alert when there is no common version', () =>
      withSecureReactor(async (secure) => {
        const other = version === 'TLSv1.2' ? 'TLSv1.3' : 'TLSv1.2';
        const { program, connection } = await visit(
          secure,
          await secure.server({ protocols: { min: other, max: other } }),
          (port) => sClient(port, flags[version]),
        );
        await expect(connection.handshake()).rejects.toMatchObject({
          name: 'TlsError',
          alert: 70,
          side: 'local',
          reason: 'unsupported protocol',
        });
        await program.says(/alert number 70/);
        await program.kill();
      }));
  },
);

describe.skipIf(!isInstalled('openssl')).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `openssl s_server, under %s,${missing('openssl')}`,
  (version) => {
    it('presents the certificate for the name that our client sends', () =>
      withSecureReactor(async (secure) => {
        const client = await secure.client({ ca });
        const { program, port } = await sServer(
          flags[version],
          ...shown('main.test'),
          '-servername',
          'second.test',
          ...shown('second.test', '-cert2', '-key2'),
        );
        for (const name of ['main.test', 'second.test']) {
          const connection = await call(secure, port, client, name);
          await connection.handshake();
          await program.saysNext(new RegExp(`Hostname in TLS extension: "${name}"`));
          expect(connection.peerCertificate()?.checkHost(name)).toBe(name);
          await chat(connection, program);
          await connection.close();
        }
        await program.kill();
      }));

    it('refuses an unknown name, and our client receives the alert', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(
          flags[version],
          ...shown('main.test'),
          '-servername',
          'main.test',
          ...shown('second.test', '-cert2', '-key2'),
          '-servername_fatal',
        );
        const connection = await call(secure, port, await secure.client({ ca }), 'unknown.test');
        expect(await failuresOf(connection.handshake())).toMatchObject([
          { name: 'TlsError', alert: 112, side: 'remote' },
        ]);
        await program.kill();
      }));

    it('is rejected by our client when its certificate is for another name', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(flags[version], ...shown('main.test'));
        const connection = await call(secure, port, await secure.client({ ca }), 'wanted.test');
        await expect(connection.handshake()).rejects.toMatchObject({
          name: 'WrongHostError',
          expected: 'wanted.test',
          actual: expect.stringContaining('main.test'),
        });
        await program.says(/alert number 4[26]/);
        await program.kill();
      }));

    it('negotiates a protocol with our client, or refuses it', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(flags[version], ...shown('localhost'), '-alpn', 'h2,http/1.1');
        const connection = await call(secure, port, await secure.client({ ca, alpn: ['http/1.1', 'h2'] }));
        await connection.handshake();
        expect(connection.info()).toMatchObject({ alpn: 'h2', protocol: version });
        await program.says(/ALPN protocols selected: h2\n/);
        await connection.close();
        const refused = await call(secure, port, await secure.client({ ca, alpn: ['other'] }));
        await expect(refused.handshake()).rejects.toMatchObject({ name: 'TlsError', alert: 120, side: 'remote' });
        await program.kill();
      }));

    it('refuses our client when there is no common version', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(flags[version], ...shown('localhost'));
        const other = version === 'TLSv1.2' ? 'TLSv1.3' : 'TLSv1.2';
        const connection = await call(secure, port, await secure.client({ ca, protocols: { min: other, max: other } }));
        await expect(connection.handshake()).rejects.toMatchObject({ name: 'TlsError', alert: 70, side: 'remote' });
        await program.kill();
      }));
  },
);

describe.skipIf(!isInstalled('openssl'))(
  `a client that guesses another group than the server's, under TLSv1.3,${missing('openssl')}`,
  () => {
    it('gets a HelloRetryRequest when it is openssl s_client, and the context is chosen only once', () =>
      withSecureReactor(async (secure) => {
        const chosen = await contextFor(secure, 'later.test', { groups: 'P-384' });
        let asked = 0;
        const server = await contextFor(secure, 'other.test', {
          groups: 'P-384',
          chooseContext: () =>
            new Promise((resolve) => {
              asked++;
              setImmediate(resolve, chosen);
            }),
        });
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(
            port,
            '-tls1_3',
            '-servername',
            'later.test',
            '-groups',
            'X25519:P-384',
            '-CAfile',
            caFile,
            '-verify_return_error',
            '-msg',
          ),
        );
        await connection.handshake();
        await program.says(/Server Temp Key: ECDH, secp384r1/);
        expect(program.output.match(/>>> TLS 1.3, Handshake \[length \S+\], ClientHello/g)).toHaveLength(2);
        expect(asked).toBe(1);
        expect(connection.info()).toMatchObject({ group: 'secp384r1', serverName: 'later.test' });
        expect(await part(connection, program)).toBe(0);
      }));

    it('gets a HelloRetryRequest when it is ours', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer('-tls1_3', ...shown('localhost'), '-groups', 'P-384', '-msg');
        const connection = await call(secure, port, await secure.client({ ca, groups: 'X25519:P-384' }));
        await connection.handshake();
        expect(connection.info().group).toBe('secp384r1');
        await chat(connection, program);
        expect(program.output.match(/<<< TLS 1.3, Handshake \[length \S+\], ClientHello/g)).toHaveLength(2);
        await connection.close();
        await program.kill();
      }));
  },
);
