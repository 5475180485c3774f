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

describe('DER', () => {
  it('has the lengths, signs and arcs of the standard', () => {
    expect(integer(0).toString('hex')).toBe('020100');
    expect(integer(127).toString('hex')).toBe('02017f');
    expect(integer(128).toString('hex')).toBe('02020080');
    expect(integer(256n).toString('hex')).toBe('02020100');
    expect(objectIdentifier('1.2.840.113549').toString('hex')).toBe('06062a864886f70d');
    expect(time(new Date('2049-12-31T23:59:59.9Z')).subarray(2).toString()).toBe('491231235959Z');
    expect(time(new Date('2050-01-01T00:00:00Z')).subarray(2).toString()).toBe('20500101000000Z');
  });
});

describe('an authority', () => {
  const root = new Authority();

  it('is what it says it is', () => {
    const certificate = new X509Certificate(root.pem);
    expect(certificate.ca).toBe(true);
    expect(certificate.subject).toBe('CN=test root');
    expect(certificate.checkIssued(certificate)).toBe(true);
    expect(certificate.verify(createPublicKey(root.key))).toBe(true);
  });

  it('issues a certificate for each kind of key, which Node.js takes', () => {
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

  it('signs with its own key and the digest that is asked for', () => {
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

  it('issues what is expired, and what is not yet valid', () => {
    expect(new Date(new X509Certificate(root.issue({ expired: true }).certificate).validTo).getTime()).toBeLessThan(
      Date.now(),
    );
    expect(
      new Date(new X509Certificate(root.issue({ notYetValid: true }).certificate).validFrom).getTime(),
    ).toBeGreaterThan(Date.now());
  });

  it('issues for one purpose, and with no subjectAltName', () => {
    expect(new X509Certificate(root.issue({ purpose: 'client' }).certificate).keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    const old = new X509Certificate(root.issue({ names: ['old.example'], subjectAltName: false }).certificate);
    expect([old.subject, old.subjectAltName]).toEqual(['CN=old.example', undefined]);
  });

  it('has others below it, and chains that lead up to it without it', () => {
    const lower = root.intermediate().intermediate({ commonName: 'lowest', pathLength: 0 });
    const { chain } = lower.issue();
    const names = chain.split(/(?<=-----END CERTIFICATE-----\n)/).map((pem) => new X509Certificate(pem).subject);
    expect(names).toEqual(['CN=localhost', 'CN=lowest', 'CN=test intermediate 1']);
    expect(root.issue().chain.match(/BEGIN/g)).toHaveLength(1);
  });

  describe.skipIf(!isInstalled('openssl'))('makes what openssl', () => {
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
      ['accepts with RSA', 'OK', rsa.issue({ key: 'rsa2048' }), ['-auth_level', '2'], rsa.pem],
      ['finds expired', 'error 10 at 0', root.issue({ expired: true })],
      ['finds not yet valid', 'error 9 at 0', root.issue({ notYetValid: true })],
      ['finds expired above', 'error 10 at 1', root.intermediate({ expired: true }).issue()],
      ['finds made for clients', 'error 26 at 0', root.issue({ purpose: 'client' }), ['-purpose', 'sslserver']],
      ['finds weak by its key', 'error 66 at 0', root.issue({ key: 'rsa1024' }), ['-auth_level', '2']],
      [
        'finds weak by its digest',
        'error 68 at 0',
        rsa.issue({ key: 'rsa2048', digest: 'sha1' }),
        ['-auth_level', '2'],
        rsa.pem,
      ],
      ['finds deep enough', 'OK', below(3).issue(), ['-verify_depth', '3']],
      ['finds too deep', 'error 22 at', below(3).issue(), ['-verify_depth', '2']],
      [
        'finds too deep by its path length',
        'error 25 at 2',
        root.intermediate({ pathLength: 0 }).intermediate().issue(),
      ],
      ['finds issued by no authority', 'error 79 at 1', root.intermediate({ ca: false }).issue()],
      ['finds issued by a stranger', 'error 20 at 0', new Authority().issue()],
    ])('%s', (_, says, { chain }, args = [], trusted = root.pem) => {
      expect(verified(trusted, chain, args)).toContain(says);
    });

    it.each([
      ['finds revoked', 'error 23 at 0', root.crl([5n, revocable.serial])],
      ['finds not revoked', 'OK', root.crl([5n])],
      ['finds not revoked by an empty list', 'OK', root.crl()],
      ['finds revoked by an old list', 'error 12 at 0', root.crl([], { expired: true })],
    ])('%s', (_, says, list) => {
      expect(verified(root.pem + list, revocable.chain, ['-crl_check'])).toContain(says);
    });
  });
});

/** What `openssl verify` says of a chain; `trusted` may hold revocation lists. */
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
