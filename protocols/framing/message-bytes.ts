/** The bytes of a message that is to be sent. */

import { FramingError } from '../../core/errors.ts';
import { LONGEST } from './message-length.ts';

/** @returns the bytes of `message`; of a string, its UTF-8 form. @throws {FramingError} when it cannot be sent. */
export function messageBytes(message: string | Uint8Array): Uint8Array {
  const bytes = typeof message === 'string' ? Buffer.from(wellFormed(message)) : message;
  if (!(bytes instanceof Uint8Array))
    throw new FramingError(`a message is a string or bytes (a Uint8Array), not ${kindOf(message)}`);
  if (bytes.length > LONGEST)
    throw new FramingError(
      `the message cannot be sent: its ${String(bytes.length)} bytes are more than the longest message has, ${String(LONGEST)}`,
    );
  return bytes;
}

/** @returns `text`. @throws {FramingError} when UTF-8 cannot encode it. */
export function wellFormed(text: string): string {
  if (/\p{Surrogate}/u.test(text))
    throw new FramingError('the text cannot be sent: it has half of a surrogate pair, which UTF-8 cannot encode');
  return text;
}

/** @returns the kind of a value, for an error message. */
export function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
}
