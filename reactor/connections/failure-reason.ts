/** Which of the failures of one connection is told. */

import { ClosedError, SystemError, TruncatedError, WantioError } from '../../core/errors.ts';

/**
 * Of two failures of one connection the one that says why: an alert of TLS comes behind what the peer has sent, so that
 * a send may have failed before, which only says that the peer is gone.
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
