/** A certificate authority for tests. It makes every kind of certificate, above all invalid ones. */

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

import { pemOf } from '../../tls/certificates/pem-text.ts';
import {
  bitString,
  boolean,
  element,
  integer,
  nothing,
  objectIdentifier,
  octetString,
  sequence,
  set,
  time,
  utf8String,
} from './der.ts';

/** The kinds of keys. RSA with 1024 bits is too weak for OpenSSL's security level 1 and above. */
export type KeyKind = 'p256' | 'p384' | 'ed25519' | 'rsa1024' | 'rsa2048' | 'rsa3072';
/** The digests of signatures. SHA-1 and MD5 are too weak for level 1 and above. */
export type Digest = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** The contents of every certificate. */
export interface CertificateOptions {
  /**
   * The subject: pairs of an attribute's OID and its value, a text or an encoded element. By default the commonName
   * only.
   */
  readonly subject?: readonly (readonly [oid: string, value: string | Uint8Array])[];
  /** The validity period; by default from an hour ago for 30 days. */
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Whether the certificate expired yesterday. */
  readonly expired?: boolean;
  /** Whether the certificate becomes valid only tomorrow. */
  readonly notYetValid?: boolean;
  /** The digest of the issuer's signature; SHA-256 by default. Ignored when the issuer's key is Ed25519. */
  readonly digest?: Digest;
  /** The certificate's own key: a kind, to generate one, or a key in PEM; `'p256'` by default. */
  readonly key?: KeyKind | { readonly pem: string };
  /** The serial number, positive; 64 random bits by default. */
  readonly serial?: bigint;
  /** More extensions: the value is the encoding that goes into the extension's OCTET STRING. */
  readonly extensions?: readonly { readonly oid: string; readonly critical?: boolean; readonly value: Uint8Array }[];
}

/** The contents of a certificate for a host or a client. */
export interface IssueOptions extends CertificateOptions {
  /**
   * Host names, addresses, mail addresses (with an `@`) and URIs (with a `:`) for the subjectAltName; `localhost`,
   * `127.0.0.1` and `::1` by default.
   */
  readonly names?: readonly string[];
  /** Whether there is a subjectAltName; true by default. Without it only the commonName identifies the host. */
  readonly subjectAltName?: boolean;
  /** The first of `names` by default. */
  readonly commonName?: string;
  /** The extended key usage; servers and clients by default. */
  readonly purpose?: 'server' | 'client' | 'both';
}

/** The contents of an authority's certificate. */
export interface AuthorityOptions extends CertificateOptions {
  readonly commonName?: string;
  /** How many levels of authorities may follow below it; unlimited by default. */
  readonly pathLength?: number;
  /** Whether basicConstraints marks it as an authority; true by default. */
  readonly ca?: boolean;
}

/** A certificate and its key. */
export interface Issued {
  /** In PEM. */
  readonly certificate: string;
  /** The private key, PKCS #8 in PEM. */
  readonly key: string;
  /** The certificate, then the authorities between it and the root, without the root; in PEM. */
  readonly chain: string;
  readonly serial: bigint;
}

/** An authority with its own key. It is a root unless {@link intermediate} made it. */
export class Authority implements Issued {
  /** Its certificate in PEM. */
  readonly certificate: string;
  /** Its private key in PEM. */
  readonly key: string;
  /** Its certificate and those above it without the root, in PEM; empty for a root. */
  readonly chain: string;
  readonly serial: bigint;
  readonly #self: Signer;

