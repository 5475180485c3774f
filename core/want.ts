/** What an operation waits for, and the result codes of transports. They are numbers, so that no call allocates. */

/**
 * What an operation waits for before it can continue. `'lookup'` means that the handshake is paused until an
 * asynchronous answer comes, for example from a session store.
 */
export type Want = 'read' | 'write' | 'lookup';

/** The stream ended cleanly: there is no more to read. */
export const END = -1;
/** The call can do nothing until the channel is readable. */
export const WANT_READ = -2;
/** The call can do nothing until the channel is writable. */
export const WANT_WRITE = -3;
/** The call can do nothing until a look-up is answered. */
export const WANT_LOOKUP = -4;
/** The step is complete. */
export const DONE = -5;
/** Neither complete nor waiting: the step lets others run, and continues in the next turn. */
export const YIELD = -6;

/** A want, as transports return it. */
export type WantCode = typeof WANT_READ | typeof WANT_WRITE | typeof WANT_LOOKUP;

/** The result of a step: complete, or the want that stops it. */
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
