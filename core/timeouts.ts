/** Block and total timeouts, and the budget they leave for the next wait. */

import { group, milliseconds } from './options.ts';
import type { Rules } from './options.ts';

/**
 * The two limits of an operation, in milliseconds. `Infinity` and negative values mean no limit; 0 means: try, let the
 * selector be asked once, try again, and do not wait.
 */
export interface Timeouts {
  /** The longest single wait. It starts anew at each wait. */
  readonly blockMs?: number | undefined;
  /** The longest whole call. It starts with the call and never anew. */
  readonly totalMs?: number | undefined;
}

export const TIMEOUT_RULES = { blockMs: milliseconds, totalMs: milliseconds } satisfies Rules<Timeouts>;
/** Timeouts in the place of an option. */
export const timeoutsRule = group(TIMEOUT_RULES);

/** Which of the two limits. */
export type TimeoutMode = 'block' | 'total';

/** The limits of one running operation, counted from its start. */
export class TimeoutBudget {
  readonly #blockMs: number;
  readonly #endsAt: number;
  readonly #totalMs: number;

  /**
   * @param timeouts the limits, copied.
   * @param startedAt the moment the operation started, in the clock's milliseconds.
   * @throws {RangeError} when a limit is NaN.
   */
  constructor(timeouts: Timeouts, startedAt: number) {
    this.#blockMs = limit(timeouts.blockMs, 'blockMs');
    this.#totalMs = limit(timeouts.totalMs, 'totalMs');
    this.#endsAt = startedAt + this.#totalMs;
  }

  /**
   * The longest that a wait beginning at `now` may last: the block limit or what is left of the total, whichever is
   * less.
   * @returns milliseconds ≥ 0; `Infinity` without a limit.
   */
  waitBudget(now: number): number {
    const left = this.#endsAt - now;
    return Math.max(0, Math.min(this.#blockMs, left));
  }

  /** Which limit ends a wait that begins at `now`. When both would at the same moment, the total does. */
  mode(now: number): TimeoutMode {
    return this.#endsAt - now <= this.#blockMs ? 'total' : 'block';
  }

  /** The limit of a mode in milliseconds, for messages. */
  limitMs(mode: TimeoutMode): number {
    return mode === 'block' ? this.#blockMs : this.#totalMs;
  }

  /** Whether a limit is zero: try once, do not wait. */
  get isZero(): boolean {
    return this.#blockMs === 0 || this.#totalMs === 0;
  }

  /** Whether neither limit is set, so that no wait needs a deadline. */
  get unlimited(): boolean {
    return this.#blockMs === Infinity && this.#totalMs === Infinity;
  }
}

/**
 * @returns a limit in milliseconds; `Infinity` for none: undefined or negative.
 * @throws {TypeError | RangeError} when it is no number, or NaN; `name` says which.
 */
export function limit(ms: number | undefined, name: string): number {
  if (ms === undefined) return Infinity;
  // Checked where it was given; but an object can be changed after that, and arithmetic goes on with text and null.
  if (typeof ms !== 'number')
    throw new TypeError(
      `${name} must be a number of milliseconds, not ${typeof ms === 'string' ? JSON.stringify(ms) : String(ms)}`,
    );
  if (ms < 0) return Infinity;
  if (Number.isNaN(ms)) throw new RangeError(`${name} must be a number of milliseconds, not NaN`);
  return ms;
}
