/** The names in a subjectAltName (RFC 5280, section 4.2.1.6). */

import { bytesOf, decoded, encoded, objectOf, textOf } from './asn1-text.ts';
import type { TextEncoding } from './asn1-text.ts';
import { attributesOf, lineOf } from './distinguished-name.ts';
import type { NameAttribute } from './distinguished-name.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { written } from './x509.ts';

/** The names by kind, each list in the certificate's order. */
export interface SubjectAltName {
  readonly dNSName: readonly string[];
  /** In the text form of RFC 5952. */
  readonly iPAddress: readonly string[];
  readonly rfc822Name: readonly string[];
  readonly uniformResourceIdentifier: readonly string[];
  readonly directoryName: readonly (readonly NameAttribute[])[];
  /** OIDs. */
  readonly registeredID: readonly string[];
  /**
   * Names of other kinds, such as SRVName and xmppAddr: the OID of the kind, the value in DER, and its text if the
   * value is a string.
   */
  readonly otherName: readonly {
    readonly oid: string;
    readonly value: Uint8Array;
    readonly text: string | undefined;
  }[];
}

/** @returns the names in a stack of `GENERAL_NAME`s, which the caller frees. X.400 and EDI names are left out. */
export function subjectAltNameOf(names: Pointer, encoding: TextEncoding): SubjectAltName {
  const ssl = openssl();
  const found = {
    dNSName: [],
    iPAddress: [],
    rfc822Name: [],
    uniformResourceIdentifier: [],
    directoryName: [],
    registeredID: [],
    otherName: [],
  } as Mutable<SubjectAltName>;
  const type = new Int32Array(1);
  const count = ssl.OPENSSL_sk_num(names);
  for (let index = 0; index < count; index += 1) {
    const name = ssl.OPENSSL_sk_value(names, index);
    const value = ssl.GENERAL_NAME_get0_value(name, type);
    switch (type[0]) {
      case GEN_OTHERNAME:
        found.otherName.push(otherNameOf(name, encoding));
        break;
      case GEN_EMAIL:
        found.rfc822Name.push(textOf(value, encoding));
        break;
      case GEN_DNS:
        found.dNSName.push(textOf(value, encoding));
        break;
      case GEN_DIRNAME:
        found.directoryName.push(attributesOf(value, encoding));
        break;
      case GEN_URI:
        found.uniformResourceIdentifier.push(textOf(value, encoding));
        break;
      case GEN_IPADD:
        found.iPAddress.push(addressOf(bytesOf(value)));
        break;
      case GEN_RID:
        found.registeredID.push(objectOf(value).oid);
        break;
    }
  }
  return found;
}

/** @returns one line in printable ASCII for people to read, such as `DNS:example.org, IP:192.0.2.1`. */
export function lineOfNames(names: SubjectAltName): string {
  const list = (label: string, values: readonly string[]): string[] =>
    values.map((value) => `${label}:${encoded(value, 'ascii').replaceAll(',', '\\,')}`);
  return [
    ...list('DNS', names.dNSName),
    ...list('IP', names.iPAddress),
    ...list('email', names.rfc822Name),
    ...list('URI', names.uniformResourceIdentifier),
    ...names.directoryName.map((name) => `directory:(${lineOf(name)})`),
    ...list('OID', names.registeredID),
    ...list(
      'other',
      names.otherName.map(({ oid, text, value }) => `${oid}=${text ?? Buffer.from(value).toString('hex')}`),
    ),
  ].join(', ');
}

/**
 * @returns an address of four bytes as `192.0.2.1`, one of sixteen bytes in the form of RFC 5952 such as `2001:db8::1`.
 * Any other length is no address: then `#` and the bytes in hexadecimal.
 */
export function addressOf(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const hex = Buffer.from(bytes).toString('hex');
  if (bytes.length !== 16) return `#${hex}`;
  // URL writes an IPv6 host in the form of RFC 5952.
  return new URL(`http://[${(hex.match(/.{4}/g) ?? []).join(':')}]`).hostname.slice(1, -1);
}

function otherNameOf(name: Pointer, encoding: TextEncoding): SubjectAltName['otherName'][number] {
  const ssl = openssl();
  const [kind, content] = [new BigUint64Array(1), new BigUint64Array(1)];
  ssl.GENERAL_NAME_get0_otherName(name, kind, content);
  const asn1 = Number(content[0]);
  const value = written(ssl.i2d_ASN1_TYPE_length(asn1, null), (end) => ssl.i2d_ASN1_TYPE(asn1, end));
  const text = textIn(value);
  return { oid: objectOf(Number(kind[0])).oid, value, text: text === undefined ? undefined : encoded(text, encoding) };
}

/** @returns the text of one DER element, if it is a UTF8String, PrintableString or IA5String. */
function textIn(der: Uint8Array): string | undefined {
  const [tag, length] = der;
  if (tag !== UTF8_STRING && tag !== PRINTABLE_STRING && tag !== IA5_STRING) return undefined;
  return decoded(tag, der.subarray(length < 0x80 ? 2 : 2 + (length & 0x7f)));
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

// x509v3.h and asn1.h.
const GEN_OTHERNAME = 0;
const GEN_EMAIL = 1;
const GEN_DNS = 2;
const GEN_DIRNAME = 4;
const GEN_URI = 6;
const GEN_IPADD = 7;
const GEN_RID = 8;
const UTF8_STRING = 12;
const PRINTABLE_STRING = 19;
const IA5_STRING = 22;
