/** The sessions of clients, by the server that can resume them. */

import type { TimeSource } from '../../../core/clock.ts';
import { checkOptions, countOrNone, span } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import type { ResumptionMiss } from './resumption.ts';
import { TlsSession } from './session.ts';
import { SharedSessions } from './shared-sessions.ts';
import type { StoreStatistics } from './store-guard.ts';
import { clock, secretKey, takingStore } from '../../stores/store-rules.ts';
import type { TakingSessionStore } from '../../stores/store.ts';

/** The options of {@link ClientSessions}. */
export interface ClientSessionsOptions {
  /** For how many servers sessions are kept; 1,000 by default. The least recently used server is dropped first. */
  readonly maxServers?: number | undefined;
  /** How many sessions are kept for each server; 4 by default. At most 16 of them are shared through the store. */
  readonly maxPerServer?: number | undefined;
  /**
   * A store that shares the sessions with other processes or hosts, or keeps them when this process ends. The caller
   * closes it.
   */
  readonly store?: TakingSessionStore | undefined;
  /**
   * 32 secret bytes that encrypt the sessions in the store; required with a store. All processes that share the store
   * need the same bytes.
   */
  readonly storeKey?: Uint8Array | undefined;
  /** How long a handshake waits for the store, in milliseconds; 250 by default. */
  readonly lookupMs?: number | undefined;
  /** The wall clock in milliseconds; `Date.now` by default. */
  readonly now?: (() => number) | undefined;
}

export const CLIENT_SESSIONS_RULES = {
  maxServers: countOrNone(1),
  maxPerServer: countOrNone(1),
  store: takingStore,
  storeKey: secretKey,
  lookupMs: span,
  now: clock,
} satisfies Rules<ClientSessionsOptions>;

/**
 * Keeps a client's sessions until they are used or expire. A session of TLS 1.3 is used once only: otherwise an
 * eavesdropper could see by the ticket that two connections belong to the same client. Several contexts can share one
 * `ClientSessions`: the keys keep sessions of different trust settings apart.
 *
 * With a store, new sessions go to the store, for the next client that connects. A client without a session of its own
 * takes the sessions that are in the store. Under TLS 1.3 the client that takes a session is the only one to use it. A
 * store that fails or is late costs a full handshake.
 */
export class ClientSessions {
  readonly #maxServers: number;
  readonly #maxPerServer: number;
  readonly #now: () => number;
  readonly #lookupMs: number;
  #shared: SharedSessions | undefined;
  /** By key; the most recently used key last. */
  readonly #sessions = new Map<string, TlsSession[]>();
  /** The requests to the store that are under way, by key. */
  readonly #taking = new Map<string, Taking>();
  /** By key, how often a server has refused sessions since it last accepted one; the latest refusal last. */
  readonly #refusals = new Map<string, { readonly inRow: number; readonly restsUntil: number }>();
  #closed = false;

  /** @throws {RangeError | TypeError} when an option is invalid, or only one of `store` and `storeKey` is given. */
  constructor(options: ClientSessionsOptions = {}) {
    checkOptions('new ClientSessions', options, CLIENT_SESSIONS_RULES);
    const { maxServers = 1_000, maxPerServer = 4, store, storeKey, lookupMs = LOOKUP_MS, now = Date.now } = options;
    if ((store === undefined) !== (storeKey === undefined))
      throw new TypeError('shared sessions need both a store and a storeKey');
    this.#maxServers = maxServers;
    this.#maxPerServer = maxPerServer;
    this.#now = now;
    this.#lookupMs = lookupMs;
    this.#shared =
      store === undefined || storeKey === undefined
        ? undefined
        : new SharedSessions({ store, storeKey, lookupMs, slots: maxPerServer });
  }

