/** How a request fails. */

import { BoundsError, ClosedError, WantioError } from '../../core/errors.ts';

/**
 * The server does not speak HTTP/1: its response is invalid (`cause` is the parser's error), it chose another protocol
 * by ALPN, or it switched to another protocol.
 */
export class HttpError extends WantioError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_WANTIO_HTTP', message, options);
  }

  static {
    this.prototype.name = 'HttpError';
  }
}

/** A body in pieces is shorter or longer than its `content-length`. */
export class BodyLengthError extends WantioError {
  /** The `content-length`. */
  readonly declared: number;

  constructor(declared: number, sent: number) {
    const length = `${String(declared)} bytes of its content-length header`;
    super(
      'ERR_WANTIO_BODY_LENGTH',
      sent > declared
        ? `the body of the request is longer than the ${length}`
        : `the body of the request ended after ${String(sent)} of the ${length}`,
    );
    this.declared = declared;
  }

  static {
    this.prototype.name = 'BodyLengthError';
  }
}

/** The error for a connection that ends before its response does. */
export function endedEarly(cause?: Error): ClosedError {
  return new ClosedError('receive failed: the connection was closed before the response was complete', { cause });
}

/** Translates an error of Node's HTTP parser or socket. */
export function requestError(
  error: NodeJS.ErrnoException & { readonly reason?: string },
  maxHeaderBytes: number,
): Error {
  if (error instanceof WantioError) return error;
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return new BoundsError('the header of the response', 'maxHeaderBytes', maxHeaderBytes);
  if (error.code?.startsWith('HPE_') === true)
    return new HttpError(`the response is not HTTP: ${error.reason ?? error.message}`, { cause: error });
  // "socket hang up" or "aborted".
  return error.code === 'ECONNRESET' ? endedEarly(error) : error;
}
