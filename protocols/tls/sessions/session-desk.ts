/** What one connection does with sessions: a client offers one, and both sides keep those that are made. */

import type { TimeSource } from '../../../core/clock.ts';
import type { Negotiation } from '../negotiation.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import type { TlsConnectionOptions } from '../context/options.ts';
import { refused } from '../tls-error.ts';
import { TlsSession } from './session.ts';

/** The sessions of one connection, before, while and after it has one. */
export class SessionDesk {
  /** Whether the session that is offered comes from outside, so that what it says of the peer was found elsewhere. */
  isGiven = false;
  readonly #options: TlsConnectionOptions;
  readonly #negotiation: Negotiation;
  /** By what the client's sessions are kept. */
  #key: string | undefined;
  /** Whether no session is offered, because the one before it has failed. */
  readonly #offersNone: boolean;
  /** Whether what was offered has made the connection fail. */
  #isBlamed = false;
  /** The id of the session that is offered, in hexadecimal. */
  #offeredId = '';
  /** How far a client is with finding a session to offer. */
  #search: 'not begun' | 'fetching' | 'fetched' | 'done' = 'not begun';

  constructor(options: TlsConnectionOptions, negotiation: Negotiation, offersNone: boolean) {
    this.#options = options;
    this.#negotiation = negotiation;
    this.#offersNone = offersNone;
  }

  /** Begins as a client: offers the session that was given, if one was. @throws {TlsError} when OpenSSL refuses it. */
  begin(connection: Pointer): void {
    const { serverName = '', peer = '', tlsa, expect, session } = this.#options;
    // What decided about trust here and is not in the context is part of the key; DNS records may change at any time.
    if (tlsa === undefined)
      this.#key = `${Buffer.from(this.#negotiation.settings.scope).toString('base64url')} ${peer} ${serverName} ${JSON.stringify(expect ?? null)}`;
    if (this.#offersNone) {
      this.#negotiation.missed('failed');
      this.#search = 'done';
      return;
    }
    if (session !== undefined && this.#set(connection, session)) this.isGiven = true;
  }

  /**
   * Offers a session that was kept, unless one is offered already; before the handshake begins.
   * @returns whether it can begin; else `wake` is called when it can.
   */
  prepare(connection: Pointer, wake: () => void, time: TimeSource): boolean {
    if (this.#search === 'done') return true;
    if (this.#search === 'fetching') return false;
    const { clientSessions } = this.#negotiation.settings;
    if (clientSessions !== undefined && this.#key !== undefined && !this.#negotiation.offered) {
      const fetching = this.#search === 'fetched' ? undefined : clientSessions.fetch(this.#key, time);
      if (fetching !== undefined) {
        this.#search = 'fetching';
        void fetching.then((miss) => {
          if (miss !== undefined) this.#negotiation.missed(miss);
          this.#search = 'fetched';
          wake();
        });
        return false;
      }
      const kept = clientSessions.take(this.#key);
      if (kept !== undefined) this.#offerKept(connection, kept);
      else if (clientSessions.isResting(this.#key)) this.#negotiation.missed('failed');
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
    if (Buffer.compare(scope, this.#negotiation.settings.trustScope) !== 0) {
      this.#negotiation.missed('scope');
      return;
    }
    if (ssl.SSL_copy_session_id(connection, from) <= 0) throw refused('copySessionFrom');
    this.isGiven = true;
    this.#offeredId = id;
    this.#negotiation.offered = true;
  }

  /**
   * The peer, or OpenSSL, has ended a handshake in which a client may have offered a session: what is kept for that
   * peer is forgotten.
   */
  blame(time: TimeSource): void {
    const { settings, offered } = this.#negotiation;
    if (settings.role !== 'client' || !offered || this.#isBlamed) return;
    this.#isBlamed = true;
    settings.sessions.counts.count('failed');
    settings.sessions.failed.add(this.#offeredId, this.#server);
    if (this.#key !== undefined) settings.clientSessions?.distrust(this.#key, time);
  }

  /** The server has sent data: it takes the session, if one was offered. */
  taken(): void {
    const { settings, resumption } = this.#negotiation;
    if (this.#key !== undefined && resumption === 'resumed') settings.clientSessions?.trust(this.#key);
  }

  /** Whether a session that was offered may have made the connection fail. */
  get isBlamed(): boolean {
    return this.#isBlamed;
  }

  /** Keeps a session that was made, and tells of it. */
  keep(session: TlsSession, time: TimeSource): void {
    const { settings, serverName } = this.#negotiation;
    if (settings.role === 'client') {
      // What came with the failure is no better.
      if (this.#key !== undefined && !this.#isBlamed) settings.clientSessions?.made(this.#key, session.copy(), time);
    } else if (settings.vault !== undefined) {
      const der = session.toDer();
      void settings.vault.save(
        Buffer.from(session.id, 'hex'),
        der,
        { scope: settings.scope, serverName },
        settings.sessionTtlMs,
        time,
      );
      // It is sealed by now.
      der.fill(0);
    }
    settings.sessions.made(session);
  }

  /** One that was kept is no reason to fail. */
  #offerKept(connection: Pointer, session: TlsSession): void {
    try {
      this.#set(connection, session);
    } catch {
      this.#negotiation.missed('refused');
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
    if (!session.isGoodFor(this.#negotiation.settings.trustScope)) {
      this.#negotiation.missed('scope');
      return false;
    }
    // One that was made as a server has an id context, and OpenSSL takes a session of another context for an attack.
    const context = Buffer.from(session.idContext, 'hex');
    if (context.length > 0) ssl.SSL_set_session_id_context(connection, context, context.length);
    if (session.lend((pointer) => ssl.SSL_set_session(connection, pointer)) <= 0)
      throw refused('the session cannot be used');
    this.#negotiation.offered = true;
    this.#offeredId = id;
    return true;
  }

  /** Whether a session has made a connection to the same server fail. */
  #hasFailed(id: string): boolean {
    const hasFailed = this.#negotiation.settings.sessions.failed.has(id, this.#server);
    if (hasFailed) this.#negotiation.missed('failed');
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
