/** The answers about sessions of one connection, where its new sessions go, and the outcome of resumption. */

import type { TimeSource } from '../../../core/clock.ts';
import type { Pointer } from '../openssl.ts';
import type { Resumption, ResumptionMiss } from '../sessions/resumption.ts';
import { hasExpired } from '../sessions/session.ts';
import type { TlsSession } from '../sessions/session.ts';
import type { TicketKey } from '../sessions/ticket-keys.ts';
import type { Exchange } from './exchange.ts';
import type { HelloAnswers } from './hello.ts';

/** The sessions of one connection. */
export class SessionAnswers {
  /** Whether this client has offered a session: a kept one, the caller's, or another connection's. */
  offered = false;
  readonly #exchange: Exchange;
  readonly #hello: HelloAnswers;
  #resumption: Resumption = 'off';
  #miss: ResumptionMiss | undefined;
  #made: TlsSession[] = [];
  /** Whether the client's ticket was sealed with an older key and must be replaced. */
  #renews = false;

  constructor(exchange: Exchange, hello: HelloAnswers) {
    this.#exchange = exchange;
    this.#hello = hello;
  }

  /** The outcome of resumption; `'off'` until the handshake is complete. */
  get resumption(): Resumption {
    return this.#resumption;
  }

  get hasMade(): boolean {
    return this.#made.length > 0;
  }

  /** @returns the new sessions since the last call. */
  takeMade(): TlsSession[] {
    return this.#made.splice(0);
  }

  /** The handshake is complete. @param reused whether OpenSSL resumed a session; a shared key does not count. */
  complete(reused: boolean, isTls13: boolean): void {
    const { role } = this.#exchange.settings;
    this.#resumption = reused ? 'resumed' : role === 'server' ? this.#serversMiss(isTls13) : this.#clientsMiss;
  }

  /** Saves a server's session in its store. */
  save(session: TlsSession, time: TimeSource): void {
    const { vault, scope, sessionTtlMs } = this.#exchange.settings;
    if (vault === undefined) return;
    const der = session.toDer();
    const { serverName } = this.#hello;
    void vault.save(Buffer.from(session.id, 'hex'), der, { scope, serverName }, sessionTtlMs, time);
    // The vault has already encrypted it.
    der.fill(0);
  }

  get #clientsMiss(): ResumptionMiss {
    if (this.offered) return 'refused';
    return this.#miss ?? (this.#exchange.settings.clientSessions === undefined ? 'off' : 'not offered');
  }

  #serversMiss(isTls13: boolean): ResumptionMiss {
    const { resumption } = this.#exchange.settings;
    if (resumption === 'off') return 'off';
    // TLS 1.3 clients make up a session id, so that the hello looks like one of TLS 1.2.
    const { identities = [], sessionId = '', makesUpIds = false } = this.#hello.parsed ?? {};
    const found = this.#hello.session;
    // A client with a ticket makes up an id, too (RFC 5077, section 3.4). An id with the vault's mark is not made up.
    const isMadeUp = found === undefined && (makesUpIds || resumption === 'stateless');
    if (identities.length === 0 && (isTls13 || sessionId.length === 0 || isMadeUp)) return this.#miss ?? 'not offered';
    if (this.#miss !== undefined) return this.#miss;
    if (found !== undefined) return 'miss' in found ? found.miss : 'refused';
    return 'unknown';
  }

  // What OpenSSL asks and reports.

  /** The stored session of `id`, in DER. */
  sessionOf(id: Uint8Array): Uint8Array | undefined {
    const found = this.#hello.session;
    return found !== undefined && 'der' in found && Buffer.from(found.id).equals(id) ? found.der : undefined;
  }

  /** Whether new sessions are needed at all. */
  get wantsSessions(): boolean {
    const { role, vault, sessions } = this.#exchange.settings;
    return role === 'client' || vault !== undefined || sessions.isObserved;
  }

  /** A session was made, or a ticket for it has arrived. */
  sessionMade(session: TlsSession): void {
    this.#made.push(session);
    this.#exchange.hasNews = true;
  }

  /** The id of a new session; `undefined` for a random one. */
  sessionId(): Uint8Array | undefined {
    return this.#exchange.settings.vault?.makeId();
  }

  /** The key that seals a ticket. */
  sealingKey(): TicketKey | undefined {
    return this.#exchange.settings.ticketKeys?.sealing(this.#renews);
  }

  /** The key that opens a ticket, by its name. */
  openingKey(name: Uint8Array): { readonly key: TicketKey; readonly isOld: boolean } | undefined {
    const found = this.#exchange.settings.ticketKeys?.opening(name);
    if (found === undefined) this.#miss = 'unknown key';
    else this.#renews = found.isOld;
    return found;
  }

  /** What is sealed into a ticket in addition to the session: its scope and server name. */
  ticketNote(): Uint8Array {
    return Buffer.concat([this.#exchange.settings.scope, Buffer.from(this.#hello.serverName ?? '')]);
  }

  /** Whether the session of a ticket may be resumed. @param note what {@link ticketNote} gave when it was sealed. */
  admits(session: Pointer, note: Uint8Array): boolean {
    if (!Buffer.from(note.subarray(0, 32)).equals(this.#exchange.settings.scope)) this.#miss = 'scope';
    else if (Buffer.from(note.subarray(32)).toString() !== (this.#hello.serverName ?? '')) this.#miss = 'server name';
    else if (hasExpired(session)) this.#miss = 'expired';
    else {
      this.#miss = undefined;
      return true;
    }
    return false;
  }

  /** The offered session is not resumed. Only the first reason counts. */
  missed(why: ResumptionMiss): void {
    this.#miss ??= why;
  }
}
