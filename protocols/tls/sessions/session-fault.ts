/** Decides whether a session can be the reason why a handshake failed. */

import * as c from '../constants.ts';
import { TlsError } from '../tls-error.ts';

/**
 * Whether the offered session may be the reason: true when the peer's alert or an error of OpenSSL ended the
 * connection. A closed or reset connection, a deadline, an abort, a rejected certificate, or a refusal by this side's
 * own code says nothing about the session.
 */
export function mayBlameSession(error: unknown): error is TlsError {
  return (
    error instanceof TlsError && error.queue.length > 0 && error.reason !== 'plain HTTP' && error.reason !== 'not TLS'
  );
}

/**
 * Whether a handshake without a session may succeed after one with a session has failed. It cannot when the peer
 * refused a certificate, a name or a protocol.
 */
export function mayHelpWithoutSession(error: unknown): boolean {
  if (!mayBlameSession(error)) return false;
  if (error.side === 'remote') return !FINAL_ALERTS.has(error.alert as number);
  return !error.queue.some(({ reason }) => reason === 'certificate verify failed');
}

/** The alerts about this side's certificate, the requested name or the protocols: a retry would get the same alert. */
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
