import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../../core/errors.ts';
import { Certificate } from './certificate.ts';
import { NoCertificateError, WrongCertificateError, WrongHostError } from './certificate-error.ts';
import { checkPeer } from './check-peer.ts';
import type { PeerExpectation } from './check-peer.ts';
import { Authority, generalName } from '../../testing/tls/authority.ts';
import { element, sequence } from '../../testing/tls/der.ts';
import { CertificateError } from '../tls-error.ts';

const authority = new Authority();
const certificate = Certificate.load(
  authority.issue({
    names: ['example.org', '*.example.net', 'f*.example.com', '192.0.2.1', '2001:db8::1'],
    commonName: 'common.example',
  }).certificate,
);
const commonOnly = Certificate.load(authority.issue({ names: ['common.example'], subjectAltName: false }).certificate);
const [sha256, sha512, pin] = [certificate.digest(), certificate.digest('sha512'), certificate.publicKeyDigest()];

function errorOf(expectation: PeerExpectation, whose: Certificate | undefined = certificate): CertificateError {
  try {
    checkPeer(whose, expectation);
  } catch (error) {
    expect(error).toBeInstanceOf(CertificateError);
    expect(error).toBeInstanceOf(WantioError);
    return error as CertificateError;
  }
  throw new Error('the certificate was accepted');
}

/** Another digest of the same length, with another last digit. */
const unlike = (hex: string): string => hex.slice(0, -1) + (hex.endsWith('0') ? '1' : '0');

