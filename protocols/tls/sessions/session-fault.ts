/** Whether a session can be what a handshake has failed for. */

import * as c from '../constants.ts';
import { TlsError } from '../tls-error.ts';

/**
 * Whether the peer's alert, or a fault that OpenSSL found, ended the connection: a session that was offered may be the
 * cause. An end of the wire, a deadline, an abort, a certificate that is not accepted, or a refusal of this side's own
 * says nothing about it.
 */
export function mayBlameSession(error: unknown): error is TlsError {
  return (
    error instanceof TlsError && error.queue.length > 0 && error.reason !== 'plain HTTP' && error.reason !== 'not TLS'
  );
}

/**
 * Whether a handshake without a session may succeed where one with a session has failed: not when the peer refuses a
 * certificate, a name or a protocol.
 */
export function mayHelpWithoutSession(error: unknown): boolean {
  if (!mayBlameSession(error)) return false;
  if (error.side === 'remote') return !FINAL_ALERTS.has(error.alert as number);
  return !error.queue.some(({ reason }) => reason === 'certificate verify failed');
}

/** What the peer says about who this side is, or about what it asks for; another try would say the same. */
const FINAL_ALERTS = new Set([
  c.ALERT_NO_CERTIFICATE,
  c.ALERT_BAD_CERTIFICATE,
  c.ALERT_UNSUPPORTED_CERTIFICATE,
  c.ALERT_CERTIFICATE_REVOKED,
  c.ALERT_CERTIFICATE_EXPIRED,
  c.ALERT_CERTIFICATE_UNKNOWN,
  c.ALERT_UNKNOWN_CA,
  c.ALERT_ACCESS_DENIED,
  c.ALERT_UNRECOGNIZED_NAME,
  c.ALERT_BAD_CERTIFICATE_STATUS_RESPONSE,
  c.ALERT_CERTIFICATE_REQUIRED,
  c.ALERT_NO_APPLICATION_PROTOCOL,
]);
