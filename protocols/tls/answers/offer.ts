/** Chooses the session that a client offers, and evaluates the result. */

import type { TimeSource } from '../../../core/clock.ts';
import type { TlsConnectionOptions } from '../context/options.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { TlsSession } from '../sessions/session.ts';
import { refused } from '../tls-error.ts';
import type { Exchange } from './exchange.ts';
import type { SessionAnswers } from './sessions.ts';

/** The session offer of one connection. It does nothing on servers. */
export class SessionOffer {
  readonly #options: TlsConnectionOptions;
  readonly #exchange: Exchange;
  readonly #sessions: SessionAnswers;
  /** Whether no session is offered, because a connection that offered one has failed. */
  readonly #offersNone: boolean;
  /** The key under which the client's sessions are kept; `undefined` when they are not. */
  #key: string | undefined;
  /** The id of the offered session, in hexadecimal. */
  #offeredId = '';
  #isGiven = false;
  #isBlamed = false;
  /** The progress of the search for a session to offer. */
  #search: 'not begun' | 'fetching' | 'fetched' | 'done' = 'not begun';

  constructor(options: TlsConnectionOptions, exchange: Exchange, sessions: SessionAnswers, offersNone: boolean) {
    this.#options = options;
    this.#exchange = exchange;
    this.#sessions = sessions;
    this.#offersNone = offersNone;
  }

  /** Whether the session comes from the caller, so that this context has not checked its peer. */
  get isGiven(): boolean {
    return this.#isGiven;
  }

  /** Whether the offered session may have made the connection fail. */
  get isBlamed(): boolean {
    return this.#isBlamed;
  }

  /** Begins as a client, and offers the session of the caller. @throws {TlsError} when OpenSSL refuses the session. */
  begin(connection: Pointer): void {
    const { serverName = '', peer = '', tlsa, expect, session } = this.#options;
    // The key contains the trust settings of the connection in addition to those of the context. With TLSA records no
    // session is kept, because the records may change at any time.
    if (tlsa === undefined)
      this.#key = `${Buffer.from(this.#exchange.settings.scope).toString('base64url')} ${peer} ${serverName} ${JSON.stringify(expect ?? null)}`;
    if (this.#offersNone) {
      this.#sessions.missed('failed');
      this.#search = 'done';
      return;
    }
    if (session !== undefined && this.#set(connection, session)) this.#isGiven = true;
  }

  /**
   * Before the handshake begins: offers a kept session, unless a session is offered already.
   * @returns whether the handshake can begin; otherwise the connection is woken when it can.
   */
  prepare(connection: Pointer): boolean {
    if (this.#search === 'done') return true;
    if (this.#search === 'fetching') return false;
    const { settings, lookups } = this.#exchange;
    const { clientSessions } = settings;
    if (clientSessions !== undefined && this.#key !== undefined && !this.#sessions.offered) {
      const fetching = this.#search === 'fetched' ? undefined : clientSessions.fetch(this.#key, lookups);
      if (fetching !== undefined) {
        this.#search = 'fetching';
        void fetching.then((miss) => {
          if (miss !== undefined) this.#sessions.missed(miss);
          this.#search = 'fetched';
          lookups.wake();
        });
        return false;
      }
      const kept = clientSessions.take(this.#key);
      if (kept !== undefined) this.#offerKept(connection, kept);
      else if (clientSessions.isResting(this.#key)) this.#sessions.missed('failed');
    }
    this.#search = 'done';
    return true;
  }

  /**
   * Offers the session of another connection.
   * @param scope the trust scope of the other connection.
   * @throws {TlsError} when OpenSSL refuses.
   */
  copy(connection: Pointer, from: Pointer, scope: Uint8Array): void {
    const ssl = openssl();
    const session = ssl.SSL_get_session(from);
    const id = session === 0 ? '' : idOf(session);
    if (this.#hasFailed(id)) return;
    if (Buffer.compare(scope, this.#exchange.settings.trustScope) !== 0) {
      this.#sessions.missed('scope');
      return;
    }
    if (ssl.SSL_copy_session_id(connection, from) <= 0) throw refused('copySessionFrom');
    this.#isGiven = true;
    this.#offeredId = id;
    this.#sessions.offered = true;
  }

  /**
   * The peer or OpenSSL has failed the handshake. If this client offered a session, it removes the kept sessions of
   * that peer.
   */
  blame(time: TimeSource): void {
    const { settings } = this.#exchange;
    if (settings.role !== 'client' || !this.#sessions.offered || this.#isBlamed) return;
    this.#isBlamed = true;
    settings.sessions.counts.count('failed');
    settings.sessions.failed.add(this.#offeredId, this.#server);
    if (this.#key !== undefined) settings.clientSessions?.distrust(this.#key, time);
  }

  /** The server has sent data: so it has accepted the session, if one was resumed. */
  accepted(): void {
    if (this.#key !== undefined && this.#sessions.resumption === 'resumed')
      this.#exchange.settings.clientSessions?.trust(this.#key);
  }

  /** Keeps a new session for the next connection, unless the offered one may have made this connection fail. */
  keep(session: TlsSession, time: TimeSource): void {
    if (this.#key !== undefined && !this.#isBlamed)
      this.#exchange.settings.clientSessions?.made(this.#key, session.copy(), time);
  }

  /** Offers a kept session. One that OpenSSL refuses does not fail the connection. */
  #offerKept(connection: Pointer, session: TlsSession): void {
    try {
      this.#set(connection, session);
    } catch {
      this.#sessions.missed('refused');
    } finally {
      session.dispose();
    }
  }

  /**
   * @returns whether it is offered: not when it has failed before, or comes from a client with other trust settings.
   * @throws {TlsError} when OpenSSL refuses it.
   */
  #set(connection: Pointer, session: TlsSession): boolean {
    const ssl = openssl();
    const { id } = session;
    if (this.#hasFailed(id)) return false;
    if (!session.isGoodFor(this.#exchange.settings.trustScope)) {
      this.#sessions.missed('scope');
      return false;
    }
    // A session that a server made has an id context, and OpenSSL accepts only sessions of the connection's own
    // context.
    const context = Buffer.from(session.idContext, 'hex');
    if (context.length > 0) ssl.SSL_set_session_id_context(connection, context, context.length);
    if (session.lend((pointer) => ssl.SSL_set_session(connection, pointer)) <= 0)
      throw refused('the session cannot be used');
    this.#sessions.offered = true;
    this.#offeredId = id;
    return true;
  }

  /** Whether the session has made a connection to the same server fail. */
  #hasFailed(id: string): boolean {
    const hasFailed = this.#exchange.settings.sessions.failed.has(id, this.#server);
    if (hasFailed) this.#sessions.missed('failed');
    return hasFailed;
  }

  get #server(): string {
    return `${this.#options.peer ?? ''} ${this.#options.serverName ?? ''}`;
  }
}

function idOf(session: Pointer): string {
  const held = TlsSession.of(session);
  try {
    return held.id;
  } finally {
    held.dispose();
  }
}
