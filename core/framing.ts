/** Framings: how messages are laid out in a stream of bytes. */

import { FramingError, WantioError } from './errors.ts';
import type { InputBuffer } from './input-buffer.ts';
import { MORE, TOO_EARLY } from './pattern.ts';
import type { Pattern } from './pattern.ts';
import type { Sendable } from './send.ts';

/** The received bytes that no message has taken yet. They may be read only while {@link Framing.measure} runs. */
export interface FramingInput {
  /** How many bytes there are. */
  readonly length: number;
  /**
   * A value that {@link Framing.measure} may set for its next call, while the same message is unfinished: for example
   * the index up to which it has looked. It is `undefined` at the first call for a message. Use it so that a message
   * that arrives byte by byte is not read from its beginning each time.
   */
  state: unknown;
  /** @returns the byte at `index`. @throws {RangeError} when `index` is not in 0…`length` - 1. */
  at(index: number): number;
  /**
   * Searches for bytes. A call with the same `wanted` (for an array: the same object) and the same `from` as the
   * previous call continues where that search ended.
   * @param wanted a byte, or several consecutive bytes.
   * @param from the index at which the search begins; 0 by default.
   * @returns the index of the first occurrence, or -1.
   */
  indexOf(wanted: number | Uint8Array, from?: number): number;
  /**
   * @returns a view of the bytes from index `from` to before index `to`. Its bytes may change after `measure` has
   * returned.
   */
  view(from: number, to: number): Uint8Array;
}

/**
 * A framing turns a stream of bytes into messages, and messages into bytes. One object can serve any number of
 * connections. `wantio/protocols` has the common ones. For a protocol of your own, map one of them ({@link map}) or
 * extend this class; `checkFraming` of `wantio/testing` then checks it.
 * @typeParam In the type of a received message.
 * @typeParam Out the type of a message to send.
 * @example
 * import { Framing, FramingError, MORE } from 'wantio';
 * import type { FramingInput } from 'wantio';
 *
 * // A number from 0 to 65,535 in two bytes, the lower one first.
 * class Numbers extends Framing<number> {
 *   measure({ length }: FramingInput): number {
 *     return length < 2 ? MORE : 2;
 *   }
 *   decode([low, high]: Uint8Array): number {
 *     return low + high * 256;
 *   }
 *   encode(message: number): Uint8Array {
 *     if (!(Number.isInteger(message) && message >= 0 && message <= 65_535))
 *       throw new FramingError(`${String(message)} is not in 0…65,535`);
 *     return Uint8Array.of(message % 256, message / 256);
 *   }
 * }
 * if (new Numbers().decode(Uint8Array.of(1, 2)) !== 513) throw new Error('wrong');
 */
export abstract class Framing<In, Out = In> {
  /** The most bytes of a message when the caller sets no `maxBytes`: 1 MiB, unless a framing has another bound. */
  readonly defaultMaxBytes: number = 1024 * 1024;
  /**
   * Set this to `true` if {@link decode} keeps no reference to its bytes. It then gets a view of the received bytes
   * instead of a copy.
   */
  readonly decodesFromView: boolean = false;

  /**
   * Finds the end of the first message. The result must not depend on the pieces in which the bytes arrive.
   * @param maxBytes the most bytes that a message may have, without the bytes that the framing adds.
   * @returns how many bytes the first message takes, at least 1, with the bytes that the framing adds; {@link MORE}
   * while the message is incomplete. When more bytes have arrived than `maxBytes` and the bytes that the framing adds,
   * it must not return `MORE`.
   * @throws {BoundsError} when the message is longer than `maxBytes`.
   * @throws {FramingError} when no message of this framing begins with these bytes.
   */
  abstract measure(input: FramingInput, maxBytes: number): number;

  /**
   * Turns bytes into a message.
   * @param frame the bytes of one message, as many as `measure` returned. The message may keep them, unless
   * {@link decodesFromView} is set. Up to 1 KiB, they may share memory with other messages, as small Buffers of Node.js
   * do.
   * @returns the message.
   * @throws {FramingError} when the bytes are not a message. Another error becomes the `cause` of a `FramingError`.
   */
  abstract decode(frame: Uint8Array): In;

