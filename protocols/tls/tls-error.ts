/** The errors of TLS, and OpenSSL's error queue. */

import { WantioError } from '../../core/errors.ts';
import { ERR_LIB_SSL, SSL_AD_REASON_OFFSET, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST } from './constants.ts';
import { openssl } from './openssl.ts';
import { verifyErrorName } from './certificates/verify-errors.ts';
import type { VerifyErrorName } from './certificates/verify-errors.ts';

/** One entry of OpenSSL's error queue. */
export interface TlsErrorEntry {
  /** The packed error number, as `openssl errstr` takes it. */
  readonly code: number;
  /** The library that failed, such as `"SSL routines"`. */
  readonly library: string;
  /** The reason, such as `"wrong version number"`. */
  readonly reason: string;
}

/** TLS failed: this side or the peer ended the connection, or OpenSSL refused a parameter. */
export class TlsError extends WantioError {
  /** The reason: that of the first entry of {@link queue}, or one of wantio's own. */
  readonly reason: string;
  /** The library of the first entry of {@link queue}. */
  readonly library: string | undefined;
  /** The number of the alert that ended the connection (RFC 8446, section 6), if known. */
  readonly alert: number | undefined;
  /** The side that ended the connection: `'remote'` when the peer sent an alert, otherwise `'local'`. */
  readonly side: 'local' | 'remote';
  /** The entries of OpenSSL's error queue, the first cause first. */
  readonly queue: readonly TlsErrorEntry[];

  /** @param details `sent` is the number of the alert that this side sends. */
  constructor(
    message: string,
    details: { reason?: string; queue?: readonly TlsErrorEntry[]; sent?: number | undefined; cause?: unknown } = {},
  ) {
    super('ERR_WANTIO_TLS', message, 'cause' in details ? { cause: details.cause } : undefined);
    const [first] = details.queue ?? [];
    const received = alertOf(first);
    this.reason = details.reason ?? first?.reason ?? message;
    this.library = first?.library;
    this.alert = received ?? details.sent;
    this.side = received === undefined ? 'local' : 'remote';
    this.queue = details.queue ?? [];
  }

  static {
    this.prototype.name = 'TlsError';
  }
}

/** Details about a rejected certificate. See {@link CertificateError}. */
export interface CertificateErrorDetails {
  readonly result?: number | undefined;
  readonly depth?: number | undefined;
  readonly expected?: string | undefined;
  readonly actual?: string | undefined;
  readonly field?: string | undefined;
}

/** The peer's certificate is not accepted, or is not the expected one. */
export class CertificateError extends WantioError {
  /**
   * OpenSSL's number of the verification error, an `X509_V_ERR_…`; `undefined` when OpenSSL did not reject it.
   */
  readonly result: number | undefined;
  /** OpenSSL's name of that error without the prefix, such as `'CERT_HAS_EXPIRED'`. */
  readonly reason: VerifyErrorName | undefined;
  /** The position of the certificate in the chain: 0 for the peer's own, 1 for its issuer; `undefined` if unknown. */
  readonly depth: number | undefined;
  /** What was expected, if known: a name or a digest. */
  readonly expected: string | undefined;
  /** What the certificate says instead. */
  readonly actual: string | undefined;
  /** The field of the certificate that was compared. */
  readonly field: string | undefined;

  constructor(
    message: string,
    { result, depth, expected, actual, field }: CertificateErrorDetails = {},
    code = 'ERR_WANTIO_CERTIFICATE',
  ) {
    super(code, message);
    const name = result === undefined ? undefined : verifyErrorName(result);
    this.result = result;
    this.reason = name === 'OK' ? undefined : name;
    this.depth = depth;
    this.expected = expected;
    this.actual = actual;
    this.field = field;
  }

  static {
    this.prototype.name = 'CertificateError';
  }
}

/**
 * Takes all entries out of OpenSSL's error queue. The whole thread shares the queue: the next call of `node:crypto`
 * would throw an entry that is left there.
 */
export function takeErrorQueue(): TlsErrorEntry[] {
  const ssl = openssl();
  const entries: TlsErrorEntry[] = [];
  for (let code = ssl.ERR_get_error(); code !== 0; code = ssl.ERR_get_error()) {
    entries.push({
      code,
      library: ssl.ERR_lib_error_string(code) ?? 'unknown library',
      reason: ssl.ERR_reason_error_string(code) ?? `error ${code.toString(16)}`,
    });
  }
  return entries;
}

/** @param what what was tried. @returns the error for a call that OpenSSL refused. It empties the error queue. */
export function refused(what: string): TlsError {
  const queue = takeErrorQueue();
  const [{ reason } = { reason: 'refused by OpenSSL' }] = queue;
  return new TlsError(`${what}: ${reason}${hintFor(reason)}`, { queue });
}

/**
 * @returns text to append to OpenSSL's reason that names the option to change; empty when there is no such option.
 */
export function hintFor(reason: string): string {
  return TOO_WEAK.test(reason) ? ' for the security level (option dangerouslyLowerSecurityLevel)' : '';
}

// OpenSSL's reasons for a key, digest or parameter below the security level: "ee key too small", "ca md too weak", "CA
// signature digest algorithm too weak".
const TOO_WEAK = /(?:key too small|md too weak|key too weak|algorithm too weak)$/;

/** Whether OpenSSL recognised plain HTTP where it expected TLS. */
export function saysHttp(queue: readonly TlsErrorEntry[]): boolean {
  return queue.some(
    ({ code }) =>
      libraryOf(code) === ERR_LIB_SSL &&
      (reasonOf(code) === SSL_R_HTTP_REQUEST || reasonOf(code) === SSL_R_HTTPS_PROXY_REQUEST),
  );
}

function alertOf(entry: TlsErrorEntry | undefined): number | undefined {
  if (entry === undefined || libraryOf(entry.code) !== ERR_LIB_SSL) return undefined;
  const alert = reasonOf(entry.code) - SSL_AD_REASON_OFFSET;
  return alert >= 0 && alert <= 255 ? alert : undefined;
}

// How OpenSSL 3 packs an error: ERR_GET_LIB and ERR_GET_REASON of err.h.
const libraryOf = (code: number): number => (code >>> 23) & 0xff;
const reasonOf = (code: number): number => code & 0x7fffff;
