/** What one connection does with sessions: a client offers one, and both sides keep those that are made. */

import type { Negotiation } from '../negotiation.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import type { TlsConnectionOptions } from '../options.ts';
import type { ContextSettings } from '../settings.ts';
import { refused } from '../tls-error.ts';
import type { TlsSession } from './session.ts';
import type { TimeSource } from './vault.ts';

/** The sessions of one connection, before, while and after it has one. */
export class SessionDesk {
  /** Whether the session that is offered comes from outside, so that what it says of the peer was found elsewhere. */
  isGiven = false;
  readonly #options: TlsConnectionOptions;
  readonly #negotiation: Negotiation;
  /** By what the client's sessions are kept. */
  #key: string | undefined;

  constructor(options: TlsConnectionOptions, negotiation: Negotiation) {
    this.#options = options;
    this.#negotiation = negotiation;
  }

  /** Offers the server the session that was given, or one that was kept. @throws {TlsError} when OpenSSL refuses it. */
  offer(connection: Pointer, { clientSessions, scope }: ContextSettings): void {
    const { serverName = '', peer = '', tlsa, expect, session } = this.#options;
    // What decided about trust here and is not in the context is part of the key; DNS records may change at any time.
    if (tlsa === undefined) this.#key = `${Buffer.from(scope).toString('base64url')} ${peer} ${serverName} ${JSON.stringify(expect ?? null)}`;
    this.isGiven = session !== undefined;
    const kept = session === undefined && this.#key !== undefined ? clientSessions?.take(this.#key) : undefined;
    const offered = session ?? kept;
    if (offered === undefined) return;
    const ssl = openssl();
    // One that was made as a server has an id context, and OpenSSL takes a session of another context for an attack.
    const context = Buffer.from(offered.idContext, 'hex');
    if (context.length > 0) ssl.SSL_set_session_id_context(connection, context, context.length);
    const result = offered.lend((pointer) => ssl.SSL_set_session(connection, pointer));
    kept?.dispose();
    if (result <= 0) throw refused('the session cannot be used');
    this.#negotiation.offered = true;
  }

  /** Takes over the session of another connection. @throws {TlsError} when OpenSSL refuses. */
  copy(connection: Pointer, from: Pointer): void {
    if (openssl().SSL_copy_session_id(connection, from) <= 0) throw refused('copySessionFrom');
    this.isGiven = true;
    this.#negotiation.offered = true;
  }

  /** Keeps a session that was made. */
  keep(session: TlsSession, time: TimeSource): void {
    const { settings, serverName } = this.#negotiation;
    settings.sessions.made(session);
    if (settings.role === 'client') {
      if (this.#key !== undefined) settings.clientSessions?.add(this.#key, session.copy());
      return;
    }
    if (settings.vault === undefined) return;
    const der = session.toDer();
    void settings.vault.save(Buffer.from(session.id, 'hex'), der, { scope: settings.scope, serverName }, settings.sessionTtlMs, time);
    // It is sealed by now.
    der.fill(0);
  }
}
