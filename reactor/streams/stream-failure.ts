/** What ended one of Node's streams, as one of our errors. */

import { constants } from 'node:os';

import { ClosedError, SystemError } from '../../core/errors.ts';
import type { WantioError } from '../../core/errors.ts';
import { systemError } from '../system-calls.ts';

/**
 * @param error what the stream was destroyed with; without one it was closed before its end.
 * @param subject what it was about, such as an address.
 * @returns a `SystemError` where the reason is one of the system's, else a `ClosedError`; `error` is its cause. Each
 * call makes a new one, because each operation notes on it how far it has come.
 */
export function streamFailure(error: Error | undefined, subject: string | undefined): WantioError {
  if (error === undefined) return new ClosedError('the stream was closed before its end');
  const failure = systemFailure(error, subject);
  if (failure === undefined) return new ClosedError(`the stream failed: ${error.message}`, { cause: error });
  failure.cause = error;
  return failure;
}

/**
 * Not all errors of Node's that bear the code of a system's also bear its number: `socket hang up` is an ECONNRESET.
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
