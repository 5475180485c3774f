/** Turns the error of a Node.js stream into an error of wantio. */

import { constants } from 'node:os';

import { ClosedError, SystemError } from '../../core/errors.ts';
import type { WantioError } from '../../core/errors.ts';
import { systemError } from '../system-calls.ts';

/**
 * @param error the error that the stream was destroyed with; `undefined` when it was closed before its end.
 * @param subject what the failed call was about, such as an address.
 * @returns a `SystemError` if `error` has the code of a system error, else a `ClosedError`. `error` is its cause. Each
 * call creates a new error, because each operation stores its progress on the error.
 */
export function streamFailure(error: Error | undefined, subject: string | undefined): WantioError {
  if (error === undefined) return new ClosedError('the stream was closed before its end');
  const failure = systemFailure(error, subject);
  if (failure === undefined) return new ClosedError(`the stream failed: ${error.message}`, { cause: error });
  failure.cause = error;
  return failure;
}

/**
 * Looks up the errno by the code, because some errors of Node.js have the code of a system error but no errno:
 * `socket hang up` is an ECONNRESET.
 */
function systemFailure(
  { code, errno, syscall = 'stream', message }: NodeJS.ErrnoException,
  subject: string | undefined,
): SystemError | undefined {
  if (code === undefined) return undefined;
  const known = (constants.errno as Record<string, number | undefined>)[code];
  if (known !== undefined) return systemError(-known, syscall, subject);
  return typeof errno === 'number' ? new SystemError(code, Math.abs(errno), syscall, message, subject) : undefined;
}