  constructor(options: AuthorityOptions = {}, issuer?: Authority) {
    const { commonName = issuer === undefined ? 'test root' : issuer.#levelBelow(), pathLength, ca = true } = options;
    const key = keyOf(options.key ?? 'p256');
    const made = certificateOf(options, commonName, key, issuer === undefined ? undefined : issuer.#self, [
      extension(
        BASIC_CONSTRAINTS,
        ca ? sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)])) : sequence(),
        true,
      ),
      // keyCertSign and cRLSign.
      extension(KEY_USAGE, ca ? bitString(Buffer.from([0x06]), 1) : bitString(Buffer.from([0x80]), 7), true),
    ]);
    this.certificate = pemOf('CERTIFICATE', made.der);
    this.key = exported(key);
    this.chain = issuer === undefined ? '' : this.certificate + issuer.chain;
    this.serial = made.serial;
    this.#self = { name: made.name, key };
  }

  /** Alias of {@link certificate}. */
  get pem(): string {
    return this.certificate;
  }

  /** @returns an authority below this one. */
  intermediate(options: AuthorityOptions = {}): Authority {
    return new Authority(options, this);
  }

  /** @returns a certificate for a host or a client, signed by this authority. */
  issue(options: IssueOptions = {}): Issued {
    const {
      names = ['localhost', '127.0.0.1', '::1'],
      subjectAltName = true,
      commonName = names[0],
      purpose = 'both',
    } = options;
    const key = keyOf(options.key ?? 'p256');
    const isRsa = key.asymmetricKeyType === 'rsa';
    const { der, serial } = certificateOf(options, commonName, key, this.#self, [
      extension(BASIC_CONSTRAINTS, sequence(), true),
      // digitalSignature, and keyEncipherment for the key exchange of RSA.
      extension(KEY_USAGE, bitString(Buffer.from([isRsa ? 0xa0 : 0x80]), isRsa ? 5 : 7), true),
      extension(EXTENDED_KEY_USAGE, sequence(...PURPOSES[purpose].map(objectIdentifier))),
      ...(subjectAltName ? [extension(SUBJECT_ALT_NAME, sequence(...names.map(generalName)))] : []),
    ]);
    const certificate = pemOf('CERTIFICATE', der);
    return { certificate, key: exported(key), chain: certificate + this.chain, serial };
  }

  /**
   * @returns a revocation list with these serials, in PEM. It is valid for 30 days; with `expired` it ended yesterday.
   */
  crl(
    serials: readonly bigint[] = [],
    { expired = false, digest = 'sha256' }: { readonly expired?: boolean; readonly digest?: Digest } = {},
  ): string {
    const { notBefore, notAfter } = validityOf({ expired });
    const revoked = serials.map((serial) => sequence(integer(serial), time(notBefore)));
    const list = (algorithm: Uint8Array): Buffer =>
      sequence(
        integer(1),
        algorithm,
        this.#self.name,
        time(notBefore),
        time(notAfter),
        ...(revoked.length === 0 ? [] : [sequence(...revoked)]),
        element(
          0xa0,
          sequence(
            extension(AUTHORITY_KEY_IDENTIFIER, authorityKeyIdentifier(this.#self.key)),
            extension(CRL_NUMBER, integer(1)),
          ),
        ),
      );
    return pemOf('X509 CRL', signed(list, this.#self.key, digest));
  }

  /**
   * The default names differ from level to level: an authority with its issuer's name does not count towards a path
   * length (RFC 5280, section 4.2.1.9).
   */
  #levelBelow(): string {
    return `test intermediate ${String((this.chain.match(/BEGIN/g)?.length ?? 0) + 1)}`;
  }
}

/** The subjectAltName's entry for a host name, an address, a mail address or a URI. */
export function generalName(name: string): Buffer {
  if (isIP(name) !== 0) return element(0x87, addressBytes(name));
  if (name.includes('@')) return element(0x81, Buffer.from(name));
  return element(name.includes(':') ? 0x86 : 0x82, Buffer.from(name));
}

function addressBytes(address: string): Uint8Array {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // A URL's host has one canonical form: lower case, the longest run of zeros left out, no dotted IPv4 part.
  const [head, tail] = new URL(`http://[${address}]`).hostname
    .slice(1, -1)
    .split('::')
    .map((half) => half.split(':').filter((group) => group !== ''));
  const groups =
    tail === undefined ? head : [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

interface Signer {
  /** The encoded name. */
  readonly name: Uint8Array;
  readonly key: KeyObject;
}

function certificateOf(
  options: CertificateOptions,
  commonName: string,
  key: KeyObject,
  issuer: Signer | undefined,
  usual: readonly Uint8Array[],
): { der: Uint8Array; name: Uint8Array; serial: bigint } {
  const name = nameOf(options.subject ?? [[COMMON_NAME, commonName]]);
  const signer = issuer ?? { name, key };
  const serial = options.serial ?? randomBytes(8).readBigUInt64BE() | 1n;
  const { notBefore, notAfter } = validityOf(options);
  const extensions = [
    ...usual,
    extension(SUBJECT_KEY_IDENTIFIER, octetString(keyIdentifier(key))),
    extension(AUTHORITY_KEY_IDENTIFIER, authorityKeyIdentifier(signer.key)),
    ...(options.extensions ?? []).map(({ oid, critical, value }) => extension(oid, value, critical)),
  ];
  const contents = (algorithm: Uint8Array): Buffer =>
    sequence(
      element(0xa0, integer(2)),
      integer(serial),
      algorithm,
      signer.name,
      sequence(time(notBefore), time(notAfter)),
      name,
      spkiOf(key),
      element(0xa3, sequence(...extensions)),
    );
  return { der: signed(contents, signer.key, options.digest ?? 'sha256'), name, serial };
}

/** The algorithm stands both inside and outside the signed part (RFC 5280, section 4.1.1.2). */
function signed(contents: (algorithm: Uint8Array) => Uint8Array, key: KeyObject, digest: Digest): Buffer {
  const algorithm = algorithmOf(key, digest);
  const body = contents(algorithm);
  return sequence(body, algorithm, bitString(sign(key.asymmetricKeyType === 'ed25519' ? null : digest, body, key)));
}

function algorithmOf(key: KeyObject, digest: Digest): Uint8Array {
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return sequence(objectIdentifier('1.3.101.112'));
    case 'rsa':
      return sequence(objectIdentifier(RSA_WITH[digest]), nothing());
    default:
      if (digest === 'md5') throw new RangeError('ECDSA has no form with MD5');
      return sequence(objectIdentifier(ECDSA_WITH[digest]));
  }
}

function validityOf({ notBefore, notAfter, expired = false, notYetValid = false }: CertificateOptions): {
  notBefore: Date;
  notAfter: Date;
} {
  const [from, until] = expired ? [-30 * DAY, -DAY] : notYetValid ? [DAY, 30 * DAY] : [-HOUR, 30 * DAY];
  return { notBefore: notBefore ?? new Date(Date.now() + from), notAfter: notAfter ?? new Date(Date.now() + until) };
}

function nameOf(attributes: readonly (readonly [oid: string, value: string | Uint8Array])[]): Uint8Array {
  return sequence(
    ...attributes.map(([oid, value]) =>
      set(sequence(objectIdentifier(oid), typeof value === 'string' ? utf8String(value) : value)),
    ),
  );
}

const extension = (oid: string, value: Uint8Array, critical = false): Buffer =>
  sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value));

const spkiOf = (key: KeyObject): Uint8Array => createPublicKey(key).export({ type: 'spki', format: 'der' });

// Any value that is the same for the same key is allowed (RFC 5280, section 4.2.1.2).
const keyIdentifier = (key: KeyObject): Uint8Array => createHash('sha256').update(spkiOf(key)).digest().subarray(0, 20);
const authorityKeyIdentifier = (key: KeyObject): Uint8Array => sequence(element(0x80, keyIdentifier(key)));

const exported = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

function keyOf(kind: KeyKind | { readonly pem: string }): KeyObject {
  if (typeof kind !== 'string') return createPrivateKey(kind.pem);
  switch (kind) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
    case 'p384':
      return generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey;
    case 'ed25519':
      return generateKeyPairSync('ed25519').privateKey;
    default:
      return generateKeyPairSync('rsa', { modulusLength: Number(kind.slice(3)) }).privateKey;
  }
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const COMMON_NAME = '2.5.4.3';
const SUBJECT_KEY_IDENTIFIER = '2.5.29.14';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_ALT_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const CRL_NUMBER = '2.5.29.20';
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35';
const EXTENDED_KEY_USAGE = '2.5.29.37';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const PURPOSES = { server: [SERVER_AUTH], client: [CLIENT_AUTH], both: [SERVER_AUTH, CLIENT_AUTH] } as const;

// RFC 3279, 4055 and 5758.
const RSA_WITH: Readonly<Record<Digest, string>> = {
  md5: '1.2.840.113549.1.1.4',
  sha1: '1.2.840.113549.1.1.5',
  sha256: '1.2.840.113549.1.1.11',
  sha384: '1.2.840.113549.1.1.12',
  sha512: '1.2.840.113549.1.1.13',
};
const ECDSA_WITH: Readonly<Record<Exclude<Digest, 'md5'>, string>> = {
  sha1: '1.2.840.10045.4.1',
  sha256: '1.2.840.10045.4.3.2',
  sha384: '1.2.840.10045.4.3.3',
  sha512: '1.2.840.10045.4.3.4',
};
