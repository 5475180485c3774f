/** The steps of the operations that receive: by a pattern, into the caller's memory, or to discard. */

import { ClosedError, FramingError } from './errors.ts';
import type { Progress } from './errors.ts';
import type { Inflow } from './inflow.ts';
import type { Step } from './operation.ts';
import { MORE, TOO_EARLY } from './pattern.ts';
import type { Pattern } from './pattern.ts';
import { DONE, END, YIELD } from './want.ts';
import type { StepCode } from './want.ts';

/** Receives until the pattern has enough. The bytes stay in the connection until then, or until the operation fails. */
export class ReceiveStep<T> implements Step<T> {
  readonly name = 'receive';
  readonly #inflow: Inflow;
  readonly #pattern: Pattern<T>;
  readonly #maxBytes: number;
  #begun = false;
  #count = 0;
  #taken: number | undefined;

  /** @throws {RangeError} when `maxBytes` is not at least 1. */
  constructor(inflow: Inflow, pattern: Pattern<T>, maxBytes: number = pattern.defaultMaxBytes) {
    if (!(maxBytes >= 1)) throw new RangeError(`maxBytes must be at least 1, not ${String(maxBytes)}`);
    this.#inflow = inflow;
    this.#pattern = pattern;
    this.#maxBytes = maxBytes;
  }

  attempt(): StepCode | typeof YIELD {
    this.#begun = true;
    for (let budget = BYTES_PER_ATTEMPT; ;) {
      const count = measured(this.#inflow, this.#pattern, this.#maxBytes);
      if (count === TOO_EARLY) throw endedEarly(this.#inflow);
      if (count !== MORE) {
        this.#count = count;
        return DONE;
      }
      if (budget <= 0) return YIELD;
      const pulled = this.#inflow.pull();
      if (pulled !== END && pulled < 0) return pulled as StepCode;
      budget -= pulled;
    }
  }

  result(): T {
    this.#taken = this.#count;
    return taken(this.#inflow, this.#pattern, this.#count);
  }

  progress(): number {
    return this.#taken ?? this.#pattern.partialOf(this.#inflow.input, this.#maxBytes);
  }

  handOver(): Progress {
    // Without an attempt, the bytes in the connection do not belong to this receive.
    this.#taken = this.#begun ? this.progress() : 0;
    return { partial: this.#inflow.input.take(this.#taken) };
  }
}

/** @returns what the pattern measures in the bytes that have come. */
export function measured(inflow: Inflow, pattern: Pattern<unknown>, maxBytes: number): number {
  try {
    return pattern.measure(inflow.input, inflow.ended, maxBytes);
  } catch (error) {
    locate(error, inflow);
    throw error;
  }
}

/** Takes the measured bytes. @returns what the pattern makes of them. */
export function taken<T>(inflow: Inflow, pattern: Pattern<T>, count: number): T {
  try {
    return pattern.take(inflow.input, count);
  } catch (error) {
    locate(error, inflow);
    throw error;
  }
}

/** @returns the error of a receive when the peer has ended and more bytes are needed. */
export function endedEarly({ input }: Inflow): ClosedError {
  return new ClosedError(
    `receive failed: the peer closed the connection after ${String(input.length)} bytes of an unfinished message`,
  );
}

/** Says where in the stream a fault is. */
function locate(error: unknown, { total, input }: Inflow): void {
  if (error instanceof FramingError) error.position ??= total - input.length + error.offset;
}

/**
 * Receives any bytes, at least one, straight into the caller's memory. Resolves to the count, which is 0 at the end.
 */
export class ReceiveIntoStep implements Step<number> {
  readonly name = 'receive';
  readonly #inflow: Inflow;
  readonly #into: Uint8Array;
  #count = 0;

  /** @throws {RangeError} when `into` is empty. */
  constructor(inflow: Inflow, into: Uint8Array) {
    if (into.length === 0) throw new RangeError('receiveInto needs room for at least one byte');
    this.#inflow = inflow;
    this.#into = into;
  }

  attempt(): StepCode {
    const inflow = this.#inflow;
    const count = inflow.input.length > 0 ? inflow.input.takeInto(this.#into) : inflow.pullInto(this.#into);
    if (count !== END && count < 0) return count as StepCode;
    this.#count = Math.max(0, count);
    return DONE;
  }

  result(): number {
    return this.#count;
  }

  progress(): number {
    return this.#count;
  }
}

/** Receives a number of bytes and discards them. Resolves to that number. */
export class SkipStep implements Step<number> {
  readonly name = 'receive';
  readonly #inflow: Inflow;
  readonly #wanted: number;
  #skipped = 0;

  constructor(inflow: Inflow, wanted: number) {
    this.#inflow = inflow;
    this.#wanted = wanted;
  }

  attempt(): StepCode | typeof YIELD {
    const inflow = this.#inflow;
    for (let budget = BYTES_PER_ATTEMPT; ;) {
      this.#skipped += inflow.input.skip(this.#wanted - this.#skipped);
      if (this.#skipped === this.#wanted) return DONE;
      if (budget <= 0) return YIELD;
      const pulled = inflow.pull();
      if (pulled === END)
        throw new ClosedError(
          `receive failed: the peer closed the connection after ${String(this.#skipped)} of the ${String(this.#wanted)} bytes to skip`,
        );
      if (pulled < 0) return pulled as StepCode;
      budget -= pulled;
    }
  }

  result(): number {
    return this.#skipped;
  }

  progress(): number {
    return this.#skipped;
  }
}

// An operation that has moved this many bytes lets others run before it continues.
const BYTES_PER_ATTEMPT = 1024 * 1024;
