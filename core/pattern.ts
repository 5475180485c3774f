/** The patterns of `receive`: a line, everything, a number of bytes, or any bytes. */

import { BoundsError } from './errors.ts';
import type { InputBuffer } from './input-buffer.ts';

/**
 * A pattern by its name. `'*l'`: a line, as text without its LF and with every CR removed. `'*a'`: all bytes until the
 * end. `'*s'`: some bytes, at least one, or none at the end. A number: that many bytes.
 */
export type PatternName = '*l' | '*a' | '*s' | number;

/** The result of a receive with pattern `P`: a string for a line, bytes otherwise. */
export type Received<P extends PatternName> = P extends '*l' ? string : Uint8Array;

/** Decides when enough bytes have come. The result must not depend on the pieces in which the bytes came. */
export interface Pattern<T> {
  /** The bound in bytes when the caller sets none. */
  readonly defaultMaxBytes: number;
  /**
   * Looks at the bytes that have come.
   * @param ended whether nothing more will come.
   * @returns how many bytes {@link take} will remove; {@link MORE} while more must come; {@link TOO_EARLY} when more
   * must come but the stream has ended.
   */
  measure(input: InputBuffer, ended: boolean, maxBytes: number): number;
  /** Removes the measured bytes and turns them into the result. */
  take(input: InputBuffer, count: number): T;
  /**
   * How many bytes of an unfinished input belong to this receive. They go to the error when it fails. Never more than
   * the bound.
   */
  readonly partialOf: (input: InputBuffer, maxBytes: number) => number;
}

/** @throws {RangeError} when `name` is neither a known pattern nor a count of bytes. */
export function patternOf(name: PatternName): Pattern<string | Uint8Array> {
  if (name === '*l') return LINE;
  if (name === '*a') return ALL;
  if (name === '*s') return SOME;
  if (typeof name === 'number' && Number.isSafeInteger(name) && name >= 0) return exactly(name);
  throw new RangeError(`receive takes '*l', '*a', '*s', a number of bytes ≥ 0 or a Framing, not ${String(name)}`);
}

/** What `measure` returns while more bytes must come. */
export const MORE = -1;
/** What `measure` of a pattern returns when more bytes must come but the stream has ended. */
export const TOO_EARLY = -2;

/** A line, as text without its LF and with every CR removed. */
export const LINE: Pattern<string> = {
  defaultMaxBytes: 64 * 1024,
  measure(input, ended, maxBytes) {
    const length = input.indexOf(LF);
    if (length > maxBytes || (length < 0 && input.length > maxBytes))
      throw new BoundsError('the line', 'maxBytes', maxBytes);
    if (length >= 0) return length + 1;
    return ended ? TOO_EARLY : MORE;
  },
  take(input, count) {
    const bytes = input.take(count);
    const line = Buffer.from(bytes.buffer, bytes.byteOffset, count - 1);
    try {
      const text = line.toString('utf8');
      return text.includes('\r') ? text.replaceAll('\r', '') : text;
    } catch (error) {
      // The line is longer than a string can be, and the bound allowed it. It can still be received as bytes.
      input.prepend(bytes);
      throw error;
    }
  },
  partialOf: (input, maxBytes) => Math.min(input.length, maxBytes),
};

const ALL: Pattern<Uint8Array> = {
  defaultMaxBytes: 16 * 1024 * 1024,
  measure(input, ended, maxBytes) {
    if (input.length > maxBytes) throw new BoundsError('the input', 'maxBytes', maxBytes);
    return ended ? input.length : MORE;
  },
  take: (input, count) => input.take(count),
  partialOf: (input, maxBytes) => Math.min(input.length, maxBytes),
};

/**
 * A pattern for all bytes before `delimiter`, which is removed. Unlike a line, the bytes are not decoded, so two
 * different messages stay different.
 * @throws {RangeError} when the delimiter is empty.
 */
export function until(delimiter: Uint8Array): Pattern<Uint8Array> {
  if (delimiter.length === 0) throw new RangeError('receiveUntil needs a delimiter of at least one byte');
  return {
    defaultMaxBytes: 64 * 1024,
    measure(input, ended, maxBytes) {
      const length = input.indexOf(delimiter);
      if (length > maxBytes || (length < 0 && input.length - (delimiter.length - 1) > maxBytes))
        throw new BoundsError('the message', 'maxBytes', maxBytes);
      if (length >= 0) return length + delimiter.length;
      return ended ? TOO_EARLY : MORE;
    },
    take: (input, count) => input.take(count).subarray(0, count - delimiter.length),
    partialOf: (input, maxBytes) => Math.min(input.length, maxBytes),
  };
}

/** A line as bytes, without its LF and without a CR before that. */
export const BYTE_LINE: Pattern<Uint8Array> = {
  ...until(Buffer.from('\n')),
  take(input, count) {
    const line = input.take(count);
    return line.subarray(0, line[count - 2] === CR ? count - 2 : count - 1);
  },
};

const SOME: Pattern<Uint8Array> = {
  defaultMaxBytes: 64 * 1024,
  measure(input, ended, maxBytes) {
    return input.length > 0 ? Math.min(input.length, maxBytes) : ended ? 0 : MORE;
  },
  take: (input, count) => input.take(count),
  partialOf: () => 0,
};

function exactly(wanted: number): Pattern<Uint8Array> {
  return {
    defaultMaxBytes: Infinity,
    measure(input, ended, maxBytes) {
      if (wanted > maxBytes) throw new BoundsError('the number of bytes asked for', 'maxBytes', maxBytes);
      return input.length >= wanted ? wanted : ended ? TOO_EARLY : MORE;
    },
    take: (input, count) => input.take(count),
    // A receive that is refused for its size gathers nothing.
    partialOf: (input, maxBytes) => (wanted > maxBytes ? 0 : Math.min(input.length, wanted)),
  };
}

const LF = 10;
const CR = 13;