  /** How many sessions this process holds. */
  get size(): number {
    let size = 0;
    for (const sessions of this.#sessions.values()) size += sessions.length;
    return size;
  }

  /**
   * Keeps a session in this process if it can be resumed. It takes the session over: do not dispose of it.
   * @returns whether the session is kept.
   */
  add(key: string, session: TlsSession): boolean {
    if (!this.#isOfUse(session)) {
      session.dispose();
      return false;
    }
    const sessions = this.#sessions.get(key) ?? [];
    this.#sessions.delete(key);
    this.#sessions.set(key, sessions);
    sessions.push(session);
    if (sessions.length > this.#maxPerServer) sessions.shift()?.dispose();
    if (this.#sessions.size > this.#maxServers)
      for (const oldest of this.#sessions.keys()) {
        this.#drop(oldest);
        break;
      }
    return true;
  }

  /**
   * Takes the newest session of `key` in this process. The caller disposes of it. A session of TLS 1.3 is removed; one
   * of an earlier version stays, and the caller gets a copy.
   * @returns `undefined` when there is none, or the server has refused sessions and is offered none for a while.
   */
  take(key: string): TlsSession | undefined {
    if (this.isResting(key)) return undefined;
    const session = this.#newest(key);
    const sessions = this.#sessions.get(key);
    if (session === undefined || sessions === undefined) return undefined;
    if (session.protocol === 'TLSv1.3') {
      sessions.pop();
      if (sessions.length === 0) this.#sessions.delete(key);
      return session;
    }
    this.#sessions.delete(key);
    this.#sessions.set(key, sessions);
    return session.copy();
  }

  /**
   * Keeps a new session, in the store if there is one. It takes the session over.
   * @internal
   */
  made(key: string, session: TlsSession, time: TimeSource): void {
    // While the server is offered no sessions, keeping one is useless.
    if (this.isResting(key)) session.dispose();
    else if (this.#shared === undefined || !this.#isOfUse(session) || !this.#give(key, session, time))
      this.add(key, session);
    // A session before TLS 1.3 can be used many times, so this process keeps it in addition to the store.
    else if (session.protocol !== 'TLSv1.3') this.add(key, session);
    else session.dispose();
  }

  /**
   * Fetches the sessions of `key` from the store. Sessions that arrive too late are kept for the next connection.
   * @returns `undefined` when there is no store or this process already has a session; otherwise a Promise that
   * resolves with why the store did not answer, or with `undefined` when it did. @internal
   */
  fetch(key: string, time: TimeSource): Promise<ResumptionMiss | undefined> | undefined {
    const shared = this.#shared;
    if (shared === undefined || this.isResting(key) || this.#newest(key) !== undefined) return undefined;
    return shared.ask(() => {
      // Connections that begin at the same time share one request, but only for `lookupMs`: later ones must not wait
      // for a request that hangs.
      const under = this.#taking.get(key);
      if (under !== undefined && time.now() < under.joinedUntil) return under.taken;
      const taking: Taking = { taken: Promise.resolve(), joinedUntil: time.now() + this.#lookupMs, isWanted: true };
      taking.taken = this.#take(shared, key, time, taking);
      this.#taking.set(key, taking);
      const over = (): void => {
        if (this.#taking.get(key) === taking) this.#taking.delete(key);
      };
      taking.taken.then(over, over);
      return taking.taken;
    }, time);
  }

  async #take(shared: SharedSessions, key: string, time: TimeSource, taking: Taking): Promise<void> {
    const ders = await shared.take(key);
    const sessions = ders
      .map(sessionFrom)
      .filter((session) => session !== undefined)
      .sort((one, other) => one.time.getTime() - other.time.getTime());
    for (const der of ders) der.fill(0);
    if (!taking.isWanted) {
      for (const session of sessions) session.dispose();
      return;
    }
    const newest = sessions.at(-1);
    // A session before TLS 1.3 can be used many times: put it back for the other processes.
    if (newest !== undefined && newest.protocol !== 'TLSv1.3' && this.#isOfUse(newest)) this.#give(key, newest, time);
    for (const session of sessions) this.add(key, session);
  }

  /**
   * Removes the sessions of one key, from this process at once and then from the store.
   * @param key as {@link export} returns it.
   * @throws the store's error.
   */
  async forget(key: string): Promise<void> {
    this.#drop(key);
    await this.#shared?.forget(key);
  }

  /**
   * Removes the sessions of one key everywhere, because one of them may have made a connection fail. The store removes
   * them in the background. A server that refuses a second time without accepting one in between is offered no session
   * for a while. @internal
   */
  distrust(key: string, time: TimeSource): void {
    this.#drop(key);
    const taking = this.#taking.get(key);
    if (taking !== undefined) taking.isWanted = false;
    this.#taking.delete(key);
    this.#shared?.erase(key, time);
    const inRow = (this.#refusals.get(key)?.inRow ?? 0) + 1;
    this.#refusals.delete(key);
    const restMs = inRow < REFUSALS_TO_REST ? 0 : Math.min(REST_AT_MOST_MS, REST_MS * 2 ** (inRow - REFUSALS_TO_REST));
    this.#refusals.set(key, { inRow, restsUntil: this.#now() + restMs });
    if (this.#refusals.size > this.#maxServers)
      for (const oldest of this.#refusals.keys()) {
        this.#refusals.delete(oldest);
        break;
      }
  }

  /** The server has accepted a session of `key`. @internal */
  trust(key: string): void {
    this.#refusals.delete(key);
  }

  /** Whether the server has refused so often in a row that it is offered no session for a while. @internal */
  isResting(key: string): boolean {
    const leftMs = (this.#refusals.get(key)?.restsUntil ?? -Infinity) - this.#now();
    // A clock that was set back must not prolong the rest.
    return leftMs > 0 && leftMs <= REST_AT_MOST_MS;
  }

  /** Removes all sessions from this process. */
  clear(): void {
    for (const key of [...this.#sessions.keys()]) this.#drop(key);
  }

  /**
   * Wipes all sessions in this process and the store's key. No session is kept afterwards. It does not close the store.
   */
  close(): void {
    this.#closed = true;
    this.clear();
    this.#shared?.close();
    this.#shared = undefined;
  }

  /** Closes it, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Resolves when every session made so far is in the store or is lost. Call it before the process ends.
   */
  async saved(): Promise<void> {
    await this.#shared?.idle();
  }

  /** Counts of the store; `undefined` when there is none. @param now the reactor's time in milliseconds. */
  statistics(now: number): StoreStatistics | undefined {
    return this.#shared?.statistics(now);
  }

  /**
   * Returns all sessions in this process with their secrets, to keep them when it ends. **They are as secret as the
   * data that they protected.**
   */
  export(): { readonly key: string; readonly der: Uint8Array }[] {
    return [...this.#sessions].flatMap(([key, sessions]) => sessions.map((session) => ({ key, der: session.toDer() })));
  }

  /** Adds sessions that {@link export} returned. Invalid and expired ones are skipped. @returns how many are kept. */
  import(sessions: Iterable<{ readonly key: string; readonly der: Uint8Array }>): number {
    let kept = 0;
    for (const { key, der } of sessions) {
      const session = sessionFrom(der);
      if (session !== undefined && this.add(key, session)) kept++;
    }
    return kept;
  }

  /** @returns the newest session that has not expired. It drops newer sessions that have expired. */
  #newest(key: string): TlsSession | undefined {
    const sessions = this.#sessions.get(key) ?? [];
    for (let session = sessions.at(-1); session !== undefined; session = sessions.at(-1)) {
      if (session.expiresAt.getTime() > this.#now()) return session;
      sessions.pop()?.dispose();
    }
    this.#sessions.delete(key);
    return undefined;
  }

  #isOfUse(session: TlsSession): boolean {
    // A ticket with a lifetime of 0 must be discarded at once (RFC 8446, section 4.6.1).
    const isBornDead = session.hasTicket && session.protocol === 'TLSv1.3' && session.ticketLifetimeHint === 0;
    return !this.#closed && session.resumable && !isBornDead && session.expiresAt.getTime() > this.#now();
  }

  /** @returns whether the save to the store was begun. */
  #give(key: string, session: TlsSession, time: TimeSource): boolean {
    const der = session.toDer();
    const given = this.#shared?.give(key, der, session.expiresAt.getTime() - this.#now(), time) ?? false;
    // The store's value is already encrypted.
    der.fill(0);
    return given;
  }

  #drop(key: string): void {
    for (const session of this.#sessions.get(key) ?? []) session.dispose();
    this.#sessions.delete(key);
  }
}

function sessionFrom(der: Uint8Array): TlsSession | undefined {
  try {
    return TlsSession.fromDer(der);
  } catch {
    return undefined;
  }
}

/** A request for sessions of the store that is under way. */
interface Taking {
  taken: Promise<void>;
  /** Until when other connections wait for this request instead of making their own. */
  readonly joinedUntil: number;
  /** Whether the sessions that arrive are kept. */
  isWanted: boolean;
}

const LOOKUP_MS = 250;
const REFUSALS_TO_REST = 2;
const REST_MS = 60_000;
// Two hours, the default lifetime of sessions.
const REST_AT_MOST_MS = 7_200_000;
