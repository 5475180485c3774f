/** Messages that end with a delimiter. */

import { BoundsError, FramingError } from '../../core/errors.ts';
import { Framing } from '../../core/framing.ts';
import type { FramingInput } from '../../core/framing.ts';
import { checkArgument, either, thing } from '../../core/options.ts';
import { MORE } from '../../core/pattern.ts';
import type { Sendable } from '../../core/send.ts';
import { messageBytes, wellFormed } from './message-bytes.ts';

const delimiterRule = either(
  thing('a non-empty string', (value) => typeof value === 'string' && (value !== '' || 'range')),
  thing('bytes, at least one', (value) => value instanceof Uint8Array && (value.length > 0 || 'range')),
);

class Delimited extends Framing<Uint8Array, string | Uint8Array> {
  override readonly defaultMaxBytes = 64 * 1024;
  readonly #delimiter: Buffer;

  constructor(delimiter: Buffer) {
    super();
    this.#delimiter = delimiter;
  }

  measure(input: FramingInput, maxBytes: number): number {
    const delimiter = this.#delimiter;
    const found = input.indexOf(delimiter);
    // The last bytes may be the beginning of the delimiter.
    if (found > maxBytes || (found < 0 && input.length - (delimiter.length - 1) > maxBytes))
      throw new BoundsError('the message', 'maxBytes', maxBytes);
    return found < 0 ? MORE : found + delimiter.length;
  }

  decode(frame: Uint8Array): Uint8Array {
    return frame.subarray(0, frame.length - this.#delimiter.length);
  }

  encode(message: string | Uint8Array): Sendable {
    const delimiter = this.#delimiter;
    const bytes = asBuffer(messageBytes(message));
    // A delimiter may also begin in the message and end in the delimiter that follows.
    const tail = bytes.subarray(Math.max(0, bytes.length - (delimiter.length - 1)));
    const inside = bytes.indexOf(delimiter);
    const across = Buffer.concat([tail, delimiter]).indexOf(delimiter);
    const offset = inside >= 0 ? inside : bytes.length - tail.length + across;
    if (offset < bytes.length)
      throw new FramingError('the message cannot be sent: the delimiter would be found inside it', offset);
    return [bytes, delimiter];
  }
}

/**
 * Messages of bytes, each followed by the same delimiter. A message has at most 64 KiB by default.
 * @param delimiter a string (as UTF-8) or bytes, at least one byte.
 * @returns a framing of messages without the delimiter. It refuses to send a message in which the receiver would find
 * the delimiter.
 * @throws {TypeError | RangeError} when the delimiter is not valid.
 */
export function delimited(delimiter: string | Uint8Array): Framing<Uint8Array, string | Uint8Array> {
  checkArgument('delimited', 'the delimiter', delimiter, delimiterRule);
  return new Delimited(Buffer.from(typeof delimiter === 'string' ? wellFormed(delimiter) : delimiter));
}

function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
