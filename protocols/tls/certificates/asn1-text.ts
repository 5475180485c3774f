/** Reads texts, object identifiers and times from OpenSSL's ASN.1 objects. The callers keep and free the objects. */

import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { takeErrorQueue } from '../tls-error.ts';

/**
 * How the texts of a certificate are returned. `'utf8'`: unchanged. `'ascii'`: in printable ASCII; the backslash and
 * all other characters are written, for each byte of their UTF-8 form, as a backslash and two hexadecimal digits, as in
 * RFC 4514.
 */
export type TextEncoding = 'utf8' | 'ascii';

/** An object identifier and OpenSSL's names for it. */
export interface Asn1Object {
  /** The dotted form, such as `"2.5.4.3"`; empty when it is too long for OpenSSL to write. */
  readonly oid: string;
  /** OpenSSL's long name, such as `"commonName"`; the OID when OpenSSL does not know the object. */
  readonly name: string;
  /** OpenSSL's short name, such as `"CN"`; the OID when OpenSSL does not know the object. */
  readonly shortName: string;
}

/** @returns the bytes of an `ASN1_STRING`. */
export function bytesOf(string: Pointer): Uint8Array {
  const ssl = openssl();
  return ssl.copyOf(ssl.ASN1_STRING_get0_data(string), ssl.ASN1_STRING_length(string));
}

/** @returns the text of an `ASN1_STRING`, including NULs. Characters that are invalid for its type become U+FFFD. */
export function textOf(string: Pointer, encoding: TextEncoding): string {
  return encoded(decoded(openssl().ASN1_STRING_type(string), bytesOf(string)), encoding);
}

/** @returns `text` in the requested encoding. */
export function encoded(text: string, encoding: TextEncoding): string {
  if (encoding === 'utf8') return text;
  return text.replace(/[^\x20-\x7e]|\\/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** @returns the text of an ASN.1 string with this tag. */
export function decoded(tag: number, bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes);
  switch (tag) {
    case UTF8_STRING:
      return buffer.toString();
    case BMP_STRING:
      // The way through UTF-8 replaces lone surrogates.
      return Buffer.from(
        buffer
          .subarray(0, buffer.length & ~1)
          .swap16()
          .toString('utf16le'),
      ).toString();
    case UNIVERSAL_STRING:
      return Array.from({ length: buffer.length >> 2 }, (_, index) => characterOf(buffer.readUInt32BE(index * 4))).join(
        '',
      );
    default:
      // The other types should hold ASCII; OpenSSL reads them as Latin-1.
      return buffer.toString('latin1');
  }
}

/** @returns the identifier and the names of an `ASN1_OBJECT`. */
export function objectOf(object: Pointer): Asn1Object {
  const ssl = openssl();
  const oid = oidOf(object);
  const nid = ssl.OBJ_obj2nid(object);
  return {
    oid,
    name: (nid === NID_UNDEF ? null : ssl.OBJ_nid2ln(nid)) ?? oid,
    shortName: (nid === NID_UNDEF ? null : ssl.OBJ_nid2sn(nid)) ?? oid,
  };
}

/** @returns the time of an `ASN1_TIME`; an invalid `Date` when it is not a valid time. */
export function timeOf(time: Pointer): Date {
  const ssl = openssl();
  const tm = new Int32Array(STRUCT_TM_AT_MOST);
  if (ssl.ASN1_TIME_to_tm(time, tm) !== 1) {
    takeErrorQueue();
    return new Date(Number.NaN);
  }
  const [second, minute, hour, day, month, year] = tm;
  const date = new Date(0);
  // Not Date.UTC, which reads the years 0 to 99 as 1900 to 1999.
  date.setUTCFullYear(1900 + year, month, day);
  date.setUTCHours(hour, minute, second);
  return date;
}

function oidOf(object: Pointer): string {
  const ssl = openssl();
  let bytes = Buffer.alloc(128);
  let length = ssl.OBJ_obj2txt(bytes, bytes.length, object, NUMERIC);
  if (length >= bytes.length) {
    bytes = Buffer.alloc(length + 1);
    length = ssl.OBJ_obj2txt(bytes, bytes.length, object, NUMERIC);
  }
  if (length < 0) takeErrorQueue();
  return bytes.toString('latin1', 0, Math.max(0, length));
}

function characterOf(point: number): string {
  return point > 0x10_ffff || (point >= 0xd800 && point <= 0xdfff) ? '\ufffd' : String.fromCodePoint(point);
}

// asn1.h and objects.h.
const UTF8_STRING = 12;
const UNIVERSAL_STRING = 28;
const BMP_STRING = 30;
const NID_UNDEF = 0;
const NUMERIC = 1;
// In 32-bit words, with room to spare. glibc's struct has 56 bytes: nine numbers, the UTC offset, the zone's name.
const STRUCT_TM_AT_MOST = 32;
