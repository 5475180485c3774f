/** The name that a TLS client asks for and expects. */

import { isIP } from 'node:net';

import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { refused, TlsError } from './tls-error.ts';

/**
 * Sends `name` in the client hello unless it is an address, which RFC 6066 keeps out of it, and makes OpenSSL compare the
 * certificate with it by `rules` when some are given.
 * @throws {TlsError} when OpenSSL refuses the name.
 */
export function expectName(connection: Pointer, name: string | undefined, rules: 'rfc9525' | 'rfc2818' | undefined): void {
  if (name === undefined || name === '') return;
  // OpenSSL 3.0 takes a name that begins with a dot for any host below it, and C ends a name at a zero.
  if (name.startsWith('.') || name.includes('\0')) throw new TlsError(`serverName cannot be ${JSON.stringify(name)}`, { reason: 'bad name' });
  const ssl = openssl();
  const isNumber = isIP(name) !== 0;
  if (!isNumber && ssl.SSL_ctrl_text(connection, c.SSL_CTRL_SET_TLSEXT_HOSTNAME, c.TLSEXT_NAMETYPE_HOST_NAME, name) <= 0) throw refused(`serverName "${name}"`);
  if (rules === undefined) return;
  if (isNumber) {
    if (ssl.X509_VERIFY_PARAM_set1_ip_asc(ssl.SSL_get0_param(connection), name) <= 0) throw refused(`serverName "${name}"`);
    return;
  }
  ssl.SSL_set_hostflags(connection, rules === 'rfc9525' ? c.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | c.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT : 0);
  if (ssl.SSL_set1_host(connection, name) <= 0) throw refused(`serverName "${name}"`);
}
