/** The name that a TLS client requests (SNI) and verifies. It is in the form that `hostName` returns. */

import { isIP } from 'node:net';

import { wildcardOverUnderscore } from '../../reactor/addresses/host-name.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { refused } from './tls-error.ts';

/**
 * Sends `name` in the client hello, unless it is an address, which RFC 6066 forbids there. With `rules`, OpenSSL
 * compares the certificate with it.
 * @throws {TlsError} when OpenSSL refuses the name.
 */
export function expectName(
  connection: Pointer,
  name: string | undefined,
  rules: 'rfc9525' | 'rfc2818' | undefined,
): void {
  if (name === undefined || name === '') return;
  const ssl = openssl();
  const isNumber = isIP(name) !== 0;
  if (
    !isNumber &&
    ssl.SSL_ctrl_text(connection, c.SSL_CTRL_SET_TLSEXT_HOSTNAME, c.TLSEXT_NAMETYPE_HOST_NAME, name) <= 0
  )
    throw refused(`serverName "${name}"`);
  if (rules === undefined) return;
  if (isNumber) {
    if (ssl.X509_VERIFY_PARAM_set1_ip_asc(ssl.SSL_get0_param(connection), name) <= 0)
      throw refused(`serverName "${name}"`);
    return;
  }
  ssl.SSL_set_hostflags(
    connection,
    rules === 'rfc9525' ? c.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | c.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT : 0,
  );
  if (ssl.SSL_set1_host(connection, name) <= 0) throw refused(`serverName "${name}"`);
  letWildcardCover(connection, name);
}

/**
 * Lets a wildcard cover the left-most label of `name` even if it has an underscore. OpenSSL's own comparison does not.
 * @throws {TlsError} when OpenSSL has no memory.
 */
export function letWildcardCover(connection: Pointer, name: string): void {
  const wildcard = wildcardOverUnderscore(name);
  // OpenSSL compares it literally: as an expected name, a wildcard matches only the same wildcard in the certificate.
  if (wildcard !== undefined && openssl().SSL_add1_host(connection, wildcard) <= 0)
    throw refused(`serverName "${name}"`);
}
