/** Keys that both sides have shared before, instead of certificates. */

import { thing } from '../../core/options.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { refused } from './tls-error.ts';

// 128 bits, for what is shorter can be tried out; and PSK_MAX_PSK_LEN of ssl.h before 3.0, so that old peers take the
// key.
const KEY_AT_LEAST = 16;
const KEY_AT_MOST = 256;
const LENGTHS = `${String(KEY_AT_LEAST)}…${String(KEY_AT_MOST)}`;

/** A shared key. */
export interface PresharedKey {
  /**
   * At least 16 random bytes (128 bits): anything that can be guessed can be tried out by whoever listens. At most 256.
   */
  readonly key: Uint8Array;
  /**
   * The digest that the key belongs to under TLS 1.3; SHA-256 unless given. A server without certificates chooses a
   * suite of SHA-256 for a client with a key, so that one with keys of SHA-384 has to allow `TLS_AES_256_GCM_SHA384`
   * only.
   */
  readonly digest?: 'sha256' | 'sha384' | undefined;
}

/** A shared key and the name by which the server knows it. */
export interface PskIdentity extends PresharedKey {
  readonly identity: string;
}

/**
 * A client's key, or who has it. Asked before the handshake, where it may take its time, and once more when a TLS 1.2
 * server gives a `hint`: then the answer must come at once.
 */
export type PskClient = PskIdentity | ((hint: string | undefined) => PskIdentity | Promise<PskIdentity>);

/**
 * Finds the key of a client; `undefined` refuses it. Under TLS 1.3 the answer may take its time, under TLS 1.2 it must
 * come at once: a Promise ends the handshake with an error. Any client may ask for any identity.
 */
export type PskServer = (
  identity: string,
) => Uint8Array | PresharedKey | undefined | Promise<Uint8Array | PresharedKey | undefined>;

/** A shared key in the place of an option. */
export const sharedKey = thing(
  `${LENGTHS} random bytes (a Uint8Array)`,
  (value) => value instanceof Uint8Array && (hasSensibleLength(value) || 'range'),
);

/** @throws {RangeError} when the key has no sensible length. */
export function presharedKey(given: Uint8Array | PresharedKey): PresharedKey {
  const shared = given instanceof Uint8Array ? { key: given } : given;
  if (!hasSensibleLength(shared.key))
    throw new RangeError(`a shared key has ${LENGTHS} bytes, not ${String(shared.key.length)}`);
  return shared;
}

/**
 * Makes the session by which OpenSSL knows a shared key under TLS 1.3.
 * @returns the session; the caller's to free or to give away. 0 when the cipher suite is not at hand.
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

/** @returns the identity as text; `undefined` when it is not UTF-8, and so nobody's. */
export function identityOf(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString();
  return Buffer.from(text).equals(bytes) ? text : undefined;
}

const TLS_AES_128_GCM_SHA256 = new Uint8Array([0x13, 0x01]);
const TLS_AES_256_GCM_SHA384 = new Uint8Array([0x13, 0x02]);
const TLS_1_3 = 0x304;
