/** Messages that begin with their length as a varint, as Protocol Buffers delimit them. */

import { FramingError } from '../../core/errors.ts';
import { Framing } from '../../core/framing.ts';
import type { FramingInput } from '../../core/framing.ts';
import { MORE } from '../../core/pattern.ts';
import type { Sendable } from '../../core/send.ts';
import { messageBytes } from './message-bytes.ts';
import { checkLength } from './message-length.ts';

class VarintPrefixed extends Framing<Uint8Array, string | Uint8Array> {
  measure(input: FramingInput, maxBytes: number): number {
    let length = 0;
    for (let at = 0; at < input.length; at++) {
      const byte = input.at(at);
      // The tenth byte holds the 64th bit, and nothing may follow.
      if (at === MOST_BYTES - 1 && byte > 1) throw new FramingError('the length is a varint of more than 64 bits', at);
      length += (byte & 0x7f) * 2 ** (7 * at);
      checkLength(length, maxBytes, 0);
      if (byte < 0x80) return input.length < at + 1 + length ? MORE : at + 1 + length;
    }
    return MORE;
  }

  decode(frame: Uint8Array): Uint8Array {
    let at = 0;
    while (frame[at] >= 0x80) at++;
    return frame.subarray(at + 1);
  }

  encode(message: string | Uint8Array): Sendable {
    const body = messageBytes(message);
    const prefix = [];
    let rest = body.length;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) prefix.push((rest % 0x80) + 0x80);
    return [Uint8Array.of(...prefix, rest), body];
  }
}

/**
 * Messages that begin with their length as an unsigned LEB128 varint, as Protocol Buffers delimit messages in a stream.
 * A body has at most 1 MiB by default.
 * @returns a framing of the bodies.
 */
export function varintPrefixed(): Framing<Uint8Array, string | Uint8Array> {
  return new VarintPrefixed();
}

const MOST_BYTES = 10;
