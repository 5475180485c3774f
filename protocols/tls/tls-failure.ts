/** Finds out why a TLS connection failed, from OpenSSL's errors and the peer's first bytes. */

import * as c from './constants.ts';
import { WrongHostError } from './certificates/certificate-error.ts';
import { chainOf } from './certificates/certificate.ts';
import type { NameRules } from './certificates/certificate.ts';
import { hostsOf } from './certificates/check-peer.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { CertificateError, hintFor, saysHttp, takeErrorQueue, TlsError } from './tls-error.ts';

/** What is known about the failed connection. */
export interface FailureHints {
  /** What failed: the handshake, or the connection after it. */
  readonly what: 'handshake' | 'TLS';
  readonly role: 'client' | 'server';
  readonly serverName: string | undefined;
  /** The alert that this side has sent, if any. */
  readonly sent: number | undefined;
  /** The peer's first bytes, when they do not look like TLS. */
  readonly firstBytes: Uint8Array | undefined;
  /** The position of the rejected certificate in the chain, if known; 0 is the peer's own. */
  readonly depth?: number | undefined;
  /** Whether this server accepts shared keys. */
  readonly asksForPsk?: boolean | undefined;
  /** The rules by which the name was compared; `'rfc9525'` by default. */
  readonly rules?: NameRules | undefined;
}

/** @returns the error for the failure. It empties OpenSSL's error queue. */
export function tlsFailure(connection: Pointer, hints: FailureHints): Error {
  const queue = takeErrorQueue();
  const result = openssl().SSL_get_verify_result(connection);
  if (result !== c.X509_V_OK && queue.some(({ reason }) => reason === 'certificate verify failed'))
    return certificateFailure(connection, result, hints);
  if (saysHttp(queue) || startsLikeHttp(hints.firstBytes)) {
    return new TlsError('handshake failed: the peer speaks plain HTTP where TLS was expected', {
      reason: 'plain HTTP',
      queue,
    });
  }
  if (hints.firstBytes !== undefined) {
    return new TlsError(
      `handshake failed: the peer does not speak TLS (its first bytes are ${Buffer.from(hints.firstBytes).toString('hex')})`,
      { reason: 'not TLS', queue },
    );
  }
  // Without a known shared key OpenSSL falls back to a certificate, and reports that the server has none.
  if (hints.asksForPsk === true && queue.some(({ reason }) => reason === 'no suitable signature algorithm')) {
    return new TlsError(
      'handshake failed: the client offered no shared key that this server knows (psk identity not found)',
      { reason: 'psk identity not found', queue, sent: hints.sent },
    );
  }
  const error = new TlsError('TLS failed', { queue, sent: hints.sent });
  error.message =
    error.side === 'remote'
      ? `${hints.what} failed: the peer sent the alert ${String(error.alert)} (${error.reason})`
      : `${hints.what} failed: ${queue[0] === undefined ? 'OpenSSL gives no reason' : queue[0].reason + hintFor(queue[0].reason)}`;
  return error;
}

function certificateFailure(
  connection: Pointer,
  result: number,
  { role, serverName, depth, rules }: FailureHints,
): CertificateError {
  const why = openssl().X509_verify_cert_error_string(result);
  const isName = result === c.X509_V_ERR_HOSTNAME_MISMATCH || result === c.X509_V_ERR_IP_ADDRESS_MISMATCH;
  if (!isName)
    return new CertificateError(
      `the ${role === 'client' ? 'server' : 'client'}'s certificate is not accepted: ${why}${hintFor(why)}`,
      { result, depth },
    );
  const [certificate] = chainOf(openssl().SSL_get0_verified_chain(connection));
  const { field, actual } = certificate === undefined ? {} : hostsOf(certificate, rules);
  return new WrongHostError(
    `the server's certificate is not for ${serverName ?? 'this name'} but for ${actual === undefined || actual === '' ? 'no host' : actual}: ${why}`,
    { result, depth, expected: serverName, actual, field },
  );
}

function startsLikeHttp(bytes: Uint8Array | undefined): boolean {
  if (bytes === undefined) return false;
  const text = Buffer.from(bytes).toString('latin1');
  return text.startsWith('HTTP/') || /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) /.test(text);
}
