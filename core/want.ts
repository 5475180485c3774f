/** What an operation waits for, and the numbers by which transports say it without allocating. */

/**
 * What an operation waits for before it can go on. `'lookup'` is a handshake paused for an answer from elsewhere,
 * such as a session store.
 */
export type Want = 'read' | 'write' | 'lookup';

/** The stream ended cleanly: there is no more to read. */
export const END = -1;
/** Nothing can be done until the channel is readable. */
export const WANT_READ = -2;
/** Nothing can be done until the channel is writable. */
export const WANT_WRITE = -3;
/** Nothing can be done until a look-up is answered. */
export const WANT_LOOKUP = -4;
/** The step is complete. */
export const DONE = -5;
/** No want, and not done: the step gave way to others and goes on in the next turn. */
export const YIELD = -6;

/** A want, as transports return it. */
export type WantCode = typeof WANT_READ | typeof WANT_WRITE | typeof WANT_LOOKUP;

/** A step's answer: complete, or what it wants before it can go on. */
export type StepCode = typeof DONE | WantCode;

/** @returns the word for a want code. */
export function wantOf(code: WantCode): Want {
  return code === WANT_READ ? 'read' : code === WANT_WRITE ? 'write' : 'lookup';
}

/**
 * @returns whether `code`, as returned by a transport, is a want: neither a count, nor {@link END}, nor {@link DONE}.
 */
export function isWant(code: number): code is WantCode {
  return code <= WANT_READ && code >= WANT_LOOKUP;
}
