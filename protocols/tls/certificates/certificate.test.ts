import { createPublicKey, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { inspect } from 'node:util';

import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { BoundsError } from '../../../core/errors.ts';
import { decoded } from './asn1-text.ts';
import { Certificate, chainOf } from './certificate.ts';
import { openssl } from '../openssl.ts';
import { Authority, generalName } from '../../testing/tls/authority.ts';
import type { IssueOptions } from '../../testing/tls/authority.ts';
import { element, objectIdentifier, sequence, utf8String } from '../../testing/tls/der.ts';
import { accountFor } from '../../testing/tls/pointers.ts';
import { TlsError } from '../tls-error.ts';

const authority = new Authority();
const { key } = authority.issue();
const issue = (options: IssueOptions = {}): Certificate =>
  Certificate.load(authority.issue({ key: { pem: key }, ...options }).certificate);
const roots = Certificate.loadAll(rootCertificates.join('\n'));
const SUBJECT_ALT_NAME = '2.5.29.17';
/** A certificate whose subjectAltName contains these encoded names. */
const withNames = (...names: Uint8Array[]): Certificate =>
  issue({
    subjectAltName: false,
    extensions: [{ oid: SUBJECT_ALT_NAME, value: sequence(...names) }],
    commonName: 'common.example',
  });
const namesOf = (certificate: Certificate) =>
  certificate.extensions().find(({ oid }) => oid === SUBJECT_ALT_NAME)?.subjectAltName;

/** Calls every method of a certificate. */
function interrogate(certificate: Certificate): void {
  for (const encoding of ['utf8', 'ascii'] as const) {
    certificate.subject({ encoding });
    certificate.issuer({ encoding });
    certificate.extensions({ encoding });
  }
  certificate.pem();
  certificate.digest('sha512');
  certificate.publicKey();
  certificate.publicKeyDigest();
  certificate.validAt();
  certificate.issued(certificate);
  for (const rules of ['rfc9525', 'rfc2818'] as const) {
    certificate.checkHost('localhost', { rules });
    certificate.checkEmail('somebody@example.org', { rules });
  }
  certificate.checkIp('127.0.0.1');
  inspect(certificate);
  expect([certificate.serial, certificate.signatureName, String(certificate)].join()).toMatch(/^[\x20-\x7e]+$/);
}

afterEach(() => {
  expect(openssl().ERR_peek_error(), "OpenSSL's error queue is empty").toBe(0);
});

describe('a certificate', () => {
  it('returns the known values of a well-known root', () => {
    const isrg = roots.find((root) => root.subject().some(({ value }) => value === 'ISRG Root X1'));
    if (isrg === undefined) throw new Error('Node.js does not bundle ISRG Root X1');
    expect(isrg.digest('sha1')).toBe('cabd2a79a1076a31f21d253635cb039d4329a5e8');
    expect(isrg.digest()).toBe('96bcec06264976f37460779acf28c5a7cfe8a3c0aae11a8ffcee05c0bddf08c6');
    expect(isrg.serial).toBe('8210CFB0D240E3594463E0BB63828B00');
    expect(isrg.notBefore.toISOString()).toBe('2015-06-04T11:04:38.000Z');
    expect(isrg.notAfter.toISOString()).toBe('2035-06-04T11:04:38.000Z');
    expect(isrg.signatureName).toBe('sha256WithRSAEncryption');
    expect(isrg.publicKey()).toMatchObject({ type: 'rsa', bits: 4096 });
    expect(isrg.publicKeyDigest()).toBe('C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=');
    expect(isrg.subject()).toEqual([
      { oid: '2.5.4.6', name: 'countryName', shortName: 'C', value: 'US' },
      { oid: '2.5.4.10', name: 'organizationName', shortName: 'O', value: 'Internet Security Research Group' },
      { oid: '2.5.4.3', name: 'commonName', shortName: 'CN', value: 'ISRG Root X1' },
    ]);
    expect(isrg.issuer()).toEqual(isrg.subject());
    expect(isrg.extensions().map(({ shortName, critical, text }) => [shortName, critical, text])).toEqual([
      ['keyUsage', true, 'Certificate Sign, CRL Sign'],
      ['basicConstraints', true, 'CA:TRUE'],
      ['subjectKeyIdentifier', false, '79:B4:59:E6:7B:B6:E5:E4:01:73:80:08:88:C8:1A:58:F6:E9:9B:6E'],
    ]);
    expect(String(isrg)).toBe(
      'certificate of C=US, O=Internet Security Research Group, CN=ISRG Root X1, issued by C=US, O=Internet Security Research Group, CN=ISRG Root X1, serial 8210CFB0D240E3594463E0BB63828B00',
    );
  });

  it('agrees with node:crypto about each bundled root', () => {
    expect(roots).toHaveLength(rootCertificates.length);
    for (const root of roots) {
      const native = root.toX509Certificate();
      expect(root.pem()).toBe(native.toString());
      expect(root.der).toEqual(new Uint8Array(native.raw));
      for (const [algorithm, fingerprint] of [
        ['sha1', native.fingerprint],
        ['sha256', native.fingerprint256],
        ['sha512', native.fingerprint512],
      ] as const) {
        expect(root.digest(algorithm)).toBe(fingerprint.replaceAll(':', '').toLowerCase());
      }
      expect(root.notBefore).toEqual(new Date(native.validFrom));
      expect(root.notAfter).toEqual(new Date(native.validTo));
      expect(BigInt(`0x${root.serial}`)).toBe(BigInt(`0x${native.serialNumber}`));
      expect(root.publicKey()).toMatchObject({
        type: native.publicKey.asymmetricKeyType,
        pem: native.publicKey.export({ type: 'spki', format: 'pem' }),
      });
      expect(root.publicKey().bits).toBe(
        native.publicKey.asymmetricKeyDetails?.modulusLength ??
          Number(/\d+/.exec(native.publicKey.asymmetricKeyDetails?.namedCurve ?? '')?.[0]),
      );
      expect(root.issued(root)).toBe(true);
    }
  });

  it('is the same from PEM and from DER, at any offset in memory', () => {
    const certificate = issue();
    const shifted = Buffer.concat([Buffer.from('abc'), certificate.der, Buffer.from('abc')]).subarray(3, -3);
    for (const source of [
      certificate.pem(),
      Buffer.from(certificate.pem()),
      certificate.der,
      shifted,
      `some words first\n${certificate.pem()}and after`,
    ]) {
      expect(Certificate.load(source).equals(certificate)).toBe(true);
    }
    expect(certificate.equals(issue())).toBe(false);
  });

  it('cannot be changed through the bytes that it returns', () => {
    const certificate = issue();
    const bytes = certificate.der;
    const other = Certificate.load(bytes);
    bytes.fill(0);
    certificate.der.fill(0);
    interrogate(certificate);
    expect(other.equals(certificate)).toBe(true);
  });

  it('is formatted by inspect and String', () => {
    const certificate = issue({
      names: ['example.org', '192.0.2.1'],
      subject: [
        ['2.5.4.10', 'Müller, Söhne'],
        ['2.5.4.3', 'example.org'],
      ],
    });
    expect(inspect(certificate)).toContain("subject: 'O=M\\\\C3\\\\BCller\\\\, S\\\\C3\\\\B6hne, CN=example.org'");
    expect(inspect({ certificate })).toContain("names: 'DNS:example.org, IP:192.0.2.1'");
    expect(String(issue({ subject: [] }))).toContain('certificate of nobody, issued by CN=test root');
  });

  it('is valid from the first to the last second of its validity', () => {
    const certificate = issue({
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('2060-01-01T00:00:00Z'),
    });
    const valid = (text: string): boolean => certificate.validAt(new Date(text));
    expect([
      valid('2019-12-31T23:59:59.999Z'),
      valid('2020-01-01T00:00:00Z'),
      valid('2060-01-01T00:00:00.999Z'),
      valid('2060-01-01T00:00:01Z'),
    ]).toEqual([false, true, true, false]);
    expect(certificate.validAt(new Date(Number.NaN))).toBe(false);
    expect([issue().validAt(), issue({ expired: true }).validAt(), issue({ notYetValid: true }).validAt()]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('is never valid when its dates are unreadable', () => {
    const good = Buffer.from(issue().der);
    // The month of notBefore becomes 99; the text YYMMDDHHMMSSZ follows the tag and the length of the UTCTime.
    const at = good.indexOf(Buffer.from([0x17, 0x0d]));
    good.write('99', at + 4);
    const certificate = Certificate.load(good);
    expect(certificate.notBefore.getTime()).toBeNaN();
    expect(certificate.validAt()).toBe(false);
    interrogate(certificate);
  });

  it('returns serial numbers at the limits', () => {
    expect(['00', '01', '7F', '80', '0100'].map((serial) => issue({ serial: BigInt(`0x${serial}`) }).serial)).toEqual([
      '00',
      '01',
      '7F',
      '80',
      '0100',
    ]);
    expect(issue({ serial: 2n ** 159n }).serial).toBe(`80${'0'.repeat(38)}`);
  });

  it('returns its public key, of every kind', () => {
    const kinds = { p256: ['ec', 256], p384: ['ec', 384], ed25519: ['ed25519', 253], rsa1024: ['rsa', 1024] } as const;
    for (const [kind, [type, bits]] of Object.entries(kinds)) {
      const issued = authority.issue({ key: kind as keyof typeof kinds });
      const publicKey = Certificate.load(issued.certificate).publicKey();
      expect([publicKey.type, kind === 'ed25519' ? bits : publicKey.bits]).toEqual([type, bits]);
      expect(publicKey.pem).toBe(createPublicKey(issued.key).export({ type: 'spki', format: 'pem' }));
    }
  });

  it('returns the OID of a key type that OpenSSL does not know', () => {
    const der = Buffer.from(issue().der);
    // The OID of EC keys, 1.2.840.10045.2.1, becomes 1.2.840.10045.2.9; the OID of the signature starts differently.
    der[der.indexOf(objectIdentifier('1.2.840.10045.2.1')) + 8] = 9;
    const certificate = Certificate.load(der);
    expect(certificate.publicKey()).toMatchObject({ type: '1.2.840.10045.2.9', bits: undefined });
    expect(certificate.issued(certificate)).toBe(false);
    interrogate(certificate);
  });

  it('returns the name of its signature algorithm', () => {
    const rsa = new Authority({ key: 'rsa2048' });
    const signedBy = (issuer: Authority, digest: 'sha1' | 'sha512'): string =>
      Certificate.load(issuer.issue({ digest }).certificate).signatureName;
    expect([signedBy(rsa, 'sha1'), signedBy(rsa, 'sha512'), signedBy(authority, 'sha512')]).toEqual([
      'sha1WithRSAEncryption',
      'sha512WithRSAEncryption',
      'ecdsa-with-SHA512',
    ]);
    expect(Certificate.load(new Authority({ key: 'ed25519' }).pem).signatureName).toBe('ED25519');
  });

  it('recognizes the certificates that it issued', () => {
    const root = Certificate.load(authority.pem);
    const lower = authority.intermediate();
    const leaf = lower.issue();
    const [own, middle] = Certificate.loadAll(leaf.chain);
    expect([root.issued(root), root.issued(middle), middle.issued(own)]).toEqual([true, true, true]);
    expect([root.issued(own), own.issued(own), own.issued(middle), middle.issued(root)]).toEqual([
      false,
      false,
      false,
      false,
    ]);
    // The same name, but another key.
    expect(Certificate.load(new Authority().pem).issued(middle)).toBe(false);
    // Everything is right, except that the issuer is not an authority.
    const noAuthority = authority.intermediate({ ca: false });
    expect(Certificate.load(noAuthority.pem).issued(Certificate.load(noAuthority.issue().certificate))).toBe(false);
  });

  it('throws for an unknown digest', () => {
    expect(() => issue().digest('md5' as 'sha1')).toThrow('digest takes sha1, sha256, sha512, not md5');
  });
});

describe('the texts of a certificate', () => {
  it('are decoded from each string type', () => {
    const subject: [string, Uint8Array][] = [
      ['2.5.4.3', utf8String('é€😀')],
      ['2.5.4.3', element(0x1e, Buffer.from('é€', 'utf16le').swap16())],
      ['2.5.4.3', element(0x1c, Buffer.from([0, 0, 0, 0x41, 0, 1, 0xf6, 0]))],
      ['2.5.4.3', element(0x13, Buffer.from('printable'))],
      ['2.5.4.3', element(0x16, Buffer.from('ia5 é', 'latin1'))],
    ];
    expect(
      issue({ subject })
        .subject()
        .map(({ value }) => value),
    ).toEqual(['é€😀', 'é€', 'A😀', 'printable', 'ia5 é']);
  });

  it('contain U+FFFD where bytes are invalid in their type', () => {
    const other = (value: Uint8Array): Uint8Array => element(0xa0, objectIdentifier('1.2.3'), element(0xa0, value));
    expect(namesOf(withNames(other(element(0x0c, Buffer.from([0x41, 0xff, 0x42])))))?.otherName[0].text).toBe(
      'A\ufffdB',
    );
    expect(decoded(30, Buffer.from([0, 0x41, 0xd8, 0, 0x42]))).toBe('A\ufffd');
    expect(decoded(30, Buffer.from([0xd8, 0x3d, 0xde, 0]))).toBe('😀');
    expect(decoded(28, Buffer.from([0, 0, 0, 0x41, 0, 0x11, 0, 0, 0, 0, 0xd8, 0, 7]))).toBe('A\ufffd\ufffd');
    // OpenSSL accepts no such text in a subject.
    expect(() => issue({ subject: [['2.5.4.3', element(0x0c, Buffer.from([0xff]))]] })).toThrow(TlsError);
  });

  it('are escaped reversibly in ASCII', () => {
    const value = 'Ab \\ "é"\0\n\x7f😀';
    const certificate = issue({ subject: [['2.5.4.3', value]] });
    expect(certificate.subject()[0].value).toBe(value);
    const [{ value: ascii }] = certificate.subject({ encoding: 'ascii' });
    expect(ascii).toBe('Ab \\5C "\\C3\\A9"\\00\\0A\\7F\\F0\\9F\\98\\80');
    expect(
      Buffer.from(
        ascii.replace(/\\(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
        'latin1',
      ).toString(),
    ).toBe(value);
  });

  it('keep an unknown attribute under its OID', () => {
    expect(issue({ subject: [['1.2.3.4.5', 'x']] }).subject()).toEqual([
      { oid: '1.2.3.4.5', name: '1.2.3.4.5', shortName: '1.2.3.4.5', value: 'x' },
    ]);
  });
});

describe('the extensions of a certificate', () => {
  it('list every kind of name in the subjectAltName', () => {
    const certificate = withNames(
      ...['example.org', '*.example.org', '192.0.2.1', '2001:db8::1', 'a@example.org', 'https://example.org/'].map(
        generalName,
      ),
      element(0xa4, sequence(element(0x31, sequence(objectIdentifier('2.5.4.3'), utf8String('Näme'))))),
      element(0x88, objectIdentifier('1.2.3').subarray(2)),
      element(0xa0, objectIdentifier('1.3.6.1.5.5.7.8.5'), element(0xa0, utf8String('user@example.org'))),
      element(0xa0, objectIdentifier('1.2.3.4'), element(0xa0, element(0x02, Buffer.from([5])))),
    );
    expect(namesOf(certificate)).toEqual({
      dNSName: ['example.org', '*.example.org'],
      iPAddress: ['192.0.2.1', '2001:db8::1'],
      rfc822Name: ['a@example.org'],
      uniformResourceIdentifier: ['https://example.org/'],
      directoryName: [[{ oid: '2.5.4.3', name: 'commonName', shortName: 'CN', value: 'Näme' }]],
      registeredID: ['1.2.3'],
      otherName: [
        { oid: '1.3.6.1.5.5.7.8.5', value: new Uint8Array(utf8String('user@example.org')), text: 'user@example.org' },
        { oid: '1.2.3.4', value: new Uint8Array([2, 1, 5]), text: undefined },
      ],
    });
    expect(inspect(certificate)).toContain(
      "'DNS:example.org, DNS:*.example.org, IP:192.0.2.1, IP:2001:db8::1, email:a@example.org, URI:https://example.org/, directory:(CN=N\\\\C3\\\\A4me), OID:1.2.3, other:1.3.6.1.5.5.7.8.5=user@example.org, other:1.2.3.4=020105'",
    );
  });

  it('format addresses in one form, and show invalid ones in hexadecimal', () => {
    const certificate = withNames(
      ...[
        [0, 0, 0, 0],
        [127, 0, 0],
        Array<number>(16).fill(0),
        [...Array<number>(10).fill(0), 255, 255, 1, 2, 3, 4],
      ].map((bytes) => element(0x87, Buffer.from(bytes))),
    );
    expect(namesOf(certificate)?.iPAddress).toEqual(['0.0.0.0', '#7f0000', '::', '::ffff:102:304']);
  });

  it('are listed in their order, also unknown ones', () => {
    const certificate = issue({ extensions: [{ oid: '1.2.3.4', critical: true, value: Buffer.from([4, 1, 7]) }] });
    expect(certificate.extensions().map(({ shortName }) => shortName)).toEqual([
      'basicConstraints',
      'keyUsage',
      'extendedKeyUsage',
      'subjectAltName',
      'subjectKeyIdentifier',
      'authorityKeyIdentifier',
      '1.2.3.4',
    ]);
    expect(certificate.extensions().at(-1)).toEqual({
      oid: '1.2.3.4',
      name: '1.2.3.4',
      shortName: '1.2.3.4',
      critical: true,
      value: new Uint8Array([4, 1, 7]),
      text: '040107',
    });
  });

  it('are listed even when their contents are invalid', () => {
    const certificate = issue({
      subjectAltName: false,
      commonName: 'localhost',
      extensions: [{ oid: SUBJECT_ALT_NAME, value: Buffer.from('nonsense') }],
    });
    expect(certificate.extensions().at(-1)).toMatchObject({
      shortName: 'subjectAltName',
      text: Buffer.from('nonsense').toString('hex'),
    });
    expect(certificate.extensions().at(-1)).not.toHaveProperty('subjectAltName');
    interrogate(certificate);
    // The unreadable extension may have named hosts, so the commonName does not replace it.
    expect(certificate.checkHost('localhost', { rules: 'rfc2818' })).toBeUndefined();
  });
});

describe('the names of a certificate', () => {
  const certificate = issue({
    names: ['example.org', '*.example.org', 'w*.example.net', '192.0.2.1', '2001:db8::1', 'Somebody@example.org'],
    commonName: 'common.example',
  });

  it('match hosts as RFC 9525 says', () => {
    for (const [name, match] of [
      ['example.org', 'example.org'],
      ['EXAMPLE.org', 'example.org'],
      ['example.org.', 'example.org'],
      ['a.example.org', '*.example.org'],
      ['a.b.example.org', undefined],
      ['.example.org', undefined],
      ['www.example.net', undefined],
      ['common.example', undefined],
      ['example.com', undefined],
      ['192.0.2.1', undefined],
      ['', undefined],
      ['.', undefined],
      ['example.org\0.evil.example', undefined],
      ['ｅxample.org', 'example.org'],
    ] as const)
      expect(certificate.checkHost(name), name).toBe(match);
  });

  it('match hosts by the older rules on request', () => {
    const old = { rules: 'rfc2818' } as const;
    expect(certificate.checkHost('www.example.net', old)).toBe('w*.example.net');
    expect(certificate.checkHost('common.example', old)).toBeUndefined();
    const common = issue({ subjectAltName: false, commonName: 'common.example' });
    expect([common.checkHost('common.example'), common.checkHost('common.example', old)]).toEqual([
      undefined,
      'common.example',
    ]);
    // Only host names (and addresses) in the subjectAltName exclude the commonName; a mail address does not.
    expect(withNames(generalName('a@example.org')).checkHost('common.example', old)).toBe('common.example');
    expect(withNames(generalName('192.0.2.1')).checkHost('common.example', old)).toBeUndefined();
  });

  it('match internationalised hosts in their ASCII form', () => {
    expect(issue({ names: ['xn--bcher-kva.example'] }).checkHost('Bücher.example')).toBe('xn--bcher-kva.example');
  });

  it('do not match a host through a NUL byte', () => {
    for (const rules of ['rfc9525', 'rfc2818'] as const) {
      expect(
        withNames(element(0x82, Buffer.from('example.org\0.evil.example'))).checkHost('example.org', { rules }),
      ).toBeUndefined();
      expect(
        issue({ subjectAltName: false, commonName: 'example.org\0.evil.example' }).checkHost('example.org', { rules }),
      ).toBeUndefined();
    }
  });

  it('do not match a host by a misplaced wildcard, or by one that covers a top-level domain', () => {
    const wild = issue({ names: ['*', '*.org', 'a.*.example.org', '*.*.example.net', 'xn--*.example.com'] });
    for (const name of ['localhost', 'example.org', 'a.b.example.org', 'a.b.example.net', 'xn--b.example.com'])
      expect(wild.checkHost(name), name).toBeUndefined();
  });

  it('match addresses', () => {
    for (const [address, match] of [
      ['192.0.2.1', '192.0.2.1'],
      ['2001:db8::1', '2001:db8::1'],
      ['2001:DB8:0::1', '2001:db8::1'],
      ['2001:db8::1%eth0', '2001:db8::1'],
      ['192.0.2.2', undefined],
      ['example.org', undefined],
      ['', undefined],
    ] as const)
      expect(certificate.checkIp(address), address).toBe(match);
    // Neither a host name that looks like an address nor the commonName matches an address.
    const lookalike = withNames(element(0x82, Buffer.from('192.0.2.1')));
    expect([lookalike.checkIp('192.0.2.1'), lookalike.checkHost('192.0.2.1', { rules: 'rfc2818' })]).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('match mail addresses', () => {
    expect(
      ['Somebody@EXAMPLE.org', 'somebody@example.org', '', 'Somebody@example.org\0'].map((address) =>
        certificate.checkEmail(address),
      ),
    ).toEqual(['Somebody@EXAMPLE.org', undefined, undefined, undefined]);
    const old = issue({
      subjectAltName: false,
      subject: [['1.2.840.113549.1.9.1', element(0x16, Buffer.from('a@example.org'))]],
    });
    expect([old.checkEmail('a@example.org'), old.checkEmail('a@example.org', { rules: 'rfc2818' })]).toEqual([
      undefined,
      'a@example.org',
    ]);
  });
});

describe('loading throws', () => {
  it('for everything but one whole certificate', () => {
    const { der } = issue();
    const bad: [string, string | Uint8Array][] = [
      ['nothing', ''],
      ['no bytes', new Uint8Array()],
      ['words', 'no certificate'],
      ['garbage', Buffer.from([0x30, 1, 2, 3])],
      ['a key', key],
      ['an unfinished PEM', issue().pem().slice(0, 200)],
      ['PEM of nonsense', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
      ['half a certificate', der.subarray(0, der.length >> 1)],
      ['one byte too few', der.subarray(0, -1)],
      ['one byte too many', Buffer.concat([der, Buffer.alloc(1)])],
      ['two', Buffer.concat([der, der])],
    ];
    for (const [what, source] of bad) {
      expect(() => Certificate.load(source), what).toThrow(TlsError);
      expect(openssl().ERR_peek_error(), what).toBe(0);
    }
  });

  it('for more than maxBytes', () => {
    const pem = issue().pem();
    const load = (): unknown => Certificate.load(pem, { maxBytes: pem.length - 1 });
    expect(load).toThrow(BoundsError);
    expect(load).toThrow(`the text of certificates is longer than ${String(pem.length - 1)} bytes (option maxBytes)`);
    expect(() => Certificate.load(pem, { maxBytes: pem.length })).not.toThrow();
    expect(() => Certificate.loadAll(Buffer.alloc(5_000_000, '\n'))).toThrow(BoundsError);
    expect(() => Certificate.loadAll(Buffer.alloc(4_000_000, '-----BEGIN CERTIFICATE-----\n'))).toThrow(TlsError);
  });

  it('for an encrypted certificate, without a prompt on the terminal', () => {
    const head = 'Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123456789ABCDEF0123456789ABCDEF\n\n';
    expect(() => Certificate.load(issue().pem().replace('-----\n', `-----\n${head}`))).toThrow(TlsError);
  });
});

describe('a hostile certificate', () => {
  it('is not replaced by PEM text inside of an extension', () => {
    const victim = issue({ names: ['victim.example'] });
    const evil = issue({
      names: ['evil.example'],
      extensions: [{ oid: '1.2.3.4', value: Buffer.from(`\n${victim.pem()}`) }],
    });
    // node:crypto, given the same DER, finds the other certificate.
    expect(new X509Certificate(evil.der).checkHost('victim.example')).toBe('victim.example');
    const loaded = Certificate.load(evil.der);
    expect(loaded.checkHost('victim.example')).toBeUndefined();
    expect(loaded.toX509Certificate().checkHost('evil.example')).toBe('evil.example');
    expect(loaded.digest()).toBe(evil.digest());
    expect(loaded.equals(victim)).toBe(false);
  });

  it('may name ten thousand hosts', () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `host-${String(index)}.example`);
    const certificate = issue({ names });
    expect(namesOf(certificate)?.dNSName).toEqual(names);
    expect(certificate.checkHost('host-9999.example')).toBe('host-9999.example');
  });

  it('may contain a very long object identifier', () => {
    const long = element(0x06, Buffer.concat([Buffer.from([0x2a]), Buffer.alloc(5_000, 0xff), Buffer.from([1])]));
    const subject = sequence(element(0x31, sequence(long, utf8String('x'))));
    const certificate = withNames(element(0xa4, subject));
    expect(namesOf(certificate)?.directoryName).toEqual([[{ oid: '', name: '', shortName: '', value: 'x' }]]);
    interrogate(certificate);
  });

  it('with random changes loads or is rejected, and leaks no object and no error', () => {
    const { der } = withNames(
      generalName('example.org'),
      generalName('192.0.2.1'),
      element(0xa0, objectIdentifier('1.2.3'), element(0xa0, utf8String('x'))),
    );
    const change = fc.record({ at: fc.nat(der.length - 1), to: fc.integer({ min: 0, max: 255 }) });
    let loaded = 0;
    let made = 0;
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), fc.boolean(), (changes, cut) => {
        const bytes = der.slice(0, cut ? changes[0].at : der.length);
        for (const { at, to } of changes) if (at < bytes.length && at > 0) bytes[at] = to;
        made += accountFor(() => {
          let certificate: Certificate;
          try {
            certificate = Certificate.load(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(TlsError);
            return;
          }
          loaded += 1;
          interrogate(certificate);
        });
        expect(openssl().ERR_peek_error()).toBe(0);
      }),
      { numRuns: 300 },
    );
    expect(loaded).toBeGreaterThan(10);
    expect(made).toBeGreaterThan(loaded);
  });

  it('of random bytes is rejected', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(() => Certificate.load(noise)).toThrow(TlsError);
        expect(() => Certificate.load(Buffer.concat([Buffer.from([0x30]), noise]))).toThrow(TlsError);
        expect(() =>
          Certificate.load(
            `-----BEGIN CERTIFICATE-----\n${Buffer.from(noise).toString('base64')}\n-----END CERTIFICATE-----\n`,
          ),
        ).toThrow(TlsError);
        expect(openssl().ERR_peek_error()).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});

describe('loading a certificate', () => {
  it('is the inverse of encoding it, whatever it contains', () => {
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
    const host = fc.domain();
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 4 }),
        fc.array(fc.oneof(host, fc.ipV4(), fc.ipV6()), { maxLength: 6 }),
        fc.bigInt({ min: 0n, max: 2n ** 158n }),
        (subject, names, serial) => {
          const certificate = issue({
            names,
            commonName: 'x',
            serial,
            subject: subject.map((value) => ['2.5.4.3', value] as const),
          });
          expect(Certificate.load(certificate.pem()).equals(certificate)).toBe(true);
          expect(Certificate.load(certificate.der).equals(certificate)).toBe(true);
          expect(Certificate.load(certificate.der).pem()).toBe(certificate.pem());
          expect(Certificate.load(certificate.der).digest()).toBe(
            certificate.toX509Certificate().fingerprint256.replaceAll(':', '').toLowerCase(),
          );
          expect(certificate.subject().map(({ value }) => value)).toEqual(subject);
          expect(BigInt(`0x${certificate.serial}`)).toBe(serial);
          expect([...(namesOf(certificate)?.dNSName ?? []), ...(namesOf(certificate)?.iPAddress ?? [])].length).toBe(
            names.length,
          );
          for (const name of names) expect(certificate.checkIp(name) ?? certificate.checkHost(name)).toBeDefined();
        },
      ),
      { numRuns: 100 },
    );
  });

  it('keeps the order of a chain', () => {
    const chain = Certificate.loadAll(authority.intermediate().issue().chain);
    expect(chain.map((certificate) => certificate.subject()[0].value)).toEqual(['localhost', 'test intermediate 1']);
    expect(Certificate.load(chain.map((certificate) => certificate.pem()).join('words\n')).equals(chain[0])).toBe(true);
    expect(chainOf(0)).toEqual([]);
  });

  it('frees every object of OpenSSL', () => {
    const { chain } = authority.intermediate().issue();
    expect(
      accountFor(() => {
        const all = Certificate.loadAll(chain);
        for (const certificate of all) interrogate(certificate);
        expect(() =>
          Certificate.loadAll(`${chain}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`),
        ).toThrow(TlsError);
      }),
    ).toBeGreaterThan(10);
  });
});
