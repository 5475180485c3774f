/** Where time comes from. */

/** A monotonic clock. */
export interface Clock {
  /** @returns milliseconds since some fixed moment; never less than at an earlier call. */
  now(): number;
}

/**
 * The lateness that a deadline is allowed, in milliseconds: none fires before its moment, none later than this after it
 * while the loop is free.
 */
export const TICK_MS = 4;
