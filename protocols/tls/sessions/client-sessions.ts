/** The sessions of a client, by where they can be used again. */

import type { TimeSource } from '../../../core/clock.ts';
import { checkOptions, countOrNone, span } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import type { ResumptionMiss } from './resumption.ts';
import { TlsSession } from './session.ts';
import { SharedSessions } from './shared-sessions.ts';
import type { StoreStatistics } from './store-guard.ts';
import { clock, secretKey, takingStore } from '../../stores/store-rules.ts';
import type { TakingSessionStore } from '../../stores/store.ts';

/** How many are kept, and where. */
export interface ClientSessionsOptions {
  /** How many servers; the one that was not used for the longest time goes first. 1,000 by default. */
  readonly maxServers?: number | undefined;
  /** How many sessions of each; 4 by default, and at most 16 of them are shared. */
  readonly maxPerServer?: number | undefined;
  /**
   * Where to share sessions with other processes or hosts, or to keep them beyond this process's life. It stays its
   * owner's to close.
   */
  readonly store?: TakingSessionStore | undefined;
  /** 32 secret bytes that seal the sessions in the store; the same for all who share it. Must be given with a store. */
  readonly storeKey?: Uint8Array | undefined;
  /** How long a handshake waits for the store, in milliseconds; 250 by default. */
  readonly lookupMs?: number | undefined;
  /** The wall clock in milliseconds; `Date.now` unless given. */
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
 * Keeps a client's sessions until they are used or too old. Those of TLS 1.3 are given out once, so that nobody who
 * listens can tell by the ticket that two connections are of the same client. Several contexts may share one: their
 * keys tell them apart.
 *
 * With a store new sessions go there, for whoever connects next; a client that has none of its own takes what is there.
 * One that has taken a session is the only one to use it under TLS 1.3. A store that fails or is late costs a full
 * handshake.
 */
export class ClientSessions {
  readonly #maxServers: number;
  readonly #maxPerServer: number;
  readonly #now: () => number;
  readonly #lookupMs: number;
  #shared: SharedSessions | undefined;
  /** By key; the one used last stands last. */
  readonly #sessions = new Map<string, TlsSession[]>();
  /** What is being taken out of the store, by key. */
  readonly #taking = new Map<string, Taking>();
  /** The servers that have refused sessions since they took one last; the one that did so last stands last. */
  readonly #refusals = new Map<string, { readonly inRow: number; readonly restsUntil: number }>();
  #closed = false;

  /** @throws {RangeError | TypeError} when an option makes no sense. */
  constructor(options: ClientSessionsOptions = {}) {
    checkOptions('new ClientSessions', options, CLIENT_SESSIONS_RULES);
    const { maxServers = 1_000, maxPerServer = 4, store, storeKey, lookupMs = LOOKUP_MS, now = Date.now } = options;
    if ((store === undefined) !== (storeKey === undefined))
      throw new TypeError('shared sessions need both a store and its storeKey');
    this.#maxServers = maxServers;
    this.#maxPerServer = maxPerServer;
    this.#now = now;
    this.#lookupMs = lookupMs;
    this.#shared =
      store === undefined || storeKey === undefined
        ? undefined
        : new SharedSessions({ store, storeKey, lookupMs, slots: maxPerServer });
  }

