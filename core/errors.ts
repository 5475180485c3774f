/** The classes of errors. Each error has a stable `code`, and carries the progress of the operation that failed. */

import type { TimeoutMode } from './timeouts.ts';
import type { Want } from './want.ts';

/** The kinds of operation, as errors and events name them. */
export type OperationName =
  | 'accept'
  | 'connect'
  | 'handshake'
  | 'look-up'
  | 'receive'
  | 'relay'
  | 'select'
  | 'send'
  | 'shutdown'
  | 'sleep'
  | 'renegotiate'
  | 'requestClientCertificate'
  | 'updateKeys';

/** How far an operation had come when it failed. */
export interface Progress {
  /** Of a send: the index of the last byte sent, or `first - 1` when none was. */
  last?: number;
  /**
   * Of a send: the bytes not sent, as a view, or as a list of views after a send of several pieces. Nothing is copied.
   * `send` takes either form.
   */
  rest?: Uint8Array | readonly Uint8Array[];
  /**
   * Of a receive: the bytes gathered. They are no longer in the connection: pass them back as `prefix`, or call
   * `unread` with them.
   */
  partial?: Uint8Array;
}

/** The base class of every error that wantio creates. */
export class WantioError extends Error implements Progress {
  /** A stable code for programs: `ERR_WANTIO_…`, or the system's own, such as `ECONNRESET`. */
  readonly code: string;
  /** The operation that failed. */
  operation?: OperationName;
  last?: number;
  rest?: Uint8Array | readonly Uint8Array[];
  partial?: Uint8Array;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  static {
    this.prototype.name = 'WantioError';
  }
}

/** A block or total timeout passed. The connection stays usable unless the operation's documentation says otherwise. */
export class OperationTimeoutError extends WantioError {
  readonly mode: TimeoutMode;
  /** What the operation was waiting for. */
  readonly want: Want | null;

  constructor(operation: OperationName, mode: TimeoutMode, limitMs: number, want: Want | null) {
    super('ERR_WANTIO_TIMEOUT', `${operation} timed out (${mode} ${String(limitMs)} ms)${waitingFor(want)}`);
    this.operation = operation;
    this.mode = mode;
    this.want = want;
  }

  static {
    this.prototype.name = 'OperationTimeoutError';
  }
}

/** The connection was closed already, or it closed before the operation was complete. */
export class ClosedError extends WantioError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_WANTIO_CLOSED', message, options);
  }

  static {
    this.prototype.name = 'ClosedError';
  }
}

/**
 * The stream ended without the message by which its protocol ends, so bytes may be missing: over TLS, without a
 * close_notify.
 */
export class TruncatedError extends WantioError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_WANTIO_TRUNCATED', message, options);
  }

  static {
    this.prototype.name = 'TruncatedError';
  }
}

/** The call was refused because another operation of the same direction is still running. Nothing was done. */
export class BusyError extends WantioError {
  /** @param why the reason in words; by default, that an operation of the same direction is running. */
  constructor(
    operation: OperationName,
    running: OperationName,
    why = `${running === 'accept' ? 'an' : 'a'} ${running} is still running in that direction; await it first`,
  ) {
    super('ERR_WANTIO_BUSY', `${operation} refused: ${why}`);
    this.operation = operation;
  }

  static {
    this.prototype.name = 'BusyError';
  }
}

/** A message is longer than the bound that the named option sets. */
export class BoundsError extends WantioError {
  /** The name of the option that sets the bound. */
  readonly option: string;
  /** The bound, in bytes. */
  readonly limit: number;

  constructor(what: string, option: string, limit: number) {
    super('ERR_WANTIO_BOUNDS', `${what} is longer than ${String(limit)} bytes (option ${option})`);
    this.option = option;
    this.limit = limit;
  }

  static {
    this.prototype.name = 'BoundsError';
  }
}

/** The bytes that were received, or the message that should be sent, do not fit the framing. */
export class FramingError extends WantioError {
  /** Where the fault is, in bytes from the beginning of the message. */
  readonly offset: number;
  /**
   * Where the fault is in the stream, in bytes from the first byte that the connection has received; `undefined` for a
   * message that should be sent.
   */
  position?: number;

  constructor(what: string, offset = 0, options?: ErrorOptions) {
    super('ERR_WANTIO_FRAMING', what, options);
    this.offset = offset;
  }

  static {
    this.prototype.name = 'FramingError';
  }
}

/** An operation was cancelled by its `AbortSignal`; `cause` is the signal's reason. */
export class AbortError extends WantioError {
  constructor(operation: OperationName, reason: unknown) {
    super('ERR_WANTIO_ABORTED', `${operation} was cancelled`, { cause: reason });
    this.operation = operation;
  }

  static {
    this.prototype.name = 'AbortError';
  }
}

/** A system call failed. `code` is the system's name for the reason, such as `ECONNRESET`. */
export class SystemError extends WantioError {
  /** The errno, as a positive number. */
  readonly errno: number;
  readonly syscall: string;

  constructor(code: string, errno: number, syscall: string, description: string, subject?: string) {
    super(code, `${syscall} ${code}: ${description}${subject === undefined ? '' : ` (${subject})`}`);
    this.errno = errno;
    this.syscall = syscall;
  }

  static {
    this.prototype.name = 'SystemError';
  }
}

/** The platform or the process lacks something that wantio needs; the message names it. */
export class UnsupportedError extends WantioError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_WANTIO_UNSUPPORTED', message, options);
  }

  static {
    this.prototype.name = 'UnsupportedError';
  }
}

function waitingFor(want: Want | null): string {
  switch (want) {
    case 'read':
      return ' waiting to read';
    case 'write':
      return ' waiting to write';
    case 'lookup':
      return ' waiting for a look-up';
    case null:
      return '';
  }
}
