/** Encodes a session as the bytes of a file. */

import { createHash } from 'node:crypto';

import { KEY_AT_MOST, TTL_AT_MOST_MS, VALUE_AT_MOST } from '../store.ts';

/**
 * @param expiresAt when the session expires, in milliseconds like `Date.now`.
 * @returns the file's bytes: a magic number with the version, the time of expiry, the first half of the SHA-256 of all
 * other bytes, the key's length, the key, the value.
 */
export function encodeRecord(key: string, value: Uint8Array, expiresAt: number): Uint8Array {
  const record = Buffer.allocUnsafeSlow(HEADER_BYTES + key.length + value.length);
  record.writeUInt32BE(MAGIC, 0);
  record.writeDoubleBE(expiresAt, EXPIRY_AT);
  record.writeUInt8(key.length, KEY_LENGTH_AT);
  record.write(key, HEADER_BYTES, 'latin1');
  record.set(value, HEADER_BYTES + key.length);
  record.set(checksumOf(record), CHECKSUM_AT);
  return record;
}

/**
 * @returns the value in a file; `undefined` when the file is not a record of `key`, is damaged, or has expired at
 * `now`.
 */
export function decodeRecord(key: string, file: Uint8Array, now: number): Uint8Array | undefined {
  const record = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (!(expiryOf(record, now) > now)) return undefined;
  const valueAt = HEADER_BYTES + record.readUInt8(KEY_LENGTH_AT);
  if (valueAt > record.length || record.toString('latin1', HEADER_BYTES, valueAt) !== key) return undefined;
  // After a crash of the machine a file may exist although its bytes never reached the disk.
  if (!checksumOf(record).equals(record.subarray(CHECKSUM_AT, KEY_LENGTH_AT))) return undefined;
  return new Uint8Array(record.subarray(valueAt));
}

/**
 * @returns the time of expiry in the header of a record; `-Infinity` when it is not a record, or claims a longer
 * lifetime than is allowed.
 */
export function expiryOf(header: Buffer, now: number): number {
  if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== MAGIC) return -Infinity;
  const expiresAt = header.readDoubleBE(EXPIRY_AT);
  return expiresAt <= now + TTL_AT_MOST_MS ? expiresAt : -Infinity;
}

function checksumOf(record: Buffer): Buffer {
  return createHash('sha256')
    .update(record.subarray(0, CHECKSUM_AT))
    .update(record.subarray(KEY_LENGTH_AT))
    .digest()
    .subarray(0, CHECKSUM_BYTES);
}

// 'wts', and the version.
const MAGIC = 0x77747301;
const EXPIRY_AT = 4;
const CHECKSUM_AT = 12;
const CHECKSUM_BYTES = 16;
const KEY_LENGTH_AT = CHECKSUM_AT + CHECKSUM_BYTES;
/** How many bytes precede the key. */
export const HEADER_BYTES = KEY_LENGTH_AT + 1;
/** The largest record, in bytes. A larger file is not a record. */
export const RECORD_AT_MOST = HEADER_BYTES + KEY_AT_MOST + VALUE_AT_MOST;
