/** Netstrings: https://cr.yp.to/proto/netstrings.txt */

import { FramingError } from '../../core/errors.ts';
import { Framing } from '../../core/framing.ts';
import type { FramingInput } from '../../core/framing.ts';
import { MORE } from '../../core/pattern.ts';
import type { Sendable } from '../../core/send.ts';
import { messageBytes } from './message-bytes.ts';
import { checkLength } from './message-length.ts';

class Netstrings extends Framing<Uint8Array, string | Uint8Array> {
  measure(input: FramingInput, maxBytes: number): number {
    let length = 0;
    for (let at = 0; at < input.length; at++) {
      const byte = input.at(at);
      if (byte === COLON && at > 0) return wholeLength(input, at + 1 + length);
      if (!(byte >= ZERO && byte <= NINE))
        throw new FramingError(`byte ${String(byte)} in the length of a netstring is not a decimal digit`, at);
      if (at > 0 && length === 0) throw new FramingError('the length of a netstring has a leading zero', 0);
      length = length * 10 + byte - ZERO;
      checkLength(length, maxBytes, 0);
    }
    return MORE;
  }

  decode(frame: Uint8Array): Uint8Array {
    return frame.subarray(frame.indexOf(COLON) + 1, frame.length - 1);
  }

  encode(message: string | Uint8Array): Sendable {
    const body = messageBytes(message);
    return [`${String(body.length)}:`, body, ','];
  }
}

/**
 * Netstrings: the length in decimal digits, a colon, the bytes, a comma. A netstring has at most 1 MiB by default.
 * @returns a framing of the bytes.
 */
export function netstrings(): Framing<Uint8Array, string | Uint8Array> {
  return new Netstrings();
}

/** @param comma the index of the comma. @returns the length of the whole netstring, or `MORE`. */
function wholeLength(input: FramingInput, comma: number): number {
  if (input.length <= comma) return MORE;
  if (input.at(comma) !== COMMA)
    throw new FramingError(`a netstring ends with a comma, not with byte ${String(input.at(comma))}`, comma);
  return comma + 1;
}

const [ZERO, NINE, COLON, COMMA] = Buffer.from('09:,');
