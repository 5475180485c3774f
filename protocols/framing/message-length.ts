/** The check of a length that the peer has announced. */

import { BoundsError, FramingError } from '../../core/errors.ts';

/**
 * Checks the announced length of a message before any of its bytes are awaited.
 * @param offset the index of the length in the message.
 * @throws {BoundsError} when it is more than `maxBytes`. @throws {FramingError} when no message can be that long.
 */
export function checkLength(length: number, maxBytes: number, offset: number): void {
  if (length > maxBytes) throw new BoundsError('the message', 'maxBytes', maxBytes);
  if (length > LONGEST)
    throw new FramingError(
      `the announced length, ${String(length)} bytes, is more than the ${String(LONGEST)} bytes of the longest message`,
      offset,
    );
}

/** The longest message, in bytes. This limit applies even if a caller sets `maxBytes` to Infinity. */
export const LONGEST = 2 ** 31 - 1;
