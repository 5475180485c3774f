/** What OpenSSL and the peer say when TLS fails. */

import { WantioError } from '../../core/errors.ts';
import { ERR_LIB_SSL, SSL_AD_REASON_OFFSET, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST } from './constants.ts';
import { openssl } from './openssl.ts';

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

  constructor(message: string, details: { reason?: string; queue?: readonly TlsErrorEntry[]; alert?: number } = {}) {
    super('ERR_WANTIO_TLS', message);
    const [first] = details.queue ?? [];
    this.reason = details.reason ?? first?.reason ?? message;
    this.library = first?.library;
    this.alert = details.alert ?? alertOf(first);
    this.side = this.alert === undefined ? 'local' : 'remote';
    this.queue = details.queue ?? [];
  }

  static {
    this.prototype.name = 'TlsError';
  }
}

/** The peer's certificate is not acceptable, or is not that of the peer that was expected. */
export class CertificateError extends WantioError {
  /** OpenSSL's number for the verification's result, an `X509_V_ERR_…`. */
  readonly result: number;
  /** The name that was expected, when the name is what failed. */
  readonly expected: string | undefined;
  /** What the certificate says instead. */
  readonly actual: string | undefined;
  /** The field of the certificate that was compared. */
  readonly field: string | undefined;

  constructor(message: string, details: { result: number; expected?: string | undefined; actual?: string | undefined; field?: string | undefined }) {
    super('ERR_WANTIO_CERTIFICATE', message);
    this.result = details.result;
    this.expected = details.expected;
    this.actual = details.actual;
    this.field = details.field;
  }

  static {
    this.prototype.name = 'CertificateError';
  }
}

/**
 * Takes everything out of OpenSSL's error queue. The queue belongs to the whole thread: what is left there would be thrown by
 * the next call of `node:crypto`.
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
  return new TlsError(`${what}: ${queue[0]?.reason ?? 'refused by OpenSSL'}`, { queue });
}

/** Whether OpenSSL recognised plain HTTP where it expected TLS. */
export function saysHttp(queue: readonly TlsErrorEntry[]): boolean {
  return queue.some(({ code }) => libraryOf(code) === ERR_LIB_SSL && (reasonOf(code) === SSL_R_HTTP_REQUEST || reasonOf(code) === SSL_R_HTTPS_PROXY_REQUEST));
}

function alertOf(entry: TlsErrorEntry | undefined): number | undefined {
  if (entry === undefined || libraryOf(entry.code) !== ERR_LIB_SSL) return undefined;
  const alert = reasonOf(entry.code) - SSL_AD_REASON_OFFSET;
  return alert >= 0 && alert <= 255 ? alert : undefined;
}

// How OpenSSL 3 packs an error: ERR_GET_LIB and ERR_GET_REASON of err.h.
const libraryOf = (code: number): number => (code >>> 23) & 0xff;
const reasonOf = (code: number): number => code & 0x7fffff;
