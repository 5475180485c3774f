/** Checks after a handshake whether the certificate is the expected one, by name or by pin. */

import { timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';

import { checkArgument, checkOptions, either, flag, listOf, partWith, thing, trust } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { readHostName } from '../../../reactor/addresses/host-name.ts';
import { encoded } from './asn1-text.ts';
import { namesHosts } from './certificate-extension.ts';
import type { Certificate, NameRules } from './certificate.ts';
import { NoCertificateError, WrongCertificateError, WrongHostError } from './certificate-error.ts';
import { lineOfNames } from './subject-alt-name.ts';
import { VERIFY_ERRORS } from './verify-errors.ts';

/** What the peer's certificate must be. Every given condition must hold; without any, the peer must only show one. */
export interface PeerExpectation {
  /** The host name or address that the certificate must be for. */
  readonly name?: string | undefined;
  /**
   * A pin of the certificate: its SHA-256 or SHA-512 digest in hexadecimal, with or without colons; or several, of
   * which one must match.
   */
  readonly digest?: string | readonly string[] | undefined;
  /**
   * A pin of the key: the SHA-256 digest of its SubjectPublicKeyInfo in base64; or several, of which one must match.
   * The pin stays valid when the certificate is renewed with the same key.
   */
  readonly publicKeyDigest?: string | readonly string[] | undefined;
  /** Compares names by RFC 2818 instead of RFC 9525; see the option of the same name in the client's context. */
  readonly dangerouslyUseOldNameRules?: boolean | undefined;
}

const word = thing('text', (value) => typeof value === 'string');
const pins = trust(either(word, listOf(word)));
export const EXPECTATION_RULES = {
  name: trust(word),
  digest: pins,
  publicKeyDigest: pins,
  dangerouslyUseOldNameRules: flag,
} satisfies Rules<PeerExpectation>;

/** What matched: one field for each given condition. */
export interface PeerMatch {
  /** The name in the certificate that matches, possibly a wildcard. */
  readonly name?: string;
  /** Where that name stands. */
  readonly field?: 'subjectAltName' | 'commonName';
  /** The certificate's digest, in lower case without colons. */
  readonly digest?: string;
  readonly publicKeyDigest?: string;
}

/**
 * Checks that a certificate is the expected one. It does not check whether the certificate is trusted: without a pin,
 * call it only after a handshake that has verified the peer. Pins are compared in constant time.
 * @param certificate the peer's certificate, or `undefined` when the peer showed none.
 * @returns what matched.
 * @throws {NoCertificateError} when there is no certificate.
 * @throws {WrongCertificateError} when no pin matches the certificate.
 * @throws {WrongHostError} when the certificate is for other names.
 * @throws {TypeError} when no certificate could match: an invalid name, an empty list, or a pin that is not a digest.
 */
export function checkPeer(certificate: Certificate | undefined, expectation: PeerExpectation = {}): PeerMatch {
  checkOptions('checkPeer', expectation, EXPECTATION_RULES);
  if (certificate !== undefined)
    checkArgument('checkPeer', 'the certificate', certificate, partWith('a Certificate', 'digest', 'checkHost'));
  const { name, digest, publicKeyDigest, dangerouslyUseOldNameRules = false } = expectation;
  // Pins are validated before anything is compared, so that a mistyped pin is an error at the first call.
  const digests = digest === undefined ? undefined : oneOrMore(digest, 'digest').map(digestOf);
  const keys =
    publicKeyDigest === undefined ? undefined : oneOrMore(publicKeyDigest, 'publicKeyDigest').map(keyDigestOf);
  const host = name === undefined ? undefined : expectedName(name);
  if (certificate === undefined) throw new NoCertificateError('the peer showed no certificate', { expected: host });
  return {
    ...(digests === undefined ? {} : { digest: checkDigest(certificate, digests) }),
    ...(keys === undefined ? {} : { publicKeyDigest: checkKey(certificate, keys) }),
    ...(host === undefined ? {} : checkName(certificate, host, dangerouslyUseOldNameRules ? 'rfc2818' : 'rfc9525')),
  };
}

/** @returns the name in its normalised form. @throws {TypeError} when it is not a valid host name or address. */
export function expectedName(name: string): string {
  const read = readHostName(name);
  if ('fault' in read) throw new TypeError(`name cannot be ${JSON.stringify(name)}: ${read.fault}`);
  return read.name;
}

/** The field in which a certificate names its hosts under these rules, and its content in printable ASCII. */
export function hostsOf(
  certificate: Certificate,
  rules: NameRules = 'rfc9525',
): { readonly field: 'subjectAltName' | 'commonName'; readonly actual: string } {
  const extensions = certificate.extensions();
  const names = extensions.flatMap(({ subjectAltName }) => subjectAltName ?? []);
  if (rules === 'rfc9525' || namesHosts(extensions))
    return { field: 'subjectAltName', actual: shortened(names.map(lineOfNames).join(', ')) };
  const values = certificate
    .subject({ encoding: 'ascii' })
    .filter(({ oid }) => oid === COMMON_NAME)
    .map(({ value }) => value);
  return { field: 'commonName', actual: shortened(values.join(', ')) };
}

function checkName(
  certificate: Certificate,
  name: string,
  rules: NameRules,
): { name: string; field: 'subjectAltName' | 'commonName' } {
  const isAddress = isIP(name) !== 0;
  const strict = isAddress ? certificate.checkIp(name) : certificate.checkHost(name);
  if (strict !== undefined) return { name: strict, field: 'subjectAltName' };
  const loose = isAddress ? undefined : certificate.checkHost(name, { rules });
  const { field, actual } = hostsOf(certificate, rules);
  if (loose !== undefined) return { name: loose, field };
  const result = isAddress ? VERIFY_ERRORS.IP_ADDRESS_MISMATCH : VERIFY_ERRORS.HOSTNAME_MISMATCH;
  throw new WrongHostError(
    `the certificate is not for ${encoded(name, 'ascii')} but for ${actual === '' ? 'no host' : actual}`,
    { result, expected: name, actual, field },
  );
}

function checkDigest(certificate: Certificate, pins: readonly Buffer[]): string {
  const sha256 = Buffer.from(certificate.digest('sha256'), 'hex');
  const sha512 = Buffer.from(certificate.digest('sha512'), 'hex');
  const expected = pins.map((pin) => pin.toString('hex'));
  const [match] = pins.filter((pin) => timingSafeEqual(pin, pin.length === sha256.length ? sha256 : sha512));
  if (match !== undefined) return match.toString('hex');
  const actual = (pins[0].length === sha256.length ? sha256 : sha512).toString('hex');
  throw new WrongCertificateError(`the certificate has the digest ${actual}, not ${expected.join(' or ')}`, {
    expected: expected.join(', '),
    actual,
    field: 'digest',
  });
}

function checkKey(certificate: Certificate, pins: readonly Buffer[]): string {
  const actual = certificate.publicKeyDigest();
  const bytes = Buffer.from(actual, 'base64');
  // Compares every pin, so that the time does not depend on which one matches.
  if (pins.filter((pin) => timingSafeEqual(pin, bytes)).length > 0) return actual;
  const expected = pins.map((pin) => pin.toString('base64'));
  throw new WrongCertificateError(`the certificate's key has the digest ${actual}, not ${expected.join(' or ')}`, {
    expected: expected.join(', '),
    actual,
    field: 'publicKeyDigest',
  });
}

function oneOrMore(pins: string | readonly string[], what: string): readonly string[] {
  const list = typeof pins === 'string' ? [pins] : pins;
  if (list.length === 0) throw new TypeError(`${what} is an empty list: no certificate could match`);
  return list;
}

function digestOf(pin: string): Buffer {
  const hex = pin.replaceAll(':', '');
  if (!/^(?:[0-9a-f]{64}|[0-9a-f]{128})$/i.test(hex))
    throw new TypeError(`digest ${JSON.stringify(pin)} is neither SHA-256 nor SHA-512 in hexadecimal`);
  return Buffer.from(hex, 'hex');
}

function keyDigestOf(pin: string): Buffer {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(pin))
    throw new TypeError(`publicKeyDigest ${JSON.stringify(pin)} is not SHA-256 in base64`);
  return Buffer.from(pin, 'base64');
}

/** Shortens the names for a message: a certificate may have thousands. */
function shortened(text: string): string {
  return text.length <= MESSAGE_AT_MOST ? text : `${text.slice(0, MESSAGE_AT_MOST)}…`;
}

const COMMON_NAME = '2.5.4.3';
const MESSAGE_AT_MOST = 1024;
