/** The seam between sessions and where they are kept. */

/**
 * Keeps values by their key for a time: in memory, in files, in another process, on another host. A value is sealed
 * before it comes here; the store never holds the key to it, and what it answers is checked as if an enemy had sent it.
 *
 * No method may block the event loop. One that fails, answers late or answers nonsense costs a full handshake, never an
 * error.
 */
export interface SessionStore {
  /** @returns the value that was set last under `key`; `undefined` when there is none, or its time has passed. */
  get(key: string): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** Keeps `value` for `ttlMs` milliseconds, in the place of what was there. */
  set(key: string, value: Uint8Array, ttlMs: number): Promise<void> | void;
  /** Forgets what is there, if anything is. */
  remove(key: string): Promise<void> | void;
  /** Lets go of what the store holds open; what it keeps stays. Idempotent. */
  close?(): Promise<void> | void;
}

/** A store out of which values can be taken: what is used once, and by one alone, is kept in such a one. */
export interface TakingSessionStore extends SessionStore {
  /**
   * Like `get`, and forgets the value in the same step: of several who take at once, wherever they are, one at most
   * gets it. When this fails, or nobody waits for it any more, the value may be lost.
   */
  take(key: string): Promise<Uint8Array | undefined> | Uint8Array | undefined;
}

/** The most bytes that a key has, all of them of the letters, digits, `-` and `_` of base64url. */
export const KEY_AT_MOST = 64;
/** The most bytes that a value has: a session with a certificate chain fits many times over. */
export const VALUE_AT_MOST = 64 * 1024;
/** The longest time to live, in milliseconds: the seven days of RFC 8446, section 4.6.1. */
export const TTL_AT_MOST_MS = 7 * 24 * 3_600_000;
