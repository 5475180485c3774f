/** What OpenSSL and the peer say when TLS fails. */

import { WantioError } from '../../core/errors.ts';
import { ERR_LIB_SSL, SSL_AD_REASON_OFFSET, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST } from './constants.ts';
import { openssl } from './openssl.ts';
import { verifyErrorName } from './certificates/verify-errors.ts';
import type { VerifyErrorName } from './certificates/verify-errors.ts';

/** One entry of OpenSSL's error queue. */
export interface TlsErrorEntry {
  /** The packed number, as `openssl errstr` takes it. */
  readonly code: number;
  /** Such as `"SSL routines"`. */
  readonly library: string;
  /** Such as `"wrong version number"`. */
  readonly reason: string;
}

/** TLS failed: by our judgement or the peer's, or because a parameter was refused. */
export class TlsError extends WantioError {
  /** The reason of the first entry of the queue, or our own. */
  readonly reason: string;
  readonly library: string | undefined;
  /** The number of the alert that ended the connection (RFC 8446, section 6), when it is known. */
  readonly alert: number | undefined;
  /** Who found fault: the peer, by an alert, or this side. */
  readonly side: 'local' | 'remote';
  /** All that OpenSSL had to say, the first cause first. */
  readonly queue: readonly TlsErrorEntry[];

  /** @param details `sent` is the alert that this side answers with. */
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

/** What is known of a certificate that is not accepted. */
export interface CertificateErrorDetails {
  readonly result?: number | undefined;
  readonly depth?: number | undefined;
  readonly expected?: string | undefined;
  readonly actual?: string | undefined;
  readonly field?: string | undefined;
}

/** The peer's certificate is not acceptable, or is not that of the peer that was expected. */
export class CertificateError extends WantioError {
  /**
   * OpenSSL's number for the verification's result, an `X509_V_ERR_…`; `undefined` when it is not OpenSSL that refused.
   */
  readonly result: number | undefined;
  /** OpenSSL's name for that number without the prefix, such as `'CERT_HAS_EXPIRED'`. */
  readonly reason: VerifyErrorName | undefined;
  /** Which certificate of the chain: 0 for the peer's own, 1 for its issuer; `undefined` when that is not known. */
  readonly depth: number | undefined;
  /** What was expected, when that is known: a name or a digest. */
  readonly expected: string | undefined;
  /** What the certificate says instead. */
  readonly actual: string | undefined;
  /** What of the certificate was compared. */
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
 * Takes everything out of OpenSSL's error queue. The queue belongs to the whole thread: what is left there would be
 * thrown by the next call of `node:crypto`.
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

/** @returns the error for a call that OpenSSL refused, its queue taken. `what` says what was tried. */
export function refused(what: string): TlsError {
  const queue = takeErrorQueue();
  const [{ reason } = { reason: 'refused by OpenSSL' }] = queue;
  return new TlsError(`${what}: ${reason}${hintFor(reason)}`, { queue });
}

/**
 * @returns the option that decides about what OpenSSL refuses, to be put behind its reason; nothing where none does.
 */
export function hintFor(reason: string): string {
  return TOO_WEAK.test(reason) ? ' for the security level (option dangerouslyLowerSecurityLevel)' : '';
}

// What OpenSSL says of a key, digest or parameter below the level: "ee key too small", "ca md too weak", "CA signature
// digest algorithm too weak".
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
