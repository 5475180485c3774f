/**
 * Certificates: their contents, and the names that they are valid for. Long because it is a public interface with a
 * member for each field.
 */

import { createHash, X509Certificate } from 'node:crypto';
import type { X509CheckOptions } from 'node:crypto';
import { isIP } from 'node:net';
import { inspect } from 'node:util';

import { BoundsError } from '../../../core/errors.ts';
import { bytes, checkArgument, checkOptions, either, number, oneOf, secret, thing } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { readHostName, wildcardOverUnderscore } from '../../../reactor/addresses/host-name.ts';
import { canonicalAddress } from '../../../reactor/addresses/ip-address.ts';
import { objectOf, timeOf } from './asn1-text.ts';
import type { TextEncoding } from './asn1-text.ts';
import { extensionsOf, namesHosts } from './certificate-extension.ts';
import type { CertificateExtension } from './certificate-extension.ts';
import { attributesOf, lineOf } from './distinguished-name.ts';
import type { NameAttribute } from './distinguished-name.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { pemOf } from './pem-text.ts';
import { withCertificates } from './pem.ts';
import { lineOfNames } from './subject-alt-name.ts';
import { takeErrorQueue } from '../tls-error.ts';
import { canonical, encodingOf, publicKeyOf, withX509 } from './x509.ts';

/** The digest algorithms of fingerprints. */
export type CertificateDigest = 'sha1' | 'sha256' | 'sha512';

/**
 * How names are compared. `'rfc9525'`: with the subjectAltName only, and a wildcard is a whole left-most label.
 * `'rfc2818'`, the rules from before 2011: a wildcard may be a part of the left-most label, and the subject's
 * commonName is compared when the subjectAltName has no host name or address. Today's certificates do not need these
 * rules.
 */
export type NameRules = 'rfc9525' | 'rfc2818';

/** The key in a certificate. */
export interface CertificateKey {
  /** SubjectPublicKeyInfo in PEM. */
  readonly pem: string;
  /**
   * The kind of key, such as `'rsa'`, `'ec'` or `'ed25519'`; the algorithm's name or OID when OpenSSL cannot use it.
   */
  readonly type: string;
  /** The size of the key in bits; `undefined` when OpenSSL cannot use the key. */
  readonly bits: number | undefined;
}

/** Options of methods that return texts. */
export interface TextOptions {
  /** `'utf8'` by default. */
  readonly encoding?: TextEncoding;
}

/** Options for parsing. */
export interface LoadOptions {
  /** The largest input in bytes; 4 MiB by default, about ten times the size of a browser's roots. */
  readonly maxBytes?: number;
}

/** Options for comparing names. */
export interface NameOptions {
  /** `'rfc9525'` by default. */
  readonly rules?: NameRules;
}

export const TEXT_RULES = { encoding: oneOf('utf8', 'ascii') } satisfies Rules<TextOptions>;
export const LOAD_RULES = {
  maxBytes: number('a number of bytes of at least 1', (value) => value >= 1),
} satisfies Rules<LoadOptions>;
export const NAME_RULES = { rules: oneOf('rfc9525', 'rfc2818') } satisfies Rules<NameOptions>;
const source = secret(
  either(
    thing('PEM as text, or bytes', (value) => typeof value === 'string'),
    bytes,
  ),
);

/**
 * A certificate. It is immutable. It holds its bytes and no memory of OpenSSL, so it need not be freed. Its contents
 * are claims: only a handshake verifies whether a certificate can be trusted.
 */
export class Certificate {
  readonly #der: Uint8Array;
  #native: X509Certificate | undefined;

  /** @internal `der` must be written by OpenSSL and is taken over without a copy. Use {@link load}. */
  constructor(der: Uint8Array) {
    this.#der = der;
  }

  /**
   * Parses a certificate.
   * @param source PEM as text or bytes, whose first certificate is taken; or DER. Bytes that begin with 0x30 are DER.
   * @throws {TlsError} when it cannot be parsed, or when bytes follow the DER.
   * @throws {BoundsError} when it is longer than `maxBytes`.
   */
  static load(source: string | Uint8Array, options: LoadOptions = {}): Certificate {
    const bytes = bounded(source, options);
    if (typeof source !== 'string' && bytes[0] === SEQUENCE) return new Certificate(canonical(bytes));
    const [first] = Certificate.#all(bytes);
    return first;
  }

  /**
   * Parses all certificates of a chain or a bundle in PEM. Text between them is ignored.
   * @returns one or more certificates, in the order of the text.
   * @throws {TlsError} when there is none, or one cannot be parsed.
   * @throws {BoundsError} when the text is longer than `maxBytes`.
   */
  static loadAll(pem: string | Uint8Array, options: LoadOptions = {}): Certificate[] {
    return Certificate.#all(bounded(pem, options));
  }

