/** The error family. Each has a stable `code`; what an operation had achieved is on the error. */

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

/** What an operation had achieved when it failed. */
export interface Progress {
  /** The index of the last byte sent, `first - 1` when none was. On sends. */
  last?: number;
  /**
   * The bytes not sent: a view, or a list of views after a send of several pieces. Nothing is copied; `send` takes
   * either. On sends.
   */
  rest?: Uint8Array | readonly Uint8Array[];
  /** The bytes gathered, no longer in the connection: pass them back as `prefix`, or `unread` them. On receives. */
  partial?: Uint8Array;
}

/** The base of every error that wantio makes. */
export class WantioError extends Error implements Progress {
  /** Stable, for programs: `ERR_WANTIO_…`, or the system's own such as `ECONNRESET`. */
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

/** The connection is closed, or closed before the operation was complete. */
export class ClosedError extends WantioError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_WANTIO_CLOSED', message, options);
  }

  static {
    this.prototype.name = 'ClosedError';
  }
}

/**
 * The stream ended without the goodbye that the protocol demands, so that bytes may be missing: TLS without
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

/** Another operation of the same direction is still running. Nothing was done. */
export class BusyError extends WantioError {
  /** @param why what is in the way; unless given, an operation of the same direction. */
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

/** The peer sent more than the bound that the named option sets. */
export class BoundsError extends WantioError {
  /** The option by which the bound is set. */
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

/** The operating system refused a call. `code` is its name for the reason, such as `ECONNRESET`. */
export class SystemError extends WantioError {
  /** The positive number of the reason. */
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
