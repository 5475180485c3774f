/** Checks the keys, values and times to live that a session store gets. */

import { KEY_AT_MOST, TTL_AT_MOST_MS, VALUE_AT_MOST } from './store.ts';

/** @throws {RangeError} unless `key` is 1…{@link KEY_AT_MOST} letters of base64url. */
export function checkKey(key: string): void {
  // The message does not contain the key: on a server that resumes by session id, it is text from the peer.
  if (typeof key !== 'string' || !isKey(key))
    throw new RangeError(`the key of a session must have 1…${String(KEY_AT_MOST)} letters of base64url`);
}

/** Whether `key` is 1…{@link KEY_AT_MOST} letters of base64url. */
export function isKey(key: string): boolean {
  return KEY.test(key);
}

/**
 * Checks the arguments of a set.
 * @throws {RangeError} unless the key is valid, `value` has at most {@link VALUE_AT_MOST} bytes, and `ttlMs` is above 0
 * and at most {@link TTL_AT_MOST_MS}.
 */
export function checkEntry(key: string, value: Uint8Array, ttlMs: number): void {
  checkKey(key);
  if (!(value instanceof Uint8Array)) throw new RangeError('the value of a session must be a Uint8Array');
  if (value.length > VALUE_AT_MOST)
    throw new RangeError(
      `the value of a session must have at most ${String(VALUE_AT_MOST)} bytes, not ${String(value.length)}`,
    );
  if (!(ttlMs > 0 && ttlMs <= TTL_AT_MOST_MS))
    throw new RangeError(`ttlMs must be above 0 and at most ${String(TTL_AT_MOST_MS)}, not ${String(ttlMs)}`);
}

const KEY = new RegExp(`^[A-Za-z0-9_-]{1,${String(KEY_AT_MOST)}}$`);
