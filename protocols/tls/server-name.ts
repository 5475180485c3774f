/** The name that a TLS client asks for and expects, in the form of `hostName`. */

import { isIP } from 'node:net';

import { wildcardOverUnderscore } from '../../reactor/addresses/host-name.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { refused } from './tls-error.ts';

/**
 * Sends `name` in the client hello unless it is an address, which RFC 6066 keeps out of it, and makes OpenSSL compare
 * the certificate with it by `rules` when some are given.
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
 * Lets a wildcard cover the left-most label of `name` although it has an underscore, which OpenSSL's own comparison
 * refuses.
 * @throws {TlsError} when OpenSSL has no memory.
 */
export function letWildcardCover(connection: Pointer, name: string): void {
  const wildcard = wildcardOverUnderscore(name);
  // As the name of a host a wildcard is equal to that very wildcard in the certificate, and to nothing else.
  if (wildcard !== undefined && openssl().SSL_add1_host(connection, wildcard) <= 0)
    throw refused(`serverName "${name}"`);
}
