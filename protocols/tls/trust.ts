/** The certificate authorities that a context trusts. */

import { rootCertificates } from 'node:tls';

import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { withCertificates } from './pem.ts';

/** @returns a new store with the certificates of `pem`; the caller's to free. @throws {TlsError} when they cannot be parsed. */
export function storeOf(pem: Uint8Array, what: string): Pointer {
  const ssl = openssl();
  const store = ssl.X509_STORE_new();
  try {
    withCertificates(pem, what, (certificates) => {
      for (const certificate of certificates) ssl.X509_STORE_add_cert(store, certificate);
    });
  } catch (error) {
    ssl.X509_STORE_free(store);
    throw error;
  }
  return store;
}

let bundled: Pointer | undefined;

/** The roots that Node.js bundles, parsed once and kept for the life of the process. */
export function bundledRoots(): Pointer {
  return (bundled ??= storeOf(Buffer.from(rootCertificates.join('\n')), 'bundled root certificates'));
}
