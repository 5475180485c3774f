/** The errors of session stores. */

import { WantioError } from '../../core/errors.ts';

/**
 * Why a store failed. `'failed'`: its files, database or server refused or cannot be reached. `'timeout'`: there was no
 * answer in time. `'busy'`: too many requests are under way. `'full'`: there is no room. `'closed'`: the store is
 * closed.
 */
export type StoreFailure = 'failed' | 'timeout' | 'busy' | 'full' | 'closed';

/**
 * A request to a session store failed. For resumption this is a miss: the handshake is a full one. The message contains
 * no credentials.
 */
export class StoreError extends WantioError {
  readonly reason: StoreFailure;

  constructor(reason: StoreFailure, message: string, options?: ErrorOptions) {
    super('ERR_WANTIO_STORE', message, options);
    this.reason = reason;
  }

  static {
    this.prototype.name = 'StoreError';
  }
}

/** @returns `error` itself if it is a `StoreError` or `RangeError`, otherwise a `StoreError` about `what`. */
export function storeError(what: string, error: unknown): StoreError | RangeError {
  if (error instanceof StoreError || error instanceof RangeError) return error;
  return new StoreError('failed', `${what}: ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  });
}

/** @returns the error of a request to a closed store. */
export function closedStore(): StoreError {
  return new StoreError('closed', 'the session store is closed');
}
