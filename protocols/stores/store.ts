/** The interface between sessions and the places where they are stored. */

/**
 * Keeps values by key for a limited time: in memory, in files, in another process, or on another host. Values are
 * encrypted before they reach the store, and the store never has the key. Its answers are checked as if an attacker had
 * sent them.
 *
 * No method may block the event loop. A store that fails, answers late or returns an invalid value costs a full
 * handshake, but never fails a connection.
 */
export interface SessionStore {
  /** @returns the value that was set last under `key`; `undefined` when there is none or it has expired. */
  get(key: string): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** Stores `value` for `ttlMs` milliseconds, and replaces an earlier value. */
  set(key: string, value: Uint8Array, ttlMs: number): Promise<void> | void;
  /** Removes the value, if there is one. */
  remove(key: string): Promise<void> | void;
  /** Releases files and connections. The values stay stored. Idempotent. */
  close?(): Promise<void> | void;
}

/** A store with `take`, for values that may be used once only, such as the sessions of TLS 1.3 clients. */
export interface TakingSessionStore extends SessionStore {
  /**
   * Like `get`, but it also removes the value in the same atomic step: of several concurrent takes, in any process, at
   * most one gets the value. When it fails or times out, the value may be lost.
   */
  take(key: string): Promise<Uint8Array | undefined> | Uint8Array | undefined;
}

/** The longest key, in bytes. Keys consist of the letters, digits, `-` and `_` of base64url. */
export const KEY_AT_MOST = 64;
/** The longest value, in bytes: many times the size of a session with a certificate chain. */
export const VALUE_AT_MOST = 64 * 1024;
/** The longest time to live, in milliseconds: seven days (RFC 8446, section 4.6.1). */
export const TTL_AT_MOST_MS = 7 * 24 * 3_600_000;
