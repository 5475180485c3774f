/** OpenSSL's `X509` objects that live during one call only. */

import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { refused, TlsError } from '../tls-error.ts';

/**
 * Parses `der` and passes the `X509`, and the number of bytes that it took, to `use`. Afterwards the `X509` is freed
 * and OpenSSL's error queue is empty.
 * @throws {TlsError} when `der` cannot be parsed.
 */
export function withX509<T>(der: Uint8Array, use: (x509: Pointer, length: number) => T): T {
  const ssl = openssl();
  // An error that other code left in the queue would be reported as one of this certificate.
  ssl.ERR_clear_error();
  const start = ssl.addressOf(der);
  const end = new BigUint64Array([start]);
  const x509 = ssl.d2i_X509(null, end, der.length);
  if (x509 === 0) throw refused('the certificate cannot be parsed');
  try {
    return use(x509, Number(end[0] - start));
  } finally {
    ssl.X509_free(x509);
    // Some functions succeed and still add an error about an extension.
    ssl.ERR_clear_error();
  }
}

/**
 * @returns the certificate in `der`, as OpenSSL writes it.
 * @throws {TlsError} when it cannot be parsed, or bytes follow it.
 */
export function canonical(der: Uint8Array): Uint8Array {
  return withX509(der, (x509, length) => {
    if (length === der.length) return encodingOf(x509);
    throw new TlsError(`the certificate cannot be parsed: ${String(der.length - length)} bytes follow it`, {
      reason: 'trailing bytes',
    });
  });
}

/** @returns the `X509` in DER. */
export function encodingOf(x509: Pointer): Uint8Array {
  const ssl = openssl();
  return written(ssl.i2d_X509_length(x509, null), (end) => ssl.i2d_X509(x509, end));
}

/** @returns the SubjectPublicKeyInfo of an `X509` in DER. */
export function publicKeyOf(x509: Pointer): Uint8Array {
  const ssl = openssl();
  const key = ssl.X509_get_X509_PUBKEY(x509);
  return written(ssl.i2d_X509_PUBKEY_length(key, null), (end) => ssl.i2d_X509_PUBKEY(key, end));
}

/**
 * @returns the `length` bytes that an i2d function writes. The function advances the pointer that it gets, so it gets
 * its own.
 */
export function written(length: number, write: (end: BigUint64Array) => number): Uint8Array {
  if (length < 0) throw refused('OpenSSL cannot encode what it has parsed');
  const bytes = new Uint8Array(length);
  if (length > 0) write(new BigUint64Array([openssl().addressOf(bytes)]));
  return bytes;
}