  /**
   * Turns a message into bytes.
   * @returns the bytes, with those that the framing adds.
   * @throws {FramingError} when the framing cannot carry the message.
   */
  abstract encode(message: Out): Sendable;

  /**
   * @returns a framing whose messages are converted: `encode` before they are sent, `decode` after they are received.
   * @example
   * import { lines } from 'wantio/protocols';
   *
   * const json = lines().map<unknown>(JSON.stringify, JSON.parse);
   * if (json.encode({ key: 1 }) !== '{"key":1}\n') throw new Error('wrong');
   */
  map<NewIn, NewOut = NewIn>(encode: (message: NewOut) => Out, decode: (message: In) => NewIn): Framing<NewIn, NewOut> {
    return new MappedFraming(this, encode, decode);
  }
}

class MappedFraming<In, Out, OldIn, OldOut> extends Framing<In, Out> {
  override readonly defaultMaxBytes: number;
  override readonly decodesFromView: boolean;
  readonly #framing: Framing<OldIn, OldOut>;
  readonly #encode: (message: Out) => OldOut;
  readonly #decode: (message: OldIn) => In;

  constructor(framing: Framing<OldIn, OldOut>, encode: (message: Out) => OldOut, decode: (message: OldIn) => In) {
    super();
    this.defaultMaxBytes = framing.defaultMaxBytes;
    this.decodesFromView = framing.decodesFromView;
    this.#framing = framing;
    this.#encode = encode;
    this.#decode = decode;
  }

  measure(input: FramingInput, maxBytes: number): number {
    return this.#framing.measure(input, maxBytes);
  }

  decode(frame: Uint8Array): In {
    return this.#decode(this.#framing.decode(frame));
  }

  encode(message: Out): Sendable {
    return this.#framing.encode(this.#encode(message));
  }
}

const patterns = new WeakMap<object, Pattern<unknown>>();

/** @returns the pattern that receives one message of `framing`. Every call returns the same object. */
export function patternOfFraming<In>(framing: Framing<In, never>): Pattern<In> {
  let pattern = patterns.get(framing);
  if (pattern === undefined) patterns.set(framing, (pattern = makePattern(framing)));
  return pattern as Pattern<In>;
}

function makePattern<In>(framing: Framing<In, never>): Pattern<In> {
  return {
    defaultMaxBytes: framing.defaultMaxBytes,
    measure(input, ended, maxBytes) {
      const count = framing.measure(input.lookedAtBy(framing), maxBytes);
      if (count === MORE) return ended ? TOO_EARLY : MORE;
      if (!(Number.isInteger(count) && count >= 1 && count <= input.length))
        throw new TypeError(
          `measure of a framing must return MORE or a number from 1 to ${String(input.length)}, the length of its input, not ${String(count)}`,
        );
      return count;
    },
    take: (input, count) => decoded(framing, input, count),
    partialOf: (input, maxBytes) => Math.min(input.length, maxBytes),
  };
}

/** Removes a message from the input and decodes it. When that fails, its bytes stay in the input. */
function decoded<In>(framing: Framing<In, never>, input: InputBuffer, count: number): In {
  const { decodesFromView } = framing;
  const frame = decodesFromView ? input.view(0, count) : input.takeFrame(count);
  try {
    const message = decode(framing, frame);
    if (decodesFromView) input.skip(count);
    return message;
  } catch (error) {
    if (decodesFromView) input.forget();
    else input.prepend(frame);
    throw error;
  }
}

function decode<In>(framing: Framing<In, never>, frame: Uint8Array): In {
  try {
    return framing.decode(frame);
  } catch (error) {
    if (error instanceof WantioError) throw error;
    throw new FramingError(
      `the message cannot be decoded: ${error instanceof Error ? error.message : String(error)}`,
      0,
      { cause: error },
    );
  }
}
