/** The sessions of a client, by where they can be used again. */

import { TlsSession } from './session.ts';

/** How many are kept. */
export interface ClientSessionsOptions {
  /** How many servers; the one that was not used for the longest time goes first. 1,000 by default. */
  readonly maxServers?: number | undefined;
  /** How many sessions of each; 4 by default. */
  readonly maxPerServer?: number | undefined;
  /** The wall clock in milliseconds; `Date.now` unless given. */
  readonly now?: (() => number) | undefined;
}

/**
 * Keeps a client's sessions until they are used or too old. Those of TLS 1.3 are given out once, so that nobody who listens can tell
 * by the ticket that two connections are of the same client. Several contexts may share one: their keys tell them apart.
 */
export class ClientSessions {
  readonly #maxServers: number;
  readonly #maxPerServer: number;
  readonly #now: () => number;
  /** By key; the one used last stands last. */
  readonly #sessions = new Map<string, TlsSession[]>();

  /** @throws {RangeError} when a number is not at least 1. */
  constructor({ maxServers = 1_000, maxPerServer = 4, now = Date.now }: ClientSessionsOptions = {}) {
    if (!(maxServers >= 1) || !(maxPerServer >= 1)) throw new RangeError('maxServers and maxPerServer are at least 1');
    this.#maxServers = maxServers;
    this.#maxPerServer = maxPerServer;
    this.#now = now;
  }

  /** How many sessions there are. */
  get size(): number {
    let size = 0;
    for (const sessions of this.#sessions.values()) size += sessions.length;
    return size;
  }

  /** Keeps a session that can be used again, and takes it over. @returns whether it is kept. */
  add(key: string, session: TlsSession): boolean {
    // A ticket of no lifetime is to be thrown away at once (RFC 8446, section 4.6.1).
    const isUseless = !session.resumable || (session.hasTicket && session.protocol === 'TLSv1.3' && session.ticketLifetimeHint === 0) || session.expiresAt.getTime() <= this.#now();
    if (isUseless) {
      session.dispose();
      return false;
    }
    const sessions = this.#sessions.get(key) ?? [];
    this.#sessions.delete(key);
    this.#sessions.set(key, sessions);
    sessions.push(session);
    if (sessions.length > this.#maxPerServer) sessions.shift()?.dispose();
    if (this.#sessions.size > this.#maxServers) for (const oldest of this.#sessions.keys()) {
      this.forget(oldest);
      break;
    }
    return true;
  }

  /** The newest session for `key`: a copy, the caller's to dispose of. One of TLS 1.3 is not kept any more. */
  take(key: string): TlsSession | undefined {
    const sessions = this.#sessions.get(key);
    if (sessions === undefined) return undefined;
    for (let session = sessions.pop(); session !== undefined; session = sessions.pop()) {
      if (session.expiresAt.getTime() <= this.#now()) {
        session.dispose();
        continue;
      }
      if (session.protocol === 'TLSv1.3') {
        if (sessions.length === 0) this.#sessions.delete(key);
        return session;
      }
      sessions.push(session);
      this.#sessions.delete(key);
      this.#sessions.set(key, sessions);
      return session.copy();
    }
    this.#sessions.delete(key);
    return undefined;
  }

  /** Forgets the sessions of one key. */
  forget(key: string): void {
    for (const session of this.#sessions.get(key) ?? []) session.dispose();
    this.#sessions.delete(key);
  }

  /** Forgets all of them. */
  clear(): void {
    for (const key of [...this.#sessions.keys()]) this.forget(key);
  }

  /** All of them with their secrets, for keeping them beyond the process's life: **as secret as what they protected.** */
  export(): { readonly key: string; readonly der: Uint8Array }[] {
    return [...this.#sessions].flatMap(([key, sessions]) => sessions.map((session) => ({ key, der: session.toDer() })));
  }

  /** Takes in what {@link export} gave; what cannot be read or is too old is left out. @returns how many were kept. */
  import(sessions: Iterable<{ readonly key: string; readonly der: Uint8Array }>): number {
    let kept = 0;
    for (const { key, der } of sessions) {
      let session;
      try {
        session = TlsSession.fromDer(der);
      } catch {
        continue;
      }
      if (this.add(key, session)) kept++;
    }
    return kept;
  }
}
