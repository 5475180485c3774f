/** Verifies certificates by records of the DNS (DANE, RFC 6698 and 7671). */

import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { letWildcardCover } from './server-name.ts';
import { refused, takeErrorQueue } from './tls-error.ts';

/** A TLSA record. The caller must make sure that it comes from a trusted DNS (DNSSEC). */
export interface TlsaRecord {
  /** 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE. */
  readonly usage: 0 | 1 | 2 | 3;
  /** 0 the whole certificate, 1 its public key. */
  readonly selector: 0 | 1;
  /** 0 the bytes themselves, 1 their SHA-256, 2 their SHA-512. */
  readonly matchingType: 0 | 1 | 2;
  readonly data: Uint8Array;
}

/** The record that verified the peer's certificate. */
export interface TlsaMatch extends TlsaRecord {
  /** The position of the matching certificate in the chain; 0 is the peer's own. */
  readonly depth: number;
}

/**
 * Verifies the certificate of `name` by `records`. Records that OpenSSL cannot use are skipped, as RFC 7671 requires.
 * @throws {TlsError} when no usable record is left, or OpenSSL refuses the name.
 */
export function requireTlsa(connection: Pointer, name: string, records: readonly TlsaRecord[]): void {
  const ssl = openssl();
  if (ssl.SSL_dane_enable(connection, name) <= 0) throw refused(`DANE for "${name}"`);
  let usable = 0;
  for (const { usage, selector, matchingType, data } of records) {
    if (ssl.SSL_dane_tlsa_add(connection, usage, selector, matchingType, data, data.length) > 0) usable++;
  }
  if (usable === 0) throw refused(`no usable TLSA record for "${name}"`);
  takeErrorQueue();
  letWildcardCover(connection, name);
  ssl.SSL_set_hostflags(connection, c.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | c.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
}

/**
 * @returns the record that verified the peer; `undefined` when none did, because the authorities did or DANE is not
 * used.
 */
export function tlsaMatch(connection: Pointer): TlsaMatch | undefined {
  const ssl = openssl();
  const [usage, selector, matchingType] = [new Uint8Array(1), new Uint8Array(1), new Uint8Array(1)];
  const [data, length] = [new BigUint64Array(1), new BigUint64Array(1)];
  const depth = ssl.SSL_get0_dane_tlsa(connection, usage, selector, matchingType, data, length);
  if (depth < 0) return undefined;
  return {
    depth,
    usage: usage[0] as TlsaRecord['usage'],
    selector: selector[0] as TlsaRecord['selector'],
    matchingType: matchingType[0] as TlsaRecord['matchingType'],
    data: ssl.copyOf(data[0], Number(length[0])),
  };
}
