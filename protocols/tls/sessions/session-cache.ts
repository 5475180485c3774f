/** The sessions of a context: OpenSSL's internal cache, events and statistics. */

import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';

import { ClosedError } from '../../../core/errors.ts';
import * as c from '../constants.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { FailedSessions } from './failed-sessions.ts';
import type { Resumption } from './resumption.ts';
import { ResumptionCounts } from './resumption.ts';
import { cachedSessions, listenForRemovals, listenNoMore } from './internal-cache-callbacks.ts';
import { checkSize } from './internal-cache.ts';
import type { CacheMode } from './internal-cache.ts';
import { scopeFor } from './name-scope.ts';
import { lifetime, TlsSession } from './session.ts';
import type { TicketKeys, TicketStatistics } from './ticket-keys.ts';
import type { StoreStatistics } from './store-guard.ts';
import type { Vault } from './vault.ts';

/** Counts of a context since it was made. Most are OpenSSL's. */
export interface SessionStatistics {
  /** Sessions in OpenSSL's internal cache. */
  readonly number: number;
  /** Handshakes that were begun as a client. */
  readonly connect: number;
  /** Handshakes that were completed as a client. */
  readonly connectGood: number;
  /** Renegotiations that were begun as a client. */
  readonly connectRenegotiated: number;
  /** Handshakes that were begun as a server. */
  readonly accept: number;
  /** Handshakes that were completed as a server. */
  readonly acceptGood: number;
  /** Renegotiations that were begun as a server. */
  readonly acceptRenegotiated: number;
  /** Sessions that were resumed. */
  readonly hits: number;
  /** Sessions from a store that were resumed. */
  readonly callbackHits: number;
  /** Sessions that clients offered and the server did not find. */
  readonly misses: number;
  /** Sessions that were found but had expired. */
  readonly timeouts: number;
  /** Sessions that were dropped because the cache was full. */
  readonly cacheFull: number;
  /** How many connections had each outcome of resumption. */
  readonly resumption: Readonly<Partial<Record<Resumption, number>>>;
  /** Counts of tickets; `undefined` when the context makes none. */
  readonly tickets: TicketStatistics | undefined;
  /** Counts of the store; `undefined` when there is none. */
  readonly store: StoreStatistics | undefined;
}

/** What a context gives to its cache. */
export interface SessionCacheParts {
  readonly pointer: Pointer;
  /** The scope of the context, 32 bytes. */
  readonly scope: Uint8Array;
  readonly vault: Vault | undefined;
  readonly ticketKeys: TicketKeys | undefined;
  readonly now: () => number;
}

/** The sessions of one context. */
export class SessionCache {
  /** The outcomes of resumption. @internal */
  readonly counts = new ResumptionCounts();
  /** The sessions that may have made a connection fail. @internal */
  readonly failed = new FailedSessions();
  readonly #parts: SessionCacheParts;
  readonly #new = new Subject<TlsSession>();
  readonly #removed = new Subject<string>();
  #idContext: Uint8Array = new Uint8Array(0);
  /** The scopes of connections by server name; emptied when there are too many names. */
  readonly #scopes = new Map<string | undefined, Uint8Array>();
  #closed = false;

  /** @internal */
  constructor(parts: SessionCacheParts) {
    this.#parts = parts;
    listenForRemovals(parts.pointer, this);
  }

  /**
   * Emits a copy of each new session; on a server only stateful ones. The subscriber disposes of the copy.
   */
  get new$(): Observable<TlsSession> {
    return this.#new.asObservable();
  }

  /** Emits the id, in hexadecimal, of each session that leaves OpenSSL's internal cache. */
  get remove$(): Observable<string> {
    return this.#removed.asObservable();
  }

  /** Which sessions OpenSSL's internal cache keeps. */
  get mode(): CacheMode {
    const bits = this.#control(c.SSL_CTRL_GET_SESS_CACHE_MODE, 0) & c.SSL_SESS_CACHE_BOTH;
    return bits === c.SSL_SESS_CACHE_BOTH
      ? 'both'
      : bits === c.SSL_SESS_CACHE_SERVER
        ? 'server'
        : bits === c.SSL_SESS_CACHE_CLIENT
          ? 'client'
          : 'off';
  }

