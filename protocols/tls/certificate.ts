/** Certificates of connections, as `node:crypto` shows them. */

import { X509Certificate } from 'node:crypto';

import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';

/** @returns a copy of OpenSSL's certificate, which stays its owner's. */
export function certificateOf(certificate: Pointer): X509Certificate {
  const ssl = openssl();
  const bytes = Buffer.allocUnsafeSlow(ssl.i2d_X509_length(certificate, null));
  // i2d moves the pointer that it is given: it gets one of its own.
  ssl.i2d_X509(certificate, new BigUint64Array([ssl.addressOf(bytes)]));
  return new X509Certificate(bytes);
}

/** @returns copies of the certificates in a stack of OpenSSL's, which stays its owner's. A null stack has none. */
export function chainOf(stack: Pointer): X509Certificate[] {
  if (stack === 0) return [];
  const ssl = openssl();
  return Array.from({ length: ssl.OPENSSL_sk_num(stack) }, (_, index) => certificateOf(ssl.OPENSSL_sk_value(stack, index)));
}
