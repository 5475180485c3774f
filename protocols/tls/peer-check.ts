/** Whether the peer of a complete handshake is who it must be. */

import { certificateOf } from './certificates/certificate.ts';
import { checkPeer } from './certificates/check-peer.ts';
import * as c from './constants.ts';
import type { TlsConnectionOptions } from './context/options.ts';
import type { ContextSettings } from './context/settings.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { CertificateError } from './tls-error.ts';

/**
 * Checks the peer against what is expected of it. The peer may be another one after each handshake.
 * @throws {CertificateError}
 */
export function checkExpected(ssl: Pointer, options: TlsConnectionOptions, settings: ContextSettings): void {
  const expect = options.expect ?? settings.expect;
  if (expect !== undefined) checkCertificate(ssl, expect);
}

/**
 * Checks a session that was not made in this context: its peer was checked elsewhere, perhaps under another name.
 * @throws {CertificateError}
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
