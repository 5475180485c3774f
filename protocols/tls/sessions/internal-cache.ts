/** OpenSSL's internal session cache. It belongs to one context, and so to one process. */

import * as c from '../constants.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';

/** Which sessions OpenSSL's internal cache keeps: none, those of client connections, of server connections, or both. */
export type CacheMode = 'off' | 'client' | 'server' | 'both';

/** The options of OpenSSL's internal session cache, which belongs to one context, and so to one process. */
export interface InternalCacheOptions {
  /** Which sessions are kept; by default those of the context's own role. */
  readonly mode?: CacheMode | undefined;
  /** Whether expired sessions are removed after every 255 handshakes; true by default. */
  readonly autoClear?: boolean | undefined;
  /** Whether sessions are looked up in it; true by default. */
  readonly lookup?: boolean | undefined;
  /** Whether sessions are put into it; true by default. */
  readonly store?: boolean | undefined;
  /**
   * OpenSSL's bound for the number of sessions; 20,480 by default, 0 for no bound. OpenSSL makes room before the cache
   * reaches this number, so it keeps at most one session less.
   */
  readonly size?: number | undefined;
}

/** Configures OpenSSL's internal session cache. */
export function setInternalCache(
  pointer: Pointer,
  role: 'client' | 'server',
  { mode = role, autoClear = true, lookup = true, store = true, size }: InternalCacheOptions,
): void {
  const ssl = openssl();
  if (!Object.hasOwn(MODES, mode))
    throw new RangeError(`the mode of a session cache is one of ${Object.keys(MODES).join(', ')}, not ${mode}`);
  const bits =
    MODES[mode] |
    (autoClear ? 0 : c.SSL_SESS_CACHE_NO_AUTO_CLEAR) |
    (lookup ? 0 : c.SSL_SESS_CACHE_NO_INTERNAL_LOOKUP) |
    (store ? 0 : c.SSL_SESS_CACHE_NO_INTERNAL_STORE);
  ssl.SSL_CTX_ctrl(pointer, c.SSL_CTRL_SET_SESS_CACHE_MODE, bits, 0);
  if (size === undefined) return;
  checkSize(size);
  ssl.SSL_CTX_ctrl(pointer, c.SSL_CTRL_SET_SESS_CACHE_SIZE, size, 0);
}

/** @throws {RangeError} when `size` is not a whole number ≥ 0. */
export function checkSize(size: number): void {
  if (!Number.isInteger(size) || size < 0)
    throw new RangeError(`the size of a session cache is a whole number ≥ 0, not ${String(size)}`);
}

const MODES: Record<CacheMode, number> = {
  off: c.SSL_SESS_CACHE_OFF,
  client: c.SSL_SESS_CACHE_CLIENT,
  server: c.SSL_SESS_CACHE_SERVER,
  both: c.SSL_SESS_CACHE_BOTH,
};
