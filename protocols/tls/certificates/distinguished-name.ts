/** The names of subjects and issuers. */

import { encoded, objectOf, textOf } from './asn1-text.ts';
import type { Asn1Object, TextEncoding } from './asn1-text.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';

/** One attribute of a name, such as the country or the commonName. */
export interface NameAttribute extends Asn1Object {
  readonly value: string;
}

/** @returns the attributes of an `X509_NAME`, which stays its owner's, in their order. */
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

/** @returns one line for people, such as `C=SE, CN=example.org`, in printable ASCII; from values in UTF-8. */
export function lineOf(attributes: readonly NameAttribute[]): string {
  return attributes
    .map(
      ({ shortName, value }) =>
        `${shortName}=${encoded(value, 'ascii').replace(/[,+"<>;=]/g, (special) => `\\${special}`)}`,
    )
    .join(', ');
}
