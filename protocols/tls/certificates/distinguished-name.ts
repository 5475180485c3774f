/** The names of subjects and issuers. */

import { encoded, objectOf, textOf } from './asn1-text.ts';
import type { Asn1Object, TextEncoding } from './asn1-text.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';

/** One attribute of a name, such as the country or the commonName. */
export interface NameAttribute extends Asn1Object {
  readonly value: string;
}

/** @returns the attributes of an `X509_NAME`, in its order. The caller still owns the `X509_NAME`. */
export function attributesOf(name: Pointer, encoding: TextEncoding): NameAttribute[] {
  const ssl = openssl();
  return Array.from({ length: ssl.X509_NAME_entry_count(name) }, (_, index) => {
    const entry = ssl.X509_NAME_get_entry(name, index);
    return {
      ...objectOf(ssl.X509_NAME_ENTRY_get_object(entry)),
      value: textOf(ssl.X509_NAME_ENTRY_get_data(entry), encoding),
    };
  });
}

/**
 * @param attributes with values in UTF-8.
 * @returns one line in printable ASCII for people to read, such as `C=SE, CN=example.org`.
 */
export function lineOf(attributes: readonly NameAttribute[]): string {
  return attributes
    .map(
      ({ shortName, value }) =>
        `${shortName}=${encoded(value, 'ascii').replace(/[,+"<>;=]/g, (special) => `\\${special}`)}`,
    )
    .join(', ');
}
