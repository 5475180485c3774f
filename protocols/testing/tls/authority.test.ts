import { spawnSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { isInstalled } from './program.ts';
import { Authority } from './authority.ts';
import type { KeyKind } from './authority.ts';
import { objectIdentifier, integer, time } from './der.ts';

describe('the DER encoder', () => {
  it('encodes lengths, signs and arcs as X.690 does', () => {
    expect(integer(0).toString('hex')).toBe('020100');
    expect(integer(127).toString('hex')).toBe('02017f');
    expect(integer(128).toString('hex')).toBe('02020080');
    expect(integer(256n).toString('hex')).toBe('02020100');
    expect(objectIdentifier('1.2.840.113549').toString('hex')).toBe('06062a864886f70d');
    expect(time(new Date('2049-12-31T23:59:59.9Z')).subarray(2).toString()).toBe('491231235959Z');
    expect(time(new Date('2050-01-01T00:00:00Z')).subarray(2).toString()).toBe('20500101000000Z');
  });
});

describe('a certificate authority', () => {
  const root = new Authority();

  it('has a self-signed CA certificate that matches its key', () => {
    const certificate = new X509Certificate(root.pem);
    expect(certificate.ca).toBe(true);
    expect(certificate.subject).toBe('CN=test root');
    expect(certificate.checkIssued(certificate)).toBe(true);
    expect(certificate.verify(createPublicKey(root.key))).toBe(true);
  });

  it('issues certificates for each kind of key that Node.js can parse', () => {
    for (const key of ['p256', 'p384', 'ed25519', 'rsa1024', 'rsa2048'] satisfies KeyKind[]) {
      const issued = root.issue({ key });
      const certificate = new X509Certificate(issued.certificate);
      expect(certificate.checkIssued(new X509Certificate(root.pem)), key).toBe(true);
      expect(certificate.verify(createPublicKey(root.key)), key).toBe(true);
      expect(certificate.subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1');
      expect(BigInt(`0x${certificate.serialNumber}`)).toBe(issued.serial);
      expect(createPublicKey(issued.key).export({ type: 'spki', format: 'pem' })).toBe(
        certificate.publicKey.export({ type: 'spki', format: 'pem' }),
      );
    }
  });

  it('signs with its own key and the requested digest', () => {
    const rsa = new Authority({ key: 'rsa2048' });
    const publicKey = createPublicKey(rsa.key);
    for (const digest of ['md5', 'sha1', 'sha256', 'sha384', 'sha512'] as const)
      expect(new X509Certificate(rsa.issue({ digest }).certificate).verify(publicKey), digest).toBe(true);
    for (const digest of ['sha1', 'sha384', 'sha512'] as const)
      expect(new X509Certificate(root.issue({ digest }).certificate).verify(createPublicKey(root.key)), digest).toBe(
        true,
      );
    expect(new X509Certificate(new Authority({ key: 'ed25519' }).pem).ca).toBe(true);
  });

  it('issues expired certificates and certificates that are not yet valid', () => {
    expect(new Date(new X509Certificate(root.issue({ expired: true }).certificate).validTo).getTime()).toBeLessThan(
      Date.now(),
    );
    expect(
      new Date(new X509Certificate(root.issue({ notYetValid: true }).certificate).validFrom).getTime(),
    ).toBeGreaterThan(Date.now());
  });

  it('issues certificates for one purpose, and without a subjectAltName', () => {
    expect(new X509Certificate(root.issue({ purpose: 'client' }).certificate).keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    const old = new X509Certificate(root.issue({ names: ['old.example'], subjectAltName: false }).certificate);
    expect([old.subject, old.subjectAltName]).toEqual(['CN=old.example', undefined]);
  });

  it('issues intermediate authorities, whose chains leave out the root', () => {
    const lower = root.intermediate().intermediate({ commonName: 'lowest', pathLength: 0 });
    const { chain } = lower.issue();
    const names = chain.split(/(?<=-----END CERTIFICATE-----\n)/).map((pem) => new X509Certificate(pem).subject);
    expect(names).toEqual(['CN=localhost', 'CN=lowest', 'CN=test intermediate 1']);
    expect(root.issue().chain.match(/BEGIN/g)).toHaveLength(1);
  });

  describe.skipIf(!isInstalled('openssl'))('issues a certificate that openssl', () => {
    const rsa = new Authority({ key: 'rsa2048' });
    const revocable = root.issue({ serial: 0x1234_5678_9abc_def0n });
    const below = (levels: number): Authority => (levels === 0 ? root : below(levels - 1).intermediate());

    it.each<[string, string, { readonly chain: string }, string[]?, string?]>([
      ['accepts', 'OK', root.issue(), ['-purpose', 'sslserver', '-verify_hostname', 'localhost']],
      ['accepts by address', 'OK', root.issue(), ['-verify_ip', '::1']],
      [
        'accepts by its commonName',
        'OK',
        root.issue({ names: ['old.example'], subjectAltName: false }),
        ['-verify_hostname', 'old.example'],
      ],
      ['accepts with an RSA key', 'OK', rsa.issue({ key: 'rsa2048' }), ['-auth_level', '2'], rsa.pem],
      ['reports as expired', 'error 10 at 0', root.issue({ expired: true })],
      ['reports as not yet valid', 'error 9 at 0', root.issue({ notYetValid: true })],
      ['reports as having an expired issuer', 'error 10 at 1', root.intermediate({ expired: true }).issue()],
      ['reports as unfit for servers', 'error 26 at 0', root.issue({ purpose: 'client' }), ['-purpose', 'sslserver']],
      ['reports as having a weak key', 'error 66 at 0', root.issue({ key: 'rsa1024' }), ['-auth_level', '2']],
      [
        'reports as having a weak digest',
        'error 68 at 0',
        rsa.issue({ key: 'rsa2048', digest: 'sha1' }),
        ['-auth_level', '2'],
        rsa.pem,
      ],
      ['accepts at the maximum depth', 'OK', below(3).issue(), ['-verify_depth', '3']],
      ['rejects below the maximum depth', 'error 22 at', below(3).issue(), ['-verify_depth', '2']],
      [
        'rejects because of a path length',
        'error 25 at 2',
        root.intermediate({ pathLength: 0 }).intermediate().issue(),
      ],
      ['rejects because its issuer is not an authority', 'error 79 at 1', root.intermediate({ ca: false }).issue()],
      ['rejects because its issuer is unknown', 'error 20 at 0', new Authority().issue()],
    ])('%s', (_, says, { chain }, args = [], trusted = root.pem) => {
      expect(verified(trusted, chain, args)).toContain(says);
    });

    it.each([
      ['reports as revoked', 'error 23 at 0', root.crl([5n, revocable.serial])],
      ['reports as not revoked', 'OK', root.crl([5n])],
      ['reports as not revoked by an empty list', 'OK', root.crl()],
      ['reports as having only an expired revocation list', 'error 12 at 0', root.crl([], { expired: true })],
    ])('%s', (_, says, list) => {
      expect(verified(root.pem + list, revocable.chain, ['-crl_check'])).toContain(says);
    });
  });
});

/** Runs `openssl verify` on a chain; `trusted` may contain revocation lists. @returns its output. */
function verified(trusted: string, chain: string, args: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
  try {
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const all = [
      '-x509_strict',
      ...args,
      '-CAfile',
      file('trusted', trusted),
      ...(args.includes('-crl_check') ? ['-CRLfile', file('lists', trusted)] : []),
      '-untrusted',
      file('chain', chain),
      file('own', chain),
    ];
    const { stdout, stderr } = spawnSync('openssl', ['verify', ...all]);
    return stdout.toString() + stderr.toString();
  } finally {
    rmSync(folder, { recursive: true });
  }
}