  static #all(pem: Uint8Array): Certificate[] {
    let all: Certificate[] = [];
    withCertificates(pem, 'text', (certificates) => {
      all = certificates.map(certificateOf);
    });
    return all;
  }

  /** The certificate in DER, as a copy. */
  get der(): Uint8Array {
    return this.#der.slice();
  }

  /** The certificate in PEM, with a line feed at the end. */
  pem(): string {
    return pemOf('CERTIFICATE', this.#der);
  }

  /** The fingerprint: the digest of {@link der} in lower-case hexadecimal without colons. SHA-256 by default. */
  digest(algorithm: CertificateDigest = 'sha256'): string {
    if (!DIGESTS.includes(algorithm)) throw new TypeError(`digest takes ${DIGESTS.join(', ')}, not ${algorithm}`);
    return createHash(algorithm).update(this.#der).digest('hex');
  }

  /**
   * The attributes of the subject, in the certificate's order. Host names are not here but in the subjectAltName, see
   * {@link extensions}.
   */
  subject(options: TextOptions = {}): readonly NameAttribute[] {
    const encoding = encodingIn('subject', options);
    return this.#use((x509) => attributesOf(openssl().X509_get_subject_name(x509), encoding));
  }

  /** The attributes of the issuer, as the certificate claims it; {@link issued} checks the claim. */
  issuer(options: TextOptions = {}): readonly NameAttribute[] {
    const encoding = encodingIn('issuer', options);
    return this.#use((x509) => attributesOf(openssl().X509_get_issuer_name(x509), encoding));
  }

  /** All extensions, in the certificate's order. */
  extensions(options: TextOptions = {}): readonly CertificateExtension[] {
    const encoding = encodingIn('extensions', options);
    return this.#use((x509) => extensionsOf(x509, encoding));
  }

  /** The serial number in upper-case hexadecimal with an even number of digits; a negative one begins with a minus. */
  get serial(): string {
    const { serialNumber } = this.#x509Certificate;
    return serialNumber === '0' ? '00' : serialNumber;
  }

  /** When the certificate becomes valid; an invalid `Date` when it does not say so. */
  get notBefore(): Date {
    return this.#use((x509) => timeOf(openssl().X509_getm_notBefore(x509)));
  }

  /** When the certificate expires; an invalid `Date` when it does not say so. */
  get notAfter(): Date {
    return this.#use((x509) => timeOf(openssl().X509_getm_notAfter(x509)));
  }

  /**
   * Whether the certificate is valid at `date`, by default now. The first and the last second count as valid (RFC 5280,
   * section 4.1.2.5). False when the certificate does not say when it is valid.
   */
  validAt(date: Date = new Date()): boolean {
    const second = Math.floor(date.getTime() / 1000) * 1000;
    return this.notBefore.getTime() <= second && second <= this.notAfter.getTime();
  }

  /** The public key in the certificate. */
  publicKey(): CertificateKey {
    const ssl = openssl();
    return this.#use((x509) => {
      const pem = pemOf('PUBLIC KEY', publicKeyOf(x509));
      const key = ssl.X509_get0_pubkey(x509);
      if (key !== 0)
        return { pem, type: (ssl.EVP_PKEY_get0_type_name(key) ?? '').toLowerCase(), bits: ssl.EVP_PKEY_get_bits(key) };
      takeErrorQueue();
      const algorithm = new BigUint64Array(1);
      ssl.X509_PUBKEY_get0_param(algorithm, null, null, null, ssl.X509_get_X509_PUBKEY(x509));
      return { pem, type: objectOf(Number(algorithm[0])).name, bits: undefined };
    });
  }

  /**
   * The SHA-256 digest of the key's SubjectPublicKeyInfo, in base64. Pins of a key are compared with it (RFC 7469).
   */
  publicKeyDigest(): string {
    return this.#use((x509) => createHash('sha256').update(publicKeyOf(x509)).digest('base64'));
  }

  /**
   * The signature algorithm, such as `"sha256WithRSAEncryption"` or `"ecdsa-with-SHA256"`; the OID when OpenSSL has no
   * name for it.
   */
  get signatureName(): string {
    return this.#use((x509) => {
      const ssl = openssl();
      const algorithm = new BigUint64Array(1);
      ssl.X509_ALGOR_get0(algorithm, null, null, ssl.X509_get0_tbs_sigalg(x509));
      return objectOf(Number(algorithm[0])).name;
    });
  }

  /**
   * Whether this certificate's key signed `other`: this one may sign certificates, its subject is the issuer of
   * `other`, and the signature verifies. It checks neither whether this certificate is trusted nor whether both are
   * valid now.
   */
  issued(other: Certificate): boolean {
    if (this.#use((x509) => openssl().X509_check_ca(x509)) === 0) return false;
    const issued = other.#x509Certificate;
    try {
      return issued.checkIssued(this.#x509Certificate) && issued.verify(this.#x509Certificate.publicKey);
    } catch {
      // A key or a signature that OpenSSL cannot use proves nothing.
      takeErrorQueue();
      return false;
    }
  }

  /**
   * Whether the certificate is for the host `name`. A name with non-ASCII letters is compared in its `xn--` form, and
   * one dot at the end is ignored. A wildcard also covers a left-most label with an underscore.
   * @returns the matching name in the certificate, possibly a wildcard; `undefined` when none matches.
   */
  checkHost(name: string, given: NameOptions = {}): string | undefined {
    checkOptions('checkHost', given, NAME_RULES);
    const { rules = 'rfc9525' } = given;
    const host = hostOf(name);
    if (host === undefined) return undefined;
    const options = { wildcards: true, multiLabelWildcards: false, partialWildcards: rules === 'rfc2818' };
    const match = this.#matches(host, { ...options, subject: 'never' });
    if (match !== undefined || rules === 'rfc9525' || namesHosts(this.extensions())) return match;
    return this.#matches(host, { ...options, subject: 'always' });
  }

  /**
   * Whether the certificate is for an IPv4 or IPv6 address. The zone of an address is ignored.
   * @returns the address; `undefined` when it does not match.
   */
  checkIp(address: string): string | undefined {
    const host = canonicalAddress(address)?.replace(/%.*/, '');
    return host === undefined ? undefined : this.#x509Certificate.checkIP(host);
  }

  /**
   * Whether the certificate is for a mail address. The part before the `@` is case-sensitive, the part after it is not.
   * The subject's emailAddress counts under the rules `'rfc2818'` only.
   * @returns the address; `undefined` when it does not match.
   */
  checkEmail(address: string, options: NameOptions = {}): string | undefined {
    checkOptions('checkEmail', options, NAME_RULES);
    const { rules = 'rfc9525' } = options;
    if (address === '' || address.includes('\0')) return undefined;
    return this.#x509Certificate.checkEmail(address, { subject: rules === 'rfc2818' ? 'default' : 'never' });
  }

  /** Whether both certificates have the same bytes. */
  equals(other: Certificate): boolean {
    return Buffer.compare(this.#der, other.#der) === 0;
  }

  /** The certificate as an `X509Certificate` of `node:crypto`. */
  toX509Certificate(): X509Certificate {
    // Not from DER: Node.js first searches the bytes for PEM, and would find a PEM certificate inside an extension.
    return new X509Certificate(this.pem());
  }

  /** One line in printable ASCII for people to read. */
  toString(): string {
    return `certificate of ${lineOf(this.subject()) || 'nobody'}, issued by ${lineOf(this.issuer()) || 'nobody'}, serial ${this.serial}`;
  }

  /** The subject and the issuer, for `console.log`. */
  [inspect.custom](_depth: number, options: object): string {
    const names = this.extensions()
      .flatMap(({ subjectAltName }) => subjectAltName ?? [])
      .map(lineOfNames)
      .join(', ');
    return `Certificate ${inspect(
      {
        subject: lineOf(this.subject()),
        ...(names === '' ? {} : { names }),
        issuer: lineOf(this.issuer()),
        notBefore: this.notBefore,
        notAfter: this.notAfter,
        serial: this.serial,
        digest: this.digest(),
      },
      options,
    )}`;
  }

  #matches(host: string, options: X509CheckOptions): string | undefined {
    const wildcard = wildcardOverUnderscore(host);
    const match = this.#x509Certificate.checkHost(host, options);
    return match ?? (wildcard === undefined ? undefined : this.#x509Certificate.checkHost(wildcard, options));
  }

  get #x509Certificate(): X509Certificate {
    return (this.#native ??= this.toX509Certificate());
  }

  /** Passes the certificate as an `X509` to `use`, and frees the `X509` afterwards. */
  #use<T>(use: (x509: Pointer) => T): T {
    return withX509(this.#der, use);
  }
}

/** @returns a copy of an `X509`, which the caller still frees. */
export function certificateOf(certificate: Pointer): Certificate {
  return new Certificate(encodingOf(certificate));
}

/** @returns copies of the certificates in a stack of `X509`, which the caller still frees. A null stack is empty. */
export function chainOf(stack: Pointer): Certificate[] {
  if (stack === 0) return [];
  const ssl = openssl();
  return Array.from({ length: ssl.OPENSSL_sk_num(stack) }, (_, index) =>
    certificateOf(ssl.OPENSSL_sk_value(stack, index)),
  );
}

function encodingIn(call: string, options: TextOptions): TextEncoding {
  checkOptions(call, options, TEXT_RULES);
  return options.encoding ?? 'utf8';
}

function bounded(given: string | Uint8Array, options: LoadOptions): Uint8Array {
  checkArgument('Certificate.load', 'the source', given, source);
  checkOptions('Certificate.load', options, LOAD_RULES);
  const { maxBytes = 4 * 1024 * 1024 } = options;
  const length = typeof given === 'string' ? Buffer.byteLength(given) : given.length;
  if (!(length <= maxBytes)) throw new BoundsError('the text of certificates', 'maxBytes', maxBytes);
  return typeof given === 'string' ? Buffer.from(given) : given;
}

/**
 * @returns the name in the form that certificates use; `undefined` when it is not a valid host name or is an address.
 */
function hostOf(name: string): string | undefined {
  const read = readHostName(name);
  return 'fault' in read || isIP(read.name) !== 0 ? undefined : read.name;
}

const DIGESTS: readonly CertificateDigest[] = ['sha1', 'sha256', 'sha512'];
const SEQUENCE = 0x30;
