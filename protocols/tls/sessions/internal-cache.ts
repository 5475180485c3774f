/** OpenSSL's own cache of sessions: inside of one context, and so of one process. */

import * as c from '../constants.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';

/** Which sessions OpenSSL's own cache keeps: of nobody, of this side as a client, as a server, or both. */
export type CacheMode = 'off' | 'client' | 'server' | 'both';

/** OpenSSL's own cache: inside of one context, and so of one process. */
export interface InternalCacheOptions {
  /** Which sessions are kept; those of the context's own role unless given. */
  readonly mode?: CacheMode | undefined;
  /** Whether expired ones are cleared out after every 255 handshakes; true by default. */
  readonly autoClear?: boolean | undefined;
  /** Whether sessions are looked for in it; true by default. */
  readonly lookup?: boolean | undefined;
  /** Whether sessions are put into it; true by default. */
  readonly store?: boolean | undefined;
  /**
   * How many are too many; 20,480 by default, 0 for no bound. OpenSSL makes room when there would be as many: it keeps
   * one less.
   */
  readonly size?: number | undefined;
}

/** Sets up OpenSSL's own cache. */
export function setInternalCache(
  pointer: Pointer,
  role: 'client' | 'server',
  { mode = role, autoClear = true, lookup = true, store = true, size }: InternalCacheOptions,
): void {
  const ssl = openssl();
  if (!Object.hasOwn(MODES, mode))
    throw new RangeError(`the mode of a cache is one of ${Object.keys(MODES).join(', ')}, not ${mode}`);
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

/** @throws {RangeError} */
export function checkSize(size: number): void {
  if (!Number.isInteger(size) || size < 0)
    throw new RangeError(`the size of a cache is a whole number ≥ 0, not ${String(size)}`);
}

const MODES: Record<CacheMode, number> = {
  off: c.SSL_SESS_CACHE_OFF,
  client: c.SSL_SESS_CACHE_CLIENT,
  server: c.SSL_SESS_CACHE_SERVER,
  both: c.SSL_SESS_CACHE_BOTH,
};