  /** How many sessions there are in this process. */
  get size(): number {
    let size = 0;
    for (const sessions of this.#sessions.values()) size += sessions.length;
    return size;
  }

  /** Keeps a session in this process if it can be used again, and takes it over. @returns whether it is kept. */
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
   * The newest session for `key` in this process: a copy, the caller's to dispose of. One of TLS 1.3 is not kept any
   * more.
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
   * Keeps a session that was just made, where others can take it too when there is such a place, and takes it over.
   * @internal
   */
  made(key: string, session: TlsSession, time: TimeSource): void {
    // It would be offered to nobody.
    if (this.isResting(key)) session.dispose();
    else if (this.#shared === undefined || !this.#isOfUse(session) || !this.#give(key, session, time))
      this.add(key, session);
    // It may be used again and again, by this process and the others.
    else if (session.protocol !== 'TLSv1.3') this.add(key, session);
    else session.dispose();
  }

  /**
   * Fetches what others have left for `key`; `undefined` when there is no such place, or something is here already.
   * What comes too late is kept for the next time.
   * @returns why the store did not answer, if it did not. @internal
   */
  fetch(key: string, time: TimeSource): Promise<ResumptionMiss | undefined> | undefined {
    const shared = this.#shared;
    if (shared === undefined || this.isResting(key) || this.#newest(key) !== undefined) return undefined;
    return shared.ask(() => {
      // Many that connect at the same time ask once; but nobody waits for what others wait for in vain.
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
    // One that may be used again and again is for the others as well.
    if (newest !== undefined && newest.protocol !== 'TLSv1.3' && this.#isOfUse(newest)) this.#give(key, newest, time);
    for (const session of sessions) this.add(key, session);
  }

  /**
   * Forgets the sessions of one key, as {@link export} tells it, in this process at once and then in the store.
   * @throws what the store throws.
   */
  async forget(key: string): Promise<void> {
    this.#drop(key);
    await this.#shared?.forget(key);
  }

  /**
   * Forgets the sessions of one key wherever they are, for one of them has made a connection fail. The store forgets in
   * its own time. A server that refuses again, and has taken none in between, is offered none for a while. @internal
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

  /** The server has taken a session of `key`. @internal */
  trust(key: string): void {
    this.#refusals.delete(key);
  }

  /** Whether the server has refused so many in a row that it is offered none for a while. @internal */
  isResting(key: string): boolean {
    const leftMs = (this.#refusals.get(key)?.restsUntil ?? -Infinity) - this.#now();
    // A clock that was set back must not make it last.
    return leftMs > 0 && leftMs <= REST_AT_MOST_MS;
  }

  /** Forgets all that are in this process. */
  clear(): void {
    for (const key of [...this.#sessions.keys()]) this.#drop(key);
  }

  /**
   * Wipes all that are in this process, and the key to the store, which is its owner's to close. Nothing is kept from
   * then on.
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
   * Resolves when every session that was made so far has come to the store, or was given up: for the end of a process.
   */
  async saved(): Promise<void> {
    await this.#shared?.idle();
  }

  /** How the store fared, when there is one. @param now the reactor's time. */
  statistics(now: number): StoreStatistics | undefined {
    return this.#shared?.statistics(now);
  }

  /**
   * All that are in this process with their secrets, for keeping them beyond its life: **as secret as what they
   * protected.**
   */
  export(): { readonly key: string; readonly der: Uint8Array }[] {
    return [...this.#sessions].flatMap(([key, sessions]) => sessions.map((session) => ({ key, der: session.toDer() })));
  }

  /** Takes in what {@link export} gave; what cannot be read or is too old is left out. @returns how many were kept. */
  import(sessions: Iterable<{ readonly key: string; readonly der: Uint8Array }>): number {
    let kept = 0;
    for (const { key, der } of sessions) {
      const session = sessionFrom(der);
      if (session !== undefined && this.add(key, session)) kept++;
    }
    return kept;
  }

  /** The newest that has not expired; those that have are thrown away on the way. */
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
    // A ticket of no lifetime is to be thrown away at once (RFC 8446, section 4.6.1).
    const isBornDead = session.hasTicket && session.protocol === 'TLSv1.3' && session.ticketLifetimeHint === 0;
    return !this.#closed && session.resumable && !isBornDead && session.expiresAt.getTime() > this.#now();
  }

  /** @returns whether the store is well enough to try. */
  #give(key: string, session: TlsSession, time: TimeSource): boolean {
    const der = session.toDer();
    const given = this.#shared?.give(key, der, session.expiresAt.getTime() - this.#now(), time) ?? false;
    // It is sealed by now.
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

/** Sessions that are being taken out of the store. */
interface Taking {
  taken: Promise<void>;
  /** Until when others wait for the same. */
  readonly joinedUntil: number;
  /** Whether what comes is kept. */
  isWanted: boolean;
}

const LOOKUP_MS = 250;
const REFUSALS_TO_REST = 2;
const REST_MS = 60_000;
// As long as sessions live by default.
const REST_AT_MOST_MS = 7_200_000;
