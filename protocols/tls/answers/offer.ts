/** The session that a client offers: which one, and what is learned of it. */

import type { TimeSource } from '../../../core/clock.ts';
import type { TlsConnectionOptions } from '../context/options.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { TlsSession } from '../sessions/session.ts';
import { refused } from '../tls-error.ts';
import type { Exchange } from './exchange.ts';
import type { SessionAnswers } from './sessions.ts';

/** What one client offers. It does nothing on servers. */
export class SessionOffer {
  readonly #options: TlsConnectionOptions;
  readonly #exchange: Exchange;
  readonly #sessions: SessionAnswers;
  /** Whether no session is offered, because a connection that offered one has failed. */
  readonly #offersNone: boolean;
  /** The key under which the client's sessions are kept; `undefined` when they are not. */
  #key: string | undefined;
  /** The id of the session that is offered, in hexadecimal. */
  #offeredId = '';
  #isGiven = false;
  #isBlamed = false;
  /** How far a client is with finding a session to offer. */
  #search: 'not begun' | 'fetching' | 'fetched' | 'done' = 'not begun';

  constructor(options: TlsConnectionOptions, exchange: Exchange, sessions: SessionAnswers, offersNone: boolean) {
    this.#options = options;
    this.#exchange = exchange;
    this.#sessions = sessions;
    this.#offersNone = offersNone;
  }

  /** Whether the session comes from the caller, so that its peer was checked elsewhere. */
  get isGiven(): boolean {
    return this.#isGiven;
  }

  /** Whether the session that was offered may have made the connection fail. */
  get isBlamed(): boolean {
    return this.#isBlamed;
  }

  /** Begins as a client: offers the session that the caller gave. @throws {TlsError} when OpenSSL refuses it. */
  begin(connection: Pointer): void {
    const { serverName = '', peer = '', tlsa, expect, session } = this.#options;
    // The key names what decided about trust here and is not in the context. DNS records may change at any time.
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
   * Offers a session that was kept, unless one is offered already; before the handshake begins.
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

  /** Takes over the session of another connection, made in `scope`. @throws {TlsError} when OpenSSL refuses. */
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
   * The peer, or OpenSSL, has ended a handshake in which this client may have offered a session: forgets what is kept
   * for that peer.
   */
  blame(time: TimeSource): void {
    const { settings } = this.#exchange;
    if (settings.role !== 'client' || !this.#sessions.offered || this.#isBlamed) return;
    this.#isBlamed = true;
    settings.sessions.counts.count('failed');
    settings.sessions.failed.add(this.#offeredId, this.#server);
    if (this.#key !== undefined) settings.clientSessions?.distrust(this.#key, time);
  }

  /** The server has sent data: it accepts the session, if one was offered. */
  accepted(): void {
    if (this.#key !== undefined && this.#sessions.resumption === 'resumed')
      this.#exchange.settings.clientSessions?.trust(this.#key);
  }

  /** Keeps a session that this client was given, for the next connection. One that came with a failure is no better. */
  keep(session: TlsSession, time: TimeSource): void {
    if (this.#key !== undefined && !this.#isBlamed)
      this.#exchange.settings.clientSessions?.made(this.#key, session.copy(), time);
  }

  /** A kept session that cannot be used is no reason to fail. */
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
   * @returns whether it is offered: not when it has failed before, or was made by a client that trusted others.
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
    // A session that was made on a server has an id context, and OpenSSL refuses a session of another context.
    const context = Buffer.from(session.idContext, 'hex');
    if (context.length > 0) ssl.SSL_set_session_id_context(connection, context, context.length);
    if (session.lend((pointer) => ssl.SSL_set_session(connection, pointer)) <= 0)
      throw refused('the session cannot be used');
    this.#sessions.offered = true;
    this.#offeredId = id;
    return true;
  }

  /** Whether a session has made a connection to the same server fail. */
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