describe('checkPeer', () => {
  it('returns the name that matched, and its field', () => {
    expect(checkPeer(certificate, { name: 'example.org' })).toEqual({ name: 'example.org', field: 'subjectAltName' });
    expect(checkPeer(certificate, { name: 'A.Example.net' })).toEqual({
      name: '*.example.net',
      field: 'subjectAltName',
    });
    expect(checkPeer(certificate, { name: '192.0.2.1' })).toEqual({ name: '192.0.2.1', field: 'subjectAltName' });
    expect(checkPeer(certificate, { name: '2001:DB8::0:1' })).toEqual({ name: '2001:db8::1', field: 'subjectAltName' });
  });

  it('rejects a certificate for another host, and reports the hosts that it is for', () => {
    const error = errorOf({ name: 'example.com' });
    expect(error).toBeInstanceOf(WrongHostError);
    expect(error).toMatchObject({
      name: 'WrongHostError',
      code: 'ERR_WANTIO_WRONG_HOST',
      reason: 'HOSTNAME_MISMATCH',
      result: 62,
      depth: undefined,
      expected: 'example.com',
      field: 'subjectAltName',
      actual: 'DNS:example.org, DNS:*.example.net, DNS:f*.example.com, IP:192.0.2.1, IP:2001:db8::1',
      message:
        'the certificate is not for example.com but for DNS:example.org, DNS:*.example.net, DNS:f*.example.com, IP:192.0.2.1, IP:2001:db8::1',
    });
    expect(errorOf({ name: '192.0.2.2' })).toMatchObject({ reason: 'IP_ADDRESS_MISMATCH', result: 64 });
    for (const name of ['example.net', 'a.b.example.net', 'foo.example.com', 'common.example'])
      expect(errorOf({ name }).field, name).toBe('subjectAltName');
  });

  it('checks the commonName under the older rules only, and only when the subjectAltName has no host', () => {
    expect(errorOf({ name: 'common.example' }, commonOnly)).toMatchObject({
      actual: '',
      message: 'the certificate is not for common.example but for no host',
    });
    expect(checkPeer(commonOnly, { name: 'common.example', dangerouslyUseOldNameRules: true })).toEqual({
      name: 'common.example',
      field: 'commonName',
    });
    expect(errorOf({ name: 'other.example', dangerouslyUseOldNameRules: true }, commonOnly)).toMatchObject({
      field: 'commonName',
      actual: 'common.example',
    });
    expect(errorOf({ name: 'common.example', dangerouslyUseOldNameRules: true })).toMatchObject({
      field: 'subjectAltName',
    });
    const mail = Certificate.load(
      authority.issue({ names: ['a@example.org'], commonName: 'mail.example' }).certificate,
    );
    expect(checkPeer(mail, { name: 'mail.example', dangerouslyUseOldNameRules: true })).toEqual({
      name: 'mail.example',
      field: 'commonName',
    });
    const addresses = Certificate.load(
      authority.issue({ names: ['192.0.2.1'], commonName: 'mail.example' }).certificate,
    );
    expect(errorOf({ name: 'mail.example', dangerouslyUseOldNameRules: true }, addresses).actual).toBe('IP:192.0.2.1');
    // An address in the commonName does not match.
    expect(
      errorOf(
        { name: '192.0.2.9', dangerouslyUseOldNameRules: true },
        Certificate.load(authority.issue({ names: ['192.0.2.9'], subjectAltName: false }).certificate),
      ).field,
    ).toBe('commonName');
  });

  it('matches a wildcard for a part of a label under the older rules only', () => {
    expect(checkPeer(certificate, { name: 'foo.example.com', dangerouslyUseOldNameRules: true })).toEqual({
      name: 'f*.example.com',
      field: 'subjectAltName',
    });
    expect(errorOf({ name: 'foo.example.com' }).code).toBe('ERR_WANTIO_WRONG_HOST');
  });

  it('accepts digests in every spelling, one or several', () => {
    const colons = (sha256.toUpperCase().match(/../g) ?? []).join(':');
    for (const digest of [sha256, sha256.toUpperCase(), colons, [unlike(sha256), sha256], [unlike(sha512), colons]])
      expect(checkPeer(certificate, { digest })).toEqual({ digest: sha256 });
    expect(checkPeer(certificate, { digest: [unlike(sha256), sha512] })).toEqual({ digest: sha512 });
  });

  it('rejects a certificate with another digest', () => {
    const error = errorOf({ digest: unlike(sha256) });
    expect(error).toBeInstanceOf(WrongCertificateError);
    expect(error).toMatchObject({
      name: 'WrongCertificateError',
      code: 'ERR_WANTIO_WRONG_CERTIFICATE',
      expected: unlike(sha256),
      actual: sha256,
      field: 'digest',
      result: undefined,
      reason: undefined,
    });
    expect(errorOf({ digest: [unlike(sha512), unlike(sha256)] })).toMatchObject({
      expected: `${unlike(sha512)}, ${unlike(sha256)}`,
      actual: sha512,
    });
    expect(errorOf({ digest: commonOnly.digest() }).actual).toBe(sha256);
  });

  it('accepts a pinned key after a renewal of the certificate', () => {
    const first = authority.issue();
    const renewed = Certificate.load(authority.issue({ key: { pem: first.key } }).certificate);
    const publicKeyDigest = Certificate.load(first.certificate).publicKeyDigest();
    expect(checkPeer(renewed, { publicKeyDigest })).toEqual({ publicKeyDigest });
    expect(checkPeer(renewed, { publicKeyDigest: [pin, publicKeyDigest] })).toEqual({ publicKeyDigest });
    const error = errorOf({ publicKeyDigest });
    expect(error).toBeInstanceOf(WrongCertificateError);
    expect(error).toMatchObject({
      code: 'ERR_WANTIO_WRONG_CERTIFICATE',
      expected: publicKeyDigest,
      actual: pin,
      field: 'publicKeyDigest',
    });
  });

  it('requires everything that is expected', () => {
    const all = { name: 'example.org', digest: sha256, publicKeyDigest: pin };
    expect(checkPeer(certificate, all)).toEqual({ ...all, field: 'subjectAltName' });
    expect(errorOf({ ...all, name: 'other.example' })).toBeInstanceOf(WrongHostError);
    expect(errorOf({ ...all, digest: unlike(sha256) }).field).toBe('digest');
    expect(errorOf({ ...all, publicKeyDigest: commonOnly.publicKeyDigest() }).field).toBe('publicKeyDigest');
  });

  it('rejects a missing certificate, whatever is expected', () => {
    expect(checkPeer(certificate)).toEqual({});
    for (const expectation of [{}, { name: 'example.org' }, { digest: sha256 }]) {
      const error = (() => {
        try {
          return checkPeer(undefined, expectation);
        } catch (thrown) {
          return thrown;
        }
      })();
      expect(error).toBeInstanceOf(NoCertificateError);
      expect(error).toMatchObject({
        name: 'NoCertificateError',
        code: 'ERR_WANTIO_NO_CERTIFICATE',
        message: 'the peer showed no certificate',
        reason: undefined,
        expected: 'name' in expectation ? expectation.name : undefined,
      });
    }
  });

  it('throws a TypeError for an expectation that no certificate can meet', () => {
    for (const digest of [
      '',
      'abc',
      sha256.slice(2),
      `${sha256}00`,
      certificate.digest('sha1'),
      sha256.replace(/./, 'g'),
      pin,
      [],
      [sha256, ''],
    ])
      expect(() => checkPeer(certificate, { digest }), String(digest)).toThrow(TypeError);
    for (const publicKeyDigest of ['', sha256, pin.slice(0, -1), `${pin}\n`, ` ${pin}`, []])
      expect(() => checkPeer(certificate, { publicKeyDigest }), String(publicKeyDigest)).toThrow(TypeError);
    for (const name of ['', '.example.net', 'example.org\0'])
      expect(() => checkPeer(certificate, { name }), name).toThrow(TypeError);
    expect(() => checkPeer(certificate, { nam: 'a.test' } as never)).toThrow(
      'checkPeer has no option "nam"; did you mean name?',
    );
    expect(() => checkPeer(certificate, { name: undefined })).toThrow('name decides about trust');
  });

  it('escapes and shortens names in its messages', () => {
    const hostile = Certificate.load(
      authority.issue({
        subjectAltName: false,
        extensions: [
          { oid: '2.5.29.17', value: sequence(element(0x82, Buffer.from('a\n\x1b[31m\0, DNS:example.org'))) },
        ],
      }).certificate,
    );
    expect(errorOf({ name: 'example.org' }, hostile).actual).toBe('DNS:a\\0A\\1B[31m\\00\\, DNS:example.org');
    const many = Certificate.load(
      authority.issue({ names: Array.from({ length: 1000 }, (_, index) => `host-${String(index)}.example`) })
        .certificate,
    );
    expect(errorOf({ name: 'example.org' }, many).message.length).toBeLessThan(1200);
  });

  it('accepts a host only if the certificate names it', () => {
    const label = fc
      .string({ unit: fc.constantFrom('a', 'b', '-'), minLength: 1, maxLength: 3 })
      .filter((text) => !text.startsWith('-') && !text.endsWith('-'));
    const host = fc.array(label, { minLength: 3, maxLength: 4 }).map((labels) => labels.join('.'));
    const named = fc.oneof(
      host,
      host.map((name) => name.replace(/^[^.]+/, '*')),
    );
    const { key } = authority.issue();
    fc.assert(
      fc.property(fc.array(named, { minLength: 1, maxLength: 4 }), host, (names, name) => {
        const some = Certificate.load(
          authority.issue({
            key: { pem: key },
            subjectAltName: false,
            commonName: name,
            extensions: [{ oid: '2.5.29.17', value: sequence(...names.map(generalName)) }],
          }).certificate,
        );
        const isNamed = names.some(
          (each) => each === name || (each.startsWith('*.') && name.split('.').slice(1).join('.') === each.slice(2)),
        );
        if (isNamed) expect(names).toContain(checkPeer(some, { name }).name);
        else expect(errorOf({ name }, some)).toBeInstanceOf(WrongHostError);
      }),
      { numRuns: 300 },
    );
  });
});
