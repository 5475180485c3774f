/** Where time comes from. */

/** A monotonic clock. */
export interface Clock {
  /** @returns milliseconds since some fixed moment; never less than at an earlier call. */
  now(): number;
}

/** The present, and a way to wait. */
export interface TimeSource extends Clock {
  /** Runs `task` once, in `ms` milliseconds; never when that is `Infinity`. @returns how to cancel it. */
  after(ms: number, task: () => void): () => void;
}

/**
 * The lateness that a deadline is allowed, in milliseconds: none fires before its moment, none later than this after it
 * while the loop is free.
 */
export const TICK_MS = 4;
