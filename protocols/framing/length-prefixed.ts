/** Messages that begin with their length. */

import { FramingError } from '../../core/errors.ts';
import { Framing } from '../../core/framing.ts';
import type { FramingInput } from '../../core/framing.ts';
import { checkOptions, count, either, listOf, oneOf, required, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { MORE } from '../../core/pattern.ts';
import type { Sendable } from '../../core/send.ts';
import { messageBytes } from './message-bytes.ts';
import { checkLength } from './message-length.ts';

/** A part of a message: `head`, `length`, `body` and `trailer` follow each other in this order. */
export type MessagePart = 'head' | 'length' | 'body' | 'trailer';

/** How the length of a message is written. */
export interface LengthPrefixOptions {
  /** How many bytes the length takes. */
  readonly bytes: 1 | 2 | 3 | 4 | 8;
  /** The order of these bytes: `'big'` endian, the network's order, by default. */
  readonly order?: 'big' | 'little' | undefined;
  /** The parts whose bytes the length counts: the body by default. `'all'` stands for all four. */
  readonly counts?: 'body' | 'all' | readonly MessagePart[] | undefined;
}

/** How a message with more parts than length and body is laid out. */
export interface PartedOptions extends LengthPrefixOptions {
  /** How many bytes stand before the length, such as a type; 0 by default, at most 65,536. */
  readonly head?: number | undefined;
  /** How many bytes stand after the body, such as a checksum; 0 by default, at most 65,536. */
  readonly trailer?: number | undefined;
}

/** A message with its parts. */
export interface PartedMessage {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  readonly trailer: Uint8Array;
}

const part = oneOf('head', 'length', 'body', 'trailer');
/** The rules for these options. */
export const LENGTH_PREFIX_RULES = {
  bytes: required(thing('1, 2, 3, 4 or 8', (value) => [1, 2, 3, 4, 8].includes(value as number))),
  order: oneOf('big', 'little'),
  counts: either(oneOf('body', 'all'), {
    ...listOf(part),
    takes: "a list of parts with 'body'",
    judge: (value) => Array.isArray(value) && (value.includes('body') || 'range'),
  }),
  head: count(0, 65_536),
  trailer: count(0, 65_536),
} satisfies Rules<PartedOptions>;

/** How the length is read and written. */
class Layout {
  readonly head: number;
  readonly trailer: number;
  /** How many bytes stand before the body. */
  readonly bodyAt: number;
  readonly #size: number;
  readonly #isBig: boolean;
  /** How many bytes the length counts in addition to the body. */
  readonly #countedExtra: number;

  constructor({ bytes, order = 'big', counts = 'body', head = 0, trailer = 0 }: PartedOptions) {
    this.head = head;
    this.trailer = trailer;
    this.bodyAt = head + bytes;
    this.#size = bytes;
    this.#isBig = order === 'big';
    const sizes: Record<MessagePart, number> = { head, length: bytes, body: 0, trailer };
    const parts = counts === 'all' ? (Object.keys(sizes) as MessagePart[]) : counts === 'body' ? [] : new Set(counts);
    this.#countedExtra = [...parts].reduce((sum, each) => sum + sizes[each], 0);
  }

  measure(input: FramingInput, maxBytes: number): number {
    if (input.length < this.bodyAt) return MORE;
    const length = this.#lengthIn(input);
    const body = length - this.#countedExtra;
    if (body < 0)
      throw new FramingError(
        `the length, ${String(length)}, is less than the ${String(this.#countedExtra)} bytes that it counts in addition to the body`,
        this.head,
      );
    checkLength(body, maxBytes, this.head);
    const total = this.bodyAt + body + this.trailer;
    return input.length < total ? MORE : total;
  }

  /** @returns the head and the length. @throws {FramingError} when the length does not fit. */
  prefix(head: Uint8Array, bodyLength: number): Uint8Array {
    const length = bodyLength + this.#countedExtra;
    if (length >= 2 ** (8 * this.#size))
      throw new FramingError(
        `the message cannot be sent: its length, ${String(length)}, does not fit in ${String(this.#size)} bytes`,
      );
    const prefix = Buffer.alloc(this.bodyAt);
    prefix.set(head);
    for (let at = 0, rest = length; at < this.#size; at++, rest = Math.floor(rest / 256))
      prefix[this.head + (this.#isBig ? this.#size - 1 - at : at)] = rest % 256;
    return prefix;
  }

  #lengthIn(input: FramingInput): number {
    let length = 0;
    for (let at = 0; at < this.#size; at++)
      length = length * 256 + input.at(this.head + (this.#isBig ? at : this.#size - 1 - at));
    return length;
  }
}

abstract class LengthPrefixed<In, Out> extends Framing<In, Out> {
  protected readonly layout: Layout;

  constructor(layout: Layout) {
    super();
    this.layout = layout;
  }

  measure(input: FramingInput, maxBytes: number): number {
    return this.layout.measure(input, maxBytes);
  }
}

class Bodies extends LengthPrefixed<Uint8Array, string | Uint8Array> {
  decode(frame: Uint8Array): Uint8Array {
    return frame.subarray(this.layout.bodyAt);
  }

  encode(message: string | Uint8Array): Sendable {
    const body = messageBytes(message);
    return [this.layout.prefix(NONE, body.length), body];
  }
}

class PartedMessages extends LengthPrefixed<PartedMessage, PartedMessage> {
  decode(frame: Uint8Array): PartedMessage {
    const { head, bodyAt, trailer } = this.layout;
    const trailerAt = frame.length - trailer;
    return {
      head: frame.subarray(0, head),
      body: frame.subarray(bodyAt, trailerAt),
      trailer: frame.subarray(trailerAt),
    };
  }

  encode({ head, body, trailer }: PartedMessage): Sendable {
    checkPart('head', head, this.layout.head);
    checkPart('trailer', trailer, this.layout.trailer);
    return [this.layout.prefix(head, messageBytes(body).length), body, trailer];
  }
}

/**
 * Messages that begin with their length. A body has at most 1 MiB by default.
 * @returns a framing of the bodies; with `head` or `trailer`, of the parts. It refuses to send a message whose length
 * does not fit in the prefix.
 * @throws {TypeError | RangeError} when an option is not valid.
 * @example
 * import { lengthPrefixed } from 'wantio/protocols';
 *
 * const bodies = lengthPrefixed({ bytes: 4 });
 * // PostgreSQL: a type of one byte, then a length that counts itself and the body.
 * const packets = lengthPrefixed({ bytes: 4, head: 1, counts: ['length', 'body'] });
 * const { head, body } = packets.decode(Uint8Array.of(90, 0, 0, 0, 5, 73));
 * if (bodies.decode(Uint8Array.of(0, 0, 0, 1, 7))[0] !== 7 || head[0] !== 90 || body[0] !== 73) throw new Error('wrong');
 */
export function lengthPrefixed(
  options: LengthPrefixOptions & { readonly head?: undefined; readonly trailer?: undefined },
): Framing<Uint8Array, string | Uint8Array>;
export function lengthPrefixed(options: PartedOptions): Framing<PartedMessage>;
export function lengthPrefixed(
  options: PartedOptions,
): Framing<Uint8Array, string | Uint8Array> | Framing<PartedMessage> {
  checkOptions('lengthPrefixed', options, LENGTH_PREFIX_RULES);
  const layout = new Layout(options);
  return options.head === undefined && options.trailer === undefined ? new Bodies(layout) : new PartedMessages(layout);
}

function checkPart(name: 'head' | 'trailer', given: Uint8Array, wanted: number): void {
  if (given.length !== wanted)
    throw new FramingError(
      `the message cannot be sent: its ${name} has ${String(given.length)} bytes instead of ${String(wanted)}`,
    );
}

const NONE = new Uint8Array(0);
