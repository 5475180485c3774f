/** Where time comes from. */

/** A monotonic clock. */
export interface Clock {
  /** @returns milliseconds since some fixed moment; never less than at an earlier call. */
  now(): number;
}

/** A clock with timers. */
export interface TimeSource extends Clock {
  /** Runs `task` once, after `ms` milliseconds; never when `ms` is `Infinity`. @returns a function that cancels it. */
  after(ms: number, task: () => void): () => void;
}

/* * How late a deadline may fire, in milliseconds, as long as no code blocks the loop. It never fires early.
 */
export const TICK_MS = 4;
