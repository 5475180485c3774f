/** Why a session store failed. */

import { WantioError } from '../../core/errors.ts';

/**
 * What kept a store from doing what it was asked: `'failed'` its ground refused or is out of reach, `'timeout'` no
 * answer came in time, `'busy'` too many requests wait already, `'full'` there is no room, `'closed'` the store was
 * closed.
 */
export type StoreFailure = 'failed' | 'timeout' | 'busy' | 'full' | 'closed';

/**
 * A session store could not do what it was asked; to whoever resumes sessions that is a miss. Its message holds no
 * credentials.
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

/** @returns what to throw for `error`: itself when it says enough, a `StoreError` about `what` otherwise. */
export function storeError(what: string, error: unknown): StoreError | RangeError {
  if (error instanceof StoreError || error instanceof RangeError) return error;
  return new StoreError('failed', `${what}: ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  });
}

/** @returns what to throw when a store is used after its end. */
export function closedStore(): StoreError {
  return new StoreError('closed', 'the session store is closed');
}
