/** Received bytes that no receive has taken yet. */

import { SMALL, smallBytes } from './small-bytes.ts';

/**
 * A queue of bytes in one piece of memory. The cost of appending, taking and searching is linear in the bytes moved,
 * whatever pieces they arrive in: a search continues where the last search for the same bytes ended. An empty queue
 * holds no memory.
 */
export class InputBuffer {
  #bytes = NOTHING;
  #start = 0;
  #end = 0;
  /** The last search: what for, from which index, and up to where in the memory it found nothing. */
  #searchedFor: number | Uint8Array = -1;
  #searchedFrom = 0;
  #searched = 0;
  #state: unknown;
  #stateOf: unknown;
  #looked = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** A value that the current reader (see {@link lookedAtBy}) keeps until bytes are taken or put back. */
  get state(): unknown {
    return this.#state;
  }

  set state(state: unknown) {
    this.#state = state;
  }

  /** Makes `reader` the current reader. A new reader does not see the `state` of the previous one. */
  lookedAtBy(reader: unknown): this {
    if (this.#stateOf !== reader) {
      this.#stateOf = reader;
      this.#state = undefined;
    }
    return this;
  }

  /** Whether bytes have come since {@link lookedAtAll}. Taking bytes or putting them back forgets that call. */
  get hasNews(): boolean {
    return this.length > this.#looked;
  }

  /** Records that the bytes are not enough for their reader, so that only more bytes make the connection readable. */
  lookedAtAll(): void {
    this.#looked = this.length;
  }

  /** @returns the byte at `index`. @throws {RangeError} when there is none. */
  at(index: number): number {
    if (!(index >= 0 && index < this.length)) throw noSuchByte(index, this.length);
    return this.#bytes[this.#start + index];
  }

  /** @returns a view of the bytes from index `from` to before index `to`. The next change may overwrite it. */
  view(from: number, to: number): Uint8Array {
    if (!(from >= 0 && from <= to && to <= this.length)) throw noSuchByte(to, this.length);
    return this.#bytes.subarray(this.#start + from, this.#start + to);
  }

  /** Copies `chunk` to the end. */
  append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#bytes.length) this.#makeRoom(0, chunk.length);
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Puts `chunk` back in front, as if it had never been taken. */
  prepend(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (chunk.length > this.#start) this.#makeRoom(chunk.length, 0);
    this.#start -= chunk.length;
    this.#bytes.set(chunk, this.#start);
    this.forget();
  }

  /**
   * A call with the same `wanted` (for an array: the same object) and the same `begin` as the previous call continues
   * where that search ended.
   * @param wanted a byte, or several consecutive bytes.
   * @param begin the index at which the search begins.
   * @returns the index of the first occurrence, counted from the front, or -1.
   */
  indexOf(wanted: number | Uint8Array, begin = 0): number {
    if (!(Number.isInteger(begin) && begin >= 0))
      throw new RangeError(`a search begins at a whole number of at least 0, not at ${String(begin)}`);
    if (this.#searchedFor !== wanted || this.#searchedFrom !== begin) {
      this.#searchedFor = wanted;
      this.#searchedFrom = begin;
      this.#searched = this.#start + begin;
    }
    const from = Math.max(this.#searched, this.#start + begin);
    if (from > this.#end) return -1;
    const found = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + from, this.#end - from).indexOf(wanted);
    // The first bytes of a longer sequence may have come already.
    const unfinished = typeof wanted === 'number' ? 0 : wanted.length - 1;
    this.#searched = found < 0 ? Math.max(from, this.#end - unfinished) : from + found;
    return found < 0 ? -1 : from + found - this.#start;
  }

  /** Removes up to `count` bytes from the front. @returns how many. */
  skip(count: number): number {
    const skipped = Math.min(count, this.length);
    this.#drop(skipped);
    return skipped;
  }

  /** Removes and returns the first `count` bytes, which the caller owns. `count` is at most `length`. */
  take(count: number): Uint8Array<ArrayBuffer> {
    // When all of a large queue is taken, the caller gets the memory of the queue itself. A copy would need as much
    // memory again, often at the moment when an operation has failed.
    const isGiven = count === this.length && count >= GIVEN_AWAY_FROM && count * 2 >= this.#bytes.length;
    const taken = isGiven
      ? this.#bytes.subarray(this.#start, this.#end)
      : this.#bytes.slice(this.#start, this.#start + count);
    this.#drop(count);
    return taken;
  }

  /** The same as {@link take}, but small results share memory: see {@link smallBytes}. */
  takeFrame(count: number): Uint8Array {
    if (count > SMALL) return this.take(count);
    const taken = smallBytes(count);
    this.takeInto(taken);
    return taken;
  }

  /** Moves bytes from the front into `into`; @returns how many. */
  takeInto(into: Uint8Array): number {
    const count = Math.min(into.length, this.length);
    into.set(this.#bytes.subarray(this.#start, this.#start + count));
    this.#drop(count);
    return count;
  }

  /** Forgets what was found out about the bytes at the front. */
  forget(): void {
    this.#searchedFor = -1;
    this.#state = undefined;
    this.#looked = 0;
  }

  /** Drops all bytes. */
  clear(): void {
    this.#drop(this.length);
  }

  #drop(count: number): void {
    if (count === 0) return;
    this.#start += count;
    this.#state = undefined;
    this.#looked = 0;
    if (this.#start < this.#end) return;
    this.#bytes = NOTHING;
    this.#start = this.#end = 0;
    this.#searchedFor = -1;
  }

  /** Moves the content so that `before` bytes fit in front of it and `after` bytes behind it. Grows by doubling. */
  #makeRoom(before: number, after: number): void {
    const { length } = this;
    const needed = before + length + after;
    // Moving within the same memory is worth its cost only when at least half of it is free.
    const fits = needed <= this.#bytes.length && length * 2 <= this.#bytes.length;
    const target = fits ? this.#bytes : new Uint8Array(Math.max(needed, length * 2, SMALLEST));
    const start = before === 0 ? 0 : target.length - length - after;
    if (fits) target.copyWithin(start, this.#start, this.#end);
    else target.set(this.#bytes.subarray(this.#start, this.#end), start);
    this.#searched += start - this.#start;
    this.#bytes = target;
    this.#start = start;
    this.#end = start + length;
  }
}

function noSuchByte(index: number, length: number): RangeError {
  return new RangeError(`${String(index)} lies outside of the ${String(length)} bytes that have come`);
}

const NOTHING = new Uint8Array(0);
const SMALLEST = 256;
const GIVEN_AWAY_FROM = 64 * 1024;