  /** OpenSSL's bound for its internal cache, which keeps at most one session less; 0 for no bound. */
  get size(): number {
    return this.#control(c.SSL_CTRL_GET_SESS_CACHE_SIZE, 0);
  }

  set size(size: number) {
    checkSize(size);
    this.#control(c.SSL_CTRL_SET_SESS_CACHE_SIZE, size);
  }

  /** How long new sessions can be resumed, in seconds; at most seven days. */
  get timeoutSeconds(): number {
    return openssl().SSL_CTX_get_timeout(this.#pointer);
  }

  set timeoutSeconds(seconds: number) {
    openssl().SSL_CTX_set_timeout(this.#pointer, lifetime(seconds));
  }

  /** Adds a session to OpenSSL's internal cache. @returns whether it is there now and was not before. */
  add(session: TlsSession): boolean {
    return session.lend((pointer) => {
      const wasThere = this.#kept(pointer) !== 0;
      return openssl().SSL_CTX_add_session(this.#pointer, pointer) === 1 && !wasThere;
    });
  }

  /**
   * Removes a session from OpenSSL's internal cache, so that no connection can resume it from there.
   * @returns whether it was there.
   */
  remove(session: TlsSession): boolean {
    // OpenSSL removes only the object that it keeps, not an equal one.
    const kept = session.lend((pointer) => this.#kept(pointer));
    return kept !== 0 && openssl().SSL_CTX_remove_session(this.#pointer, kept) === 1;
  }

  /** @returns a session in OpenSSL's internal cache by its id in hexadecimal, as a copy. */
  get(id: string): TlsSession | undefined {
    const kept = cachedSessions(this.#pointer).find((pointer) => idOf(pointer) === id.toLowerCase());
    return kept === undefined ? undefined : TlsSession.of(kept);
  }

  /** @returns the sessions in OpenSSL's internal cache, as copies. */
  list(): TlsSession[] {
    return cachedSessions(this.#pointer).map(TlsSession.of);
  }

  /** Removes the sessions that have expired at `when` from OpenSSL's internal cache. */
  flushExpired(when = new Date()): void {
    openssl().SSL_CTX_flush_sessions(this.#pointer, Math.max(1, Math.floor(when.getTime() / 1000)));
  }

  /** Empties OpenSSL's internal cache, so that clients make full handshakes again. */
  flushAll(): void {
    openssl().SSL_CTX_flush_sessions(this.#pointer, 0);
  }

  /**
   * Revokes a session: removes it from the store and from OpenSSL's internal cache. Tickets cannot be revoked.
   * @throws the store's error.
   */
  async revoke(session: TlsSession): Promise<void> {
    this.remove(session);
    await this.#parts.vault?.remove(Buffer.from(session.id, 'hex'));
  }

  /**
   * Resolves when every session made so far is in the store or is lost. Call it before the process ends.
   */
  async saved(): Promise<void> {
    await this.#parts.vault?.idle();
  }

  /**
   * The session id context, at most 32 bytes. It distinguishes the sessions of this context from those of others, in
   * addition to the digest of the settings and the server's name.
   */
  get idContext(): Uint8Array {
    return this.#idContext;
  }

  set idContext(context: Uint8Array) {
    if (context.length > 32)
      throw new RangeError(`a session id context has at most 32 bytes, not ${String(context.length)}`);
    this.#idContext = Uint8Array.from(context);
    this.#scopes.clear();
    // Servers mix it into the scope of each connection. On a client, OpenSSL uses this value alone: it refuses sessions
    // with another one.
    openssl().SSL_CTX_set_session_id_context(this.#pointer, context, context.length);
  }

  get statistics(): SessionStatistics {
    const count = (what: number): number => this.#control(what, 0);
    return {
      number: count(c.SSL_CTRL_SESS_NUMBER),
      connect: count(c.SSL_CTRL_SESS_CONNECT),
      connectGood: count(c.SSL_CTRL_SESS_CONNECT_GOOD),
      connectRenegotiated: count(c.SSL_CTRL_SESS_CONNECT_RENEGOTIATE),
      accept: count(c.SSL_CTRL_SESS_ACCEPT),
      acceptGood: count(c.SSL_CTRL_SESS_ACCEPT_GOOD),
      acceptRenegotiated: count(c.SSL_CTRL_SESS_ACCEPT_RENEGOTIATE),
      hits: count(c.SSL_CTRL_SESS_HIT),
      callbackHits: count(c.SSL_CTRL_SESS_CB_HIT),
      misses: count(c.SSL_CTRL_SESS_MISSES),
      timeouts: count(c.SSL_CTRL_SESS_TIMEOUTS),
      cacheFull: count(c.SSL_CTRL_SESS_CACHE_FULL),
      resumption: this.counts.snapshot(),
      tickets: this.#parts.ticketKeys?.statistics,
      store: this.#parts.vault?.statistics(this.#parts.now()),
    };
  }

  /** @returns the scope of a connection to one of the server's names, 32 bytes. @internal */
  scopeFor(serverName: string | undefined): Uint8Array {
    let scope = this.#scopes.get(serverName);
    if (scope === undefined) {
      scope = scopeFor(this.#parts.scope, serverName, this.#idContext);
      // Clients choose the names, so the map must be bounded.
      if (this.#scopes.size >= SCOPES_AT_MOST) this.#scopes.clear();
      this.#scopes.set(serverName, scope);
    }
    return scope;
  }

  /** Puts a session back that OpenSSL has just removed, if its internal cache is in use. @internal */
  restore(session: Pointer): void {
    if (this.#closed) return;
    const bits = this.#control(c.SSL_CTRL_GET_SESS_CACHE_MODE, 0);
    if (
      (bits & c.SSL_SESS_CACHE_SERVER) === 0 ||
      (bits & c.SSL_SESS_CACHE_NO_INTERNAL_STORE) !== 0 ||
      this.#kept(session) !== 0
    )
      return;
    // OpenSSL has marked the removed object as not resumable; a copy is not marked.
    const copy = TlsSession.of(session);
    this.add(copy);
    copy.dispose();
  }

  /** Whether {@link new$} has subscribers. @internal */
  get isObserved(): boolean {
    return this.#new.observed;
  }

  /** Emits a new session. @internal */
  made(session: TlsSession): void {
    // A copy, because a subscriber may dispose of it.
    if (this.#new.observed) this.#new.next(session.copy());
  }

  /** OpenSSL has removed a session from its cache. Called while OpenSSL is on the stack. @internal */
  left(session: Pointer): void {
    if (this.#closed || !this.#removed.observed) return;
    const id = idOf(session);
    setImmediate(() => {
      this.#removed.next(id);
    });
  }

  /** Completes the observables, because the context is closed. @internal */
  close(): void {
    this.#closed = true;
    listenNoMore(this.#parts.pointer);
    this.#new.complete();
    this.#removed.complete();
  }

  get #pointer(): Pointer {
    if (this.#closed) throw new ClosedError('the TLS context is closed');
    return this.#parts.pointer;
  }

  #control(command: number, value: number): number {
    return openssl().SSL_CTX_ctrl(this.#pointer, command, value, 0);
  }

  /** @returns the object in OpenSSL's cache for the same session; 0 when there is none. */
  #kept(session: Pointer): Pointer {
    const ssl = openssl();
    return ssl.OPENSSL_LH_retrieve(ssl.SSL_CTX_sessions(this.#pointer), session);
  }
}

function idOf(session: Pointer): string {
  const ssl = openssl();
  const length = new Uint32Array(1);
  const address = ssl.SSL_SESSION_get_id(session, length);
  return Buffer.from(ssl.copyOf(address, length[0])).toString('hex');
}

const SCOPES_AT_MOST = 256;
