/** Block and total timeouts, and the time that they leave for the next wait. */

import { group, milliseconds } from './options.ts';
import type { Rules } from './options.ts';

/**
 * The two limits of an operation, in milliseconds. `Infinity` and negative values mean no limit. With 0 the operation
 * does not wait: it tries, lets the loop poll the selector once, and tries again.
 */
export interface Timeouts {
  /** The longest single wait. It is counted from the start of each wait. */
  readonly blockMs?: number | undefined;
  /** The longest that the whole call may take. It is counted from the start of the call. */
  readonly totalMs?: number | undefined;
}

export const TIMEOUT_RULES = { blockMs: milliseconds, totalMs: milliseconds } satisfies Rules<Timeouts>;
/** The rule for an option that takes timeouts. */
export const timeoutsRule = group(TIMEOUT_RULES);

/** The name of one of the two limits. */
export type TimeoutMode = 'block' | 'total';

/** The limits of one running operation, counted from its start. */
export class TimeoutBudget {
  readonly #blockMs: number;
  readonly #endsAt: number;
  readonly #totalMs: number;

  /**
   * @param timeouts the limits. They are copied.
   * @param startedAt the moment the operation started, in the clock's milliseconds.
   * @throws {RangeError} when a limit is NaN.
   */
  constructor(timeouts: Timeouts, startedAt: number) {
    this.#blockMs = limit(timeouts.blockMs, 'blockMs');
    this.#totalMs = limit(timeouts.totalMs, 'totalMs');
    this.#endsAt = startedAt + this.#totalMs;
  }

  /**
   * The longest that a wait beginning at `now` may last: the block limit, or the rest of the total limit if that is
   * less.
   * @returns milliseconds ≥ 0; `Infinity` without a limit.
   */
  waitBudget(now: number): number {
    const left = this.#endsAt - now;
    return Math.max(0, Math.min(this.#blockMs, left));
  }

  /** Which limit ends a wait that begins at `now`. When both end at the same moment, it is the total limit. */
  mode(now: number): TimeoutMode {
    return this.#endsAt - now <= this.#blockMs ? 'total' : 'block';
  }

  /** The limit of `mode` in milliseconds, for messages. */
  limitMs(mode: TimeoutMode): number {
    return mode === 'block' ? this.#blockMs : this.#totalMs;
  }

  /** Whether a limit is zero, so that the operation must not wait. */
  get isZero(): boolean {
    return this.#blockMs === 0 || this.#totalMs === 0;
  }

  /** Whether neither limit is set, so that no wait needs a deadline. */
  get unlimited(): boolean {
    return this.#blockMs === Infinity && this.#totalMs === Infinity;
  }
}

/**
 * @param name the name of the limit, for messages.
 * @returns the limit in milliseconds; `Infinity` when `ms` is undefined or negative.
 * @throws {TypeError | RangeError} when `ms` is not a number, or NaN.
 */
export function limit(ms: number | undefined, name: string): number {
  if (ms === undefined) return Infinity;
  // The limit was checked when it was set. But the object may have changed since, and arithmetic accepts strings and
  // null.
  if (typeof ms !== 'number')
    throw new TypeError(
      `${name} must be a number of milliseconds, not ${typeof ms === 'string' ? JSON.stringify(ms) : String(ms)}`,
    );
  if (ms < 0) return Infinity;
  if (Number.isNaN(ms)) throw new RangeError(`${name} must be a number of milliseconds, not NaN`);
  return ms;
}
