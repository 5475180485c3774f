/** The extensions of a certificate. */

import { bytesOf, encoded, objectOf } from './asn1-text.ts';
import type { Asn1Object, TextEncoding } from './asn1-text.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { subjectAltNameOf } from './subject-alt-name.ts';
import type { SubjectAltName } from './subject-alt-name.ts';
import { takeErrorQueue } from '../tls-error.ts';

/**
 * One extension of a certificate. Its `name` is OpenSSL's long name, such as `"X509v3 Subject Alternative Name"`, and
 * its `shortName` OpenSSL's short one, such as `"subjectAltName"`.
 */
export interface CertificateExtension extends Asn1Object {
  /** Whether software that does not know the extension must reject the certificate. */
  readonly critical: boolean;
  /** The value in DER. */
  readonly value: Uint8Array;
  /** What OpenSSL prints for the value; hexadecimal when OpenSSL does not know the extension or cannot parse it. */
  readonly text: string;
  /** The names, when it is a subjectAltName that can be parsed. */
  readonly subjectAltName?: SubjectAltName;
}

/** @returns the extensions of an `X509`, in the certificate's order. The caller still frees the `X509`. */
export function extensionsOf(certificate: Pointer, encoding: TextEncoding): CertificateExtension[] {
  const ssl = openssl();
  return Array.from({ length: ssl.X509_get_ext_count(certificate) }, (_, index) =>
    extensionOf(ssl.X509_get_ext(certificate, index), encoding),
  );
}

/**
 * Whether the subjectAltName names hosts, so that the commonName must not be compared. One that cannot be parsed counts
 * as naming hosts, because it may.
 */
export function namesHosts(extensions: readonly CertificateExtension[]): boolean {
  const names = extensions.filter(({ oid }) => oid === SUBJECT_ALT_NAME).map(({ subjectAltName }) => subjectAltName);
  return names.some((each) => each === undefined || each.dNSName.length > 0 || each.iPAddress.length > 0);
}

function extensionOf(extension: Pointer, encoding: TextEncoding): CertificateExtension {
  const ssl = openssl();
  const object = objectOf(ssl.X509_EXTENSION_get_object(extension));
  const value = bytesOf(ssl.X509_EXTENSION_get_data(extension));
  const subjectAltName = object.oid === SUBJECT_ALT_NAME ? namesOf(extension, encoding) : undefined;
  return {
    ...object,
    critical: ssl.X509_EXTENSION_get_critical(extension) !== 0,
    value,
    text: encoded(printed(extension) ?? Buffer.from(value).toString('hex'), encoding),
    ...(subjectAltName === undefined ? {} : { subjectAltName }),
  };
}

function namesOf(extension: Pointer, encoding: TextEncoding): SubjectAltName | undefined {
  const ssl = openssl();
  const names = ssl.X509V3_EXT_d2i(extension);
  if (names === 0) {
    takeErrorQueue();
    return undefined;
  }
  try {
    return subjectAltNameOf(names, encoding);
  } finally {
    ssl.GENERAL_NAMES_free(names);
  }
}

function printed(extension: Pointer): string | undefined {
  const ssl = openssl();
  const bio = ssl.BIO_new(ssl.BIO_s_mem());
  try {
    if (ssl.X509V3_EXT_print(bio, extension, REFUSE_UNKNOWN, 0) !== 1) {
      takeErrorQueue();
      return undefined;
    }
    const bytes = Buffer.alloc(ssl.BIO_ctrl_pending(bio));
    ssl.BIO_read(bio, bytes, bytes.length);
    return bytes.toString().trimEnd();
  } finally {
    ssl.BIO_free(bio);
  }
}

const SUBJECT_ALT_NAME = '2.5.29.17';
// X509V3_EXT_DEFAULT of x509v3.h.
const REFUSE_UNKNOWN = 0;
