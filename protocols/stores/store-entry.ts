/** What a session store takes: keys, values and times to live, checked. */

import { KEY_AT_MOST, TTL_AT_MOST_MS, VALUE_AT_MOST } from './store.ts';

/** @throws {RangeError} unless `key` is 1…{@link KEY_AT_MOST} letters of base64url. */
export function checkKey(key: string): void {
  // The key itself stays out of the message: to a server that resumes by session id it is the peer's text.
  if (typeof key !== 'string' || !isKey(key))
    throw new RangeError(`the key of a session has 1…${String(KEY_AT_MOST)} letters of base64url`);
}

/** Whether `key` is 1…{@link KEY_AT_MOST} letters of base64url. */
export function isKey(key: string): boolean {
  return KEY.test(key);
}

/**
 * Checks what is about to be stored.
 * @throws {RangeError} unless the key is one, `value` has at most {@link VALUE_AT_MOST} bytes, and `ttlMs` lies above 0
 * and is at most {@link TTL_AT_MOST_MS}.
 */
export function checkEntry(key: string, value: Uint8Array, ttlMs: number): void {
  checkKey(key);
  if (!(value instanceof Uint8Array)) throw new RangeError('the value of a session is a Uint8Array');
  if (value.length > VALUE_AT_MOST)
    throw new RangeError(
      `the value of a session has at most ${String(VALUE_AT_MOST)} bytes, not ${String(value.length)}`,
    );
  if (!(ttlMs > 0 && ttlMs <= TTL_AT_MOST_MS))
    throw new RangeError(`ttlMs lies above 0 and is at most ${String(TTL_AT_MOST_MS)}, not ${String(ttlMs)}`);
}

const KEY = new RegExp(`^[A-Za-z0-9_-]{1,${String(KEY_AT_MOST)}}$`);
