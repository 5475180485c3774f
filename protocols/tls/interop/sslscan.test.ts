/** sslscan probes our server for every weakness that it knows. */

import { describe, expect, it } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { TlsServerOptions } from '../context/options.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { host } from '../../testing/tls/peer-program.ts';
import { isInstalled, missing, Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

/** @returns the attributes of each XML element with this name. */
function elements(xml: string, name: string): Record<string, string>[] {
  return [...xml.matchAll(new RegExp(`<${name}\\s+([^>]*?)\\s*/?>`, 'g'))].map(([, text]) =>
    Object.fromEntries([...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key, value]) => [key, value])),
  );
}

/** Runs sslscan on a server with these options; @returns its report as XML. */
async function scan({ reactor, server }: SecureReactor, options: Partial<TlsServerOptions>): Promise<string> {
  const listener = await reactor.listen({ host, port: 0 });
  listener.serve({ secure: await server(options) }, async (connection) => {
    await connection.receive('*a');
  });
  const program = new Program(
    'sslscan',
    '--no-colour',
    '--xml=-',
    '--sni-name=localhost',
    `${host}:${String(portOf(listener))}`,
  );
  expect(await program.exit()).toBe(0);
  listener.close();
  return program.output;
}

const enabledIn = (xml: string): string[] =>
  elements(xml, 'protocol')
    .filter(({ enabled }) => enabled === '1')
    .map(({ type, version }) => `${type} ${version}`)
    .sort();

describe.skipIf(!isInstalled('sslscan'))(`sslscan${missing('sslscan')}`, () => {
  it.each(['p256', 'rsa2048'] as const)(
    'finds TLS 1.2 and 1.3 with strong ciphers and groups in our default server, and nothing else, with a key of %s',
    (key) =>
      withSecureReactor(async (secure) => {
        const issued = new Authority().issue({ key });
        const xml = await scan(secure, { certificate: { pem: issued.certificate }, key: { pem: issued.key } });
        expect(enabledIn(xml)).toEqual(['tls 1.2', 'tls 1.3']);
        expect(elements(xml, 'renegotiation')).toMatchObject([{ supported: '0' }]);
        // sslscan leaves out what its own OpenSSL cannot try.
        expect(elements(xml, 'compression').filter(({ supported }) => supported !== '0')).toEqual([]);
        expect(elements(xml, 'heartbleed').filter(({ vulnerable }) => vulnerable !== '0')).toEqual([]);
        const ciphers = elements(xml, 'cipher');
        expect(ciphers.filter(({ sslversion }) => sslversion === 'TLSv1.3')).toHaveLength(3);
        expect(ciphers.filter(({ sslversion }) => sslversion === 'TLSv1.2')).toHaveLength(3);
        for (const { cipher, bits, strength, sslversion } of ciphers) {
          expect(cipher).toMatch(
            sslversion === 'TLSv1.3'
              ? /^TLS_(?:AES_(?:128|256)_GCM|CHACHA20_POLY1305)_/
              : /^ECDHE-(?:ECDSA|RSA)-(?:AES(?:128|256)-GCM|CHACHA20-POLY1305)/,
          );
          expect(Number(bits)).toBeGreaterThanOrEqual(128);
          expect(['strong', 'acceptable']).toContain(strength);
        }
        const groups = elements(xml, 'group').filter(({ sslversion }) => sslversion === 'TLSv1.3');
        expect(groups.map(({ name }) => name).sort()).toEqual([
          'secp256r1 (NIST P-256)',
          'secp384r1 (NIST P-384)',
          'x25519',
        ]);
      }),
  );

  it('finds what options allow beyond the defaults', () =>
    withSecureReactor(async (secure) => {
      const xml = await scan(secure, {
        allowPeerRenegotiations: 1,
        dangerouslyLowerSecurityLevel: 0,
        protocols: { min: 'TLSv1', max: 'TLSv1.2' },
        ciphers: 'ECDHE',
      });
      expect(enabledIn(xml)).toEqual(['tls 1.0', 'tls 1.1', 'tls 1.2']);
      expect(elements(xml, 'renegotiation')).toMatchObject([{ supported: '1', secure: '1' }]);
      expect(elements(xml, 'cipher').some(({ cipher }) => cipher.endsWith('CBC3-SHA') || cipher.endsWith('-SHA'))).toBe(
        true,
      );
    }));
});
