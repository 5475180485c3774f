/** The step of a send: from a first byte to a last one. Each attempt continues where the one before stopped. */

import type { Progress } from './errors.ts';
import type { Step } from './operation.ts';
import type { Outflow } from './outflow.ts';
import { YIELD } from './want.ts';
import type { StepCode } from './want.ts';

/** What can be sent: bytes, a string (as UTF-8), or a list of them, sent one after the other. */
export type Sendable = string | Uint8Array | readonly (string | Uint8Array)[];

/** Which part of the data to send. Both indexes count bytes, and both are inclusive. */
export interface SendRange {
  /**
   * The first byte to send; 0 by default. It may equal the length: then the send only flushes bytes that were accepted
   * before.
   */
  readonly first?: number | undefined;
  /** The last byte to send; the last one of the data by default. */
  readonly last?: number | undefined;
}

/** Sends a range of bytes. Resolves to the index of the last byte, once the layers below hold no bytes back. */
export class SendStep implements Step<number> {
  readonly name = 'send';
  readonly #outflow: Outflow;
  readonly #pieces: readonly Uint8Array[];
  readonly #end: number;
  #piece = 0;
  #pieceStart = 0;
  #next: number;

  /** @throws {RangeError} when the range lies outside of the data. */
  constructor(outflow: Outflow, data: Sendable, range: SendRange | undefined) {
    this.#outflow = outflow;
    this.#pieces = piecesOf(data);
    const length = this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
    const first = range?.first ?? 0;
    const last = range?.last ?? length - 1;
    if (!Number.isInteger(first) || first < 0 || first > length)
      throw new RangeError(`first must lie in 0…${String(length)}, not ${String(first)}`);
    if (!Number.isInteger(last) || last < first - 1 || last >= length) {
      throw new RangeError(`last must lie in ${String(first - 1)}…${String(length - 1)}, not ${String(last)}`);
    }
    this.#next = first;
    this.#end = last + 1;
  }

  attempt(): StepCode | typeof YIELD {
    for (let budget = BYTES_PER_ATTEMPT; this.#next < this.#end;) {
      if (budget <= 0) return YIELD;
      const count = this.#outflow.write(this.#view());
      if (count < 0) return count as StepCode;
      if (count === 0) return YIELD;
      this.#next += count;
      budget -= count;
    }
    return this.#outflow.flush();
  }

  result(): number {
    return this.#next - 1;
  }

  progress(): number {
    return this.#next - 1;
  }

  handOver(): Progress {
    if (this.#pieces.length === 1) return { last: this.#next - 1, rest: this.#within(this.#next) };
    const rest = [];
    for (let at = this.#next; at < this.#end; at += rest.at(-1)?.length ?? 0) {
      this.#seek(at);
      rest.push(this.#within(at));
    }
    return { last: this.#next - 1, rest };
  }

  #view(): Uint8Array {
    this.#seek(this.#next);
    return this.#within(this.#next);
  }

  /**
   * Makes the piece that holds byte `at` the current one. `at` never decreases, and lies before the end of the data.
   */
  #seek(at: number): void {
    let piece = this.#pieces[this.#piece];
    while (at >= this.#pieceStart + piece.length) {
      this.#pieceStart += piece.length;
      piece = this.#pieces[++this.#piece];
    }
  }

  #within(at: number): Uint8Array {
    const piece = this.#pieces[this.#piece];
    const from = at - this.#pieceStart;
    const to = Math.min(piece.length, this.#end - this.#pieceStart);
    return from === 0 && to === piece.length ? piece : piece.subarray(from, to);
  }
}

/** Encodes strings, and joins small neighbours into one piece, so that they leave in one write and one TLS record. */
function piecesOf(data: Sendable): readonly Uint8Array[] {
  if (typeof data === 'string') return [Buffer.from(data)];
  if (data instanceof Uint8Array) return [data];
  const pieces: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  let size = 0;
  const flush = (): void => {
    if (small.length > 0) pieces.push(small.length === 1 ? small[0] : Buffer.concat(small));
    small = [];
    size = 0;
  };
  for (const part of data) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    if (size + bytes.length > GATHERED) flush();
    if (bytes.length > GATHERED) pieces.push(bytes);
    else {
      small.push(bytes);
      size += bytes.length;
    }
  }
  flush();
  return pieces;
}

// As much as TLS encrypts at a time. Copying that much costs less than another record and another system call.
const GATHERED = 64 * 1024;
// An operation that has moved this many bytes lets others run before it continues.
const BYTES_PER_ATTEMPT = 1024 * 1024;
