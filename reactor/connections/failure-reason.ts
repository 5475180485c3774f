/** Which of several failures of one connection is reported. */

import { ClosedError, SystemError, TruncatedError, WantioError } from '../../core/errors.ts';

/**
 * Chooses the more specific of two failures of one connection. A TLS alert comes after the data of the peer. A send may
 * have failed before the alert was read, and that failure only says that the peer is gone.
 */
export function failureReason(first: Error | undefined, next: Error): Error {
  return first === undefined || (first instanceof SystemError && saysWhy(next)) ? next : first;
}

function saysWhy(error: Error): boolean {
  return (
    error instanceof WantioError &&
    !(error instanceof SystemError || error instanceof ClosedError || error instanceof TruncatedError)
  );
}
