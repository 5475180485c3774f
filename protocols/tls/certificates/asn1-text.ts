/** Texts, objects and times out of ASN.1, as OpenSSL holds them. The pointers stay their owners'. */

import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { takeErrorQueue } from '../tls-error.ts';

/**
 * How texts of a certificate are given. `'utf8'`: as they are. `'ascii'`: printable ASCII only; the backslash and
 * everything else become, for each byte of their UTF-8 form, a backslash and two hexadecimal digits, as in RFC 4514.
 */
export type TextEncoding = 'utf8' | 'ascii';

/** What an object identifier stands for. */
export interface Asn1Object {
  /** Dotted, such as `"2.5.4.3"`; empty when OpenSSL finds it too long to be written. */
  readonly oid: string;
  /** OpenSSL's long name, such as `"commonName"`; the OID for an object that it does not know. */
  readonly name: string;
  /** OpenSSL's short name, such as `"CN"`; the OID for an object that it does not know. */
  readonly shortName: string;
}

/** @returns the bytes of an `ASN1_STRING`. */
export function bytesOf(string: Pointer): Uint8Array {
  const ssl = openssl();
  return ssl.copyOf(ssl.ASN1_STRING_get0_data(string), ssl.ASN1_STRING_length(string));
}

/** @returns the text of an `ASN1_STRING`, its NULs included. What its type does not allow becomes U+FFFD. */
export function textOf(string: Pointer, encoding: TextEncoding): string {
  return encoded(decoded(openssl().ASN1_STRING_type(string), bytesOf(string)), encoding);
}

/** @returns `text` in the encoding that is asked for. */
export function encoded(text: string, encoding: TextEncoding): string {
  if (encoding === 'utf8') return text;
  return text.replace(/[^\x20-\x7e]|\\/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** @returns the text in an ASN.1 string with this tag. */
export function decoded(tag: number, bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes);
  switch (tag) {
    case UTF8_STRING:
      return buffer.toString();
    case BMP_STRING:
      // Through UTF-8, so that half a surrogate pair does not stay one.
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
      // The others hold ASCII; OpenSSL reads them as Latin-1.
      return buffer.toString('latin1');
  }
}

/** @returns what an `ASN1_OBJECT` stands for. */
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

/** @returns the moment of an `ASN1_TIME`; an invalid `Date` when it holds none. */
export function timeOf(time: Pointer): Date {
  const ssl = openssl();
  const tm = new Int32Array(STRUCT_TM_AT_MOST);
  if (ssl.ASN1_TIME_to_tm(time, tm) !== 1) {
    takeErrorQueue();
    return new Date(Number.NaN);
  }
  const [second, minute, hour, day, month, year] = tm;
  const date = new Date(0);
  // Not Date.UTC, which takes the years 0 to 99 for 1900 to 1999.
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
// glibc's has 56 bytes: nine numbers, the offset from UTC and the name of the zone.
const STRUCT_TM_AT_MOST = 32;
