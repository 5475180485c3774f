/** Pre-shared keys (PSK), instead of certificates. */

import { thing } from '../../core/options.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { refused } from './tls-error.ts';

// At least 128 bits, because shorter keys can be found by trial. At most PSK_MAX_PSK_LEN of ssl.h before 3.0, so that
// old peers accept the key.
const KEY_AT_LEAST = 16;
const KEY_AT_MOST = 256;
const LENGTHS = `${String(KEY_AT_LEAST)}…${String(KEY_AT_MOST)}`;

/** A shared key. */
export interface PresharedKey {
  /**
   * 16…256 random bytes. It must be random: an eavesdropper can find a guessable key by trial.
   */
  readonly key: Uint8Array;
  /**
   * The digest of the key under TLS 1.3; SHA-256 by default. A server without certificates chooses a cipher suite with
   * SHA-256 for a client with a key. So a server with SHA-384 keys must set `ciphersuites` to `TLS_AES_256_GCM_SHA384`
   * only.
   */
  readonly digest?: 'sha256' | 'sha384' | undefined;
}

/** A shared key and its identity, the name by which the server finds it. */
export interface PskIdentity extends PresharedKey {
  readonly identity: string;
}

/**
 * A client's key, or a function that returns it. The function is called before the handshake, where it may return a
 * Promise. It is called again when a TLS 1.2 server sends a `hint`; then it must not return a Promise.
 */
export type PskClient = PskIdentity | ((hint: string | undefined) => PskIdentity | Promise<PskIdentity>);

/**
 * Returns the key of an identity; `undefined` refuses the client. Under TLS 1.3 it may return a Promise. Under TLS 1.2
 * it must not: a Promise fails the handshake. A client can send any identity.
 */
export type PskServer = (
  identity: string,
) => Uint8Array | PresharedKey | undefined | Promise<Uint8Array | PresharedKey | undefined>;

/** The rule for an option that is a shared key. */
export const sharedKey = thing(
  `${LENGTHS} random bytes (a Uint8Array)`,
  (value) => value instanceof Uint8Array && (hasSensibleLength(value) || 'range'),
);

/** @throws {RangeError} when the key does not have 16…256 bytes. */
export function presharedKey(given: Uint8Array | PresharedKey): PresharedKey {
  const shared = given instanceof Uint8Array ? { key: given } : given;
  if (!hasSensibleLength(shared.key))
    throw new RangeError(`a shared key has ${LENGTHS} bytes, not ${String(shared.key.length)}`);
  return shared;
}

/**
 * Makes the session that represents a shared key in OpenSSL under TLS 1.3.
 * @returns the session, which the caller frees or passes on; 0 when the cipher suite is not enabled.
 */
export function sessionOf(connection: Pointer, { key, digest }: PresharedKey): Pointer {
  const ssl = openssl();
  const cipher = ssl.SSL_CIPHER_find(connection, digest === 'sha384' ? TLS_AES_256_GCM_SHA384 : TLS_AES_128_GCM_SHA256);
  if (cipher === 0) return 0;
  const session = ssl.SSL_SESSION_new();
  const isMade =
    ssl.SSL_SESSION_set1_master_key(session, key, key.length) > 0 &&
    ssl.SSL_SESSION_set_cipher(session, cipher) > 0 &&
    ssl.SSL_SESSION_set_protocol_version(session, TLS_1_3) > 0;
  if (isMade) return session;
  ssl.SSL_SESSION_free(session);
  throw refused('the shared key is not usable');
}

function hasSensibleLength({ length }: Uint8Array): boolean {
  return length >= KEY_AT_LEAST && length <= KEY_AT_MOST;
}

/** @returns the identity as text; `undefined` when it is not UTF-8, so that no key can have it. */
export function identityOf(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString();
  return Buffer.from(text).equals(bytes) ? text : undefined;
}

const TLS_AES_128_GCM_SHA256 = new Uint8Array([0x13, 0x01]);
const TLS_AES_256_GCM_SHA384 = new Uint8Array([0x13, 0x02]);
const TLS_1_3 = 0x304;
