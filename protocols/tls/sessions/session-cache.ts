/** The sessions of a context: OpenSSL's own cache in it, and what is told of them. */

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

/** Counts of OpenSSL's, since the context was made. */
export interface SessionStatistics {
  /** Sessions in OpenSSL's own cache. */
  readonly number: number;
  /** Handshakes begun, completed, and begun anew, as a client. */
  readonly connect: number;
  readonly connectGood: number;
  readonly connectRenegotiated: number;
  /** The same as a server. */
  readonly accept: number;
  readonly acceptGood: number;
  readonly acceptRenegotiated: number;
  /** Sessions that were gone on with. */
  readonly hits: number;
  /** Those of them that came from a store. */
  readonly callbackHits: number;
  /** Sessions that clients offered and that were not found. */
  readonly misses: number;
  /** Sessions that were found and had expired. */
  readonly timeouts: number;
  /** Sessions that were dropped because the cache was full. */
  readonly cacheFull: number;
  /** What came of the wish to go on with a session, by outcome. */
  readonly resumption: Readonly<Partial<Record<Resumption, number>>>;
  /** Tickets, when they are used. */
  readonly tickets: TicketStatistics | undefined;
  /** The store, when there is one. */
  readonly store: StoreStatistics | undefined;
}

/** What the cache of a context is made of. */
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
  /** What came of the wish to go on with sessions. @internal */
  readonly counts = new ResumptionCounts();
  /** The sessions that have made a connection fail. @internal */
  readonly failed = new FailedSessions();
  readonly #parts: SessionCacheParts;
  readonly #new = new Subject<TlsSession>();
  readonly #removed = new Subject<string>();
  #idContext: Uint8Array = new Uint8Array(0);
  /** The scopes of connections by server name, as long as they are the names of a few. */
  readonly #scopes = new Map<string | undefined, Uint8Array>();
  #closed = false;

  /** @internal */
  constructor(parts: SessionCacheParts) {
    this.#parts = parts;
    listenForRemovals(parts.pointer, this);
  }

  /** Each session as it is made; of a server the stateful ones. */
  get new$(): Observable<TlsSession> {
    return this.#new.asObservable();
  }

  /** The id of each session that leaves OpenSSL's own cache, in hexadecimal. */
  get remove$(): Observable<string> {
    return this.#removed.asObservable();
  }

  /** Which sessions OpenSSL's own cache keeps. */
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

  /** How many sessions are too many for OpenSSL's own cache, which keeps one less; 0 for no bound. */
  get size(): number {
    return this.#control(c.SSL_CTRL_GET_SESS_CACHE_SIZE, 0);
  }

  set size(size: number) {
    checkSize(size);
    this.#control(c.SSL_CTRL_SET_SESS_CACHE_SIZE, size);
  }

  /** How long new sessions live, in seconds; at most seven days. */
  get timeoutSeconds(): number {
    return openssl().SSL_CTX_get_timeout(this.#pointer);
  }

  set timeoutSeconds(seconds: number) {
    openssl().SSL_CTX_set_timeout(this.#pointer, lifetime(seconds));
  }

  /** @returns whether `session` is now in OpenSSL's own cache and was not before. */
  add(session: TlsSession): boolean {
    return session.lend((pointer) => {
      const wasThere = this.#kept(pointer) !== 0;
      return openssl().SSL_CTX_add_session(this.#pointer, pointer) === 1 && !wasThere;
    });
  }

  /**
   * Takes a session out of OpenSSL's own cache, so that no connection goes on with it any more;
   * @returns whether it was there.
   */
  remove(session: TlsSession): boolean {
    // OpenSSL removes only the very object that it keeps.
    const kept = session.lend((pointer) => this.#kept(pointer));
    return kept !== 0 && openssl().SSL_CTX_remove_session(this.#pointer, kept) === 1;
  }

  /** A session of OpenSSL's own cache by its id, in hexadecimal. */
  get(id: string): TlsSession | undefined {
    const kept = cachedSessions(this.#pointer).find((pointer) => idOf(pointer) === id.toLowerCase());
    return kept === undefined ? undefined : TlsSession.of(kept);
  }

  /** The sessions in OpenSSL's own cache. */
  list(): TlsSession[] {
    return cachedSessions(this.#pointer).map(TlsSession.of);
  }

  /** Removes what has expired at `when` from OpenSSL's own cache. */
  flushExpired(when = new Date()): void {
    openssl().SSL_CTX_flush_sessions(this.#pointer, Math.max(1, Math.floor(when.getTime() / 1000)));
  }

  /** Empties OpenSSL's own cache: every client has to prove itself again. */
  flushAll(): void {
    openssl().SSL_CTX_flush_sessions(this.#pointer, 0);
  }

  /**
   * Makes a session useless wherever it is kept: in the store and in OpenSSL's own cache. Tickets cannot be revoked.
   * @throws what the store throws.
   */
  async revoke(session: TlsSession): Promise<void> {
    this.remove(session);
    await this.#parts.vault?.remove(Buffer.from(session.id, 'hex'));
  }

  /**
   * Resolves when every session that was made so far has come to the store, or was given up: for the end of a process.
   */
  async saved(): Promise<void> {
    await this.#parts.vault?.idle();
  }

  /**
   * What sessions of this context are told by from those of others, beside the digest of its settings and the server's
   * name; at most 32 bytes.
   */
  get idContext(): Uint8Array {
    return this.#idContext;
  }

  set idContext(context: Uint8Array) {
    if (context.length > 32)
      throw new RangeError(`a session id context has at most 32 bytes, not ${String(context.length)}`);
    this.#idContext = Uint8Array.from(context);
    this.#scopes.clear();
    // Servers mix it into the scope of each connection. By this alone a client goes by, with sessions that were made by
    // others.
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

  /** The scope of a connection to one of the server's names, 32 bytes. @internal */
  scopeFor(serverName: string | undefined): Uint8Array {
    let scope = this.#scopes.get(serverName);
    if (scope === undefined) {
      scope = scopeFor(this.#parts.scope, serverName, this.#idContext);
      // Clients may ask for whatever names they like.
      if (this.#scopes.size >= SCOPES_AT_MOST) this.#scopes.clear();
      this.#scopes.set(serverName, scope);
    }
    return scope;
  }

  /** Puts a session back that OpenSSL has just removed, if it keeps any. @internal */
  restore(session: Pointer): void {
    if (this.#closed) return;
    const bits = this.#control(c.SSL_CTRL_GET_SESS_CACHE_MODE, 0);
    if (
      (bits & c.SSL_SESS_CACHE_SERVER) === 0 ||
      (bits & c.SSL_SESS_CACHE_NO_INTERNAL_STORE) !== 0 ||
      this.#kept(session) !== 0
    )
      return;
    // What was removed is marked as not to be used again; a copy is not.
    const copy = TlsSession.of(session);
    this.add(copy);
    copy.dispose();
  }

  /** Whether somebody wants to know of new sessions. @internal */
  get isObserved(): boolean {
    return this.#new.observed;
  }

  /** A session was made. @internal */
  made(session: TlsSession): void {
    // A copy, because whoever hears of it may dispose of it.
    if (this.#new.observed) this.#new.next(session.copy());
  }

  /** OpenSSL has let go of a session; told in the middle of its work. @internal */
  left(session: Pointer): void {
    if (this.#closed || !this.#removed.observed) return;
    const id = idOf(session);
    setImmediate(() => {
      this.#removed.next(id);
    });
  }

  /** The context is closed. @internal */
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

  /** OpenSSL's own object of the same session; 0 when there is none. */
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
