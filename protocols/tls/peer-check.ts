/** Checks the peer's certificate after a handshake. */

import { certificateOf } from './certificates/certificate.ts';
import { checkPeer } from './certificates/check-peer.ts';
import * as c from './constants.ts';
import type { TlsConnectionOptions } from './context/options.ts';
import type { ContextSettings } from './context/settings.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { CertificateError } from './tls-error.ts';

/**
 * Checks the peer against the option `expect`. Each handshake of a connection needs this check, because the peer can
 * present another certificate.
 * @throws {CertificateError} when the peer is not the expected one.
 */
export function checkExpected(ssl: Pointer, options: TlsConnectionOptions, settings: ContextSettings): void {
  const expect = options.expect ?? settings.expect;
  if (expect !== undefined) checkCertificate(ssl, expect);
}

/**
 * Checks the certificate in a resumed session that the caller gave: the connection that made it may have accepted
 * another name or other errors.
 * @throws {CertificateError} when this context does not accept the certificate.
 */
export function checkGivenSession(
  ssl: Pointer,
  { serverName }: TlsConnectionOptions,
  { verifiesName, nameRules, accepts }: ContextSettings,
): void {
  const result = openssl().SSL_get_verify_result(ssl);
  if (result !== c.X509_V_OK && accepts !== 'all' && !accepts.has(result)) {
    throw new CertificateError(
      `the session was made with a certificate that is not accepted: ${openssl().X509_verify_cert_error_string(result)}`,
      { result },
    );
  }
  if (verifiesName) checkCertificate(ssl, { name: serverName, dangerouslyUseOldNameRules: nameRules === 'rfc2818' });
}

function checkCertificate(ssl: Pointer, expect: NonNullable<TlsConnectionOptions['expect']>): void {
  const certificate = openssl().SSL_get1_peer_certificate(ssl);
  try {
    checkPeer(certificate === 0 ? undefined : certificateOf(certificate), expect);
  } finally {
    if (certificate !== 0) openssl().X509_free(certificate);
  }
}
