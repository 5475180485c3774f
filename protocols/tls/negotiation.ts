/** What one connection answers OpenSSL, and what it notes of what it is told. */

import type { TimeSource } from '../../core/clock.ts';
import { encodeProtocols } from './alpn.ts';
import type { Answering } from './callbacks.ts';
import { decide, mustDecide, parseHello } from './client-hello.ts';
import type { Decision, ParsedHello } from './client-hello.ts';
import * as c from './constants.ts';
import { ownFinished } from './finished.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { identityOf, presharedKey } from './psk.ts';
import type { PresharedKey, PskIdentity } from './psk.ts';
import type { Resumption, ResumptionMiss } from './sessions/resumption.ts';
import { hasExpired } from './sessions/session.ts';
import type { TlsSession } from './sessions/session.ts';
import type { TicketKey } from './sessions/ticket-keys.ts';
import type { ContextSettings } from './context/settings.ts';
import { isThenable } from './thenable.ts';
import { TlsError } from './tls-error.ts';
import { verifyErrorName } from './certificates/verify-errors.ts';
import type { VerifyErrorName } from './certificates/verify-errors.ts';

/** What is wrong with one certificate of the peer's chain. */
export interface CertificateFault {
  /** How far up the chain the certificate stands; 0 is the peer's own. */
  readonly depth: number;
  /** OpenSSL's name for it, without `X509_V_ERR_`; `undefined` when it is newer than this table. */
  readonly reason: VerifyErrorName | undefined;
  /** OpenSSL's number for it. */
  readonly result: number;
}

/** The answers of one connection. Those that take their time make {@link waiting} true meanwhile. */
export class Negotiation implements Answering {
  settings: ContextSettings;
  /** How the peer's certificate is treated at present: SSL_VERIFY_… bits. */
  verifyModes: number;
  /** The SSL object that asks. */
  ssl: Pointer = 0;
  /** An answer is awaited. */
  waiting = false;
  /** What has ended the negotiation, once something has. */
  error: Error | undefined;
  /** Something was noted that is to be told, or acted on. */
  hasNews = false;
  /** Whether the first handshake is complete. */
  established = false;
  /** Whether the renegotiation that is to come is this side's wish. */
  renegotiates = false;
  /** A handshake has begun in the middle of the connection, and may not be complete. */
  handshaking = false;
  /** How many were completed, whoever began them (TLS 1.2). */
  renegotiations = 0;
  /** The last fatal alert that passed, and its direction. */
  alert: { readonly number: number; readonly sent: boolean } | undefined;
  readonly faults: CertificateFault[] = [];
  /** What came of the session that was offered; settled when the handshake is complete. */
  resumption: Resumption = 'off';
  /** Whether a shared key was found, or offered without a session beside it (TLS 1.3). */
  usesPsk = false;
  /** Whether the client offered a session, of whatever kind. */
  offered = false;

  #decision: Decision | undefined;
  #hello: ParsedHello | undefined;
  /** Whether the hello is to be decided about. */
  #asks = false;
  #miss: ResumptionMiss | undefined;
  #made: TlsSession[] = [];
  /** Whether the ticket that was offered is to be replaced. */
  #renews = false;
  #byPeer = 0;
  /** This side's Finished message before the handshake that goes on. */
  #finished: Buffer | undefined;
  #lines: string[] = [];
  #protocols: Uint8Array | undefined;
  #ownKey: { readonly psk: PskIdentity; readonly identity: Uint8Array } | undefined;

  constructor(settings: ContextSettings) {
    this.settings = settings;
    this.verifyModes = settings.verifyModes;
  }

  /** Asks for what must be known before a client says anything. @returns whether there is nothing to wait for. */
  prepare(wake: () => void): boolean {
    const { pskClient } = this.settings;
    if (pskClient === undefined || this.#ownKey !== undefined || this.error !== undefined) return true;
    this.#await(
      () => pskClient(undefined),
      'psk',
      wake,
      (psk) => {
        this.#ownKey = ownKeyOf(psk);
      },
    );
    return !this.waiting;
  }

  /** Decides about the client hello that was noted. @returns whether the decision is there. */
  consider(wake: () => void, time: TimeSource): boolean {
    const hello = this.#hello;
    if (hello === undefined || !this.#asks) return true;
    this.#asks = false;
    this.#await(
      () => decide(this.settings, hello, time),
      'the choice of a context',
      wake,
      (decision) => {
        this.#decision = decision;
        if (decision.alpn !== undefined) this.#protocols = encodeProtocols([decision.alpn]);
      },
    );
    return !this.waiting;
  }

  /** Whether it is decided what to do with the client. */
  get hasDecided(): boolean {
    return this.#decision !== undefined;
  }

  /** The settings that were chosen instead of the present ones, told once. */
  takeChosen(): ContextSettings | undefined {
    const chosen = this.#decision?.chosen;
    if (this.#decision === undefined || chosen === undefined) return undefined;
    let settings;
    try {
      settings = chosen.settings;
    } catch (error) {
      // It was closed meanwhile. Whatever is tried next, the handshake must not go on with the context that was not
      // chosen.
      this.failed(error);
      return undefined;
    }
    this.#decision = { ...this.#decision, chosen: undefined };
    return settings === this.settings ? undefined : settings;
  }

  /** The sessions that were made since the last time. */
  takeSessions(): TlsSession[] {
    return this.#made.splice(0);
  }

  /** The name that the client asks for, as its hello has it. */
  get serverName(): string | undefined {
    return this.#hello?.serverName;
  }

  /** Whether there is something to tell. */
  get hasTales(): boolean {
    return this.#lines.length > 0 || this.#made.length > 0;
  }

  /** What was logged since the last time. */
  takeLines(): string[] {
    return this.#lines.splice(0);
  }

  /** Settles what came of the session, and lets go of what only the first handshake needs. */
  complete(reused: boolean, isTls13: boolean): void {
    this.established = true;
    this.handshaking = false;
    // To OpenSSL a shared key is a session.
    this.resumption =
      reused && !this.usesPsk
        ? 'resumed'
        : this.settings.role === 'server'
          ? this.#serversMiss(isTls13)
          : this.#clientsMiss;
    if (this.#decision !== undefined) this.#decision = { ...this.#decision, keys: new Map(), session: undefined };
    if (this.#hello !== undefined)
      this.#hello = {
        serverName: this.#hello.serverName,
        alpn: [],
        identities: [],
        sessionId: new Uint8Array(0),
        makesUpIds: false,
      };
  }

  get #clientsMiss(): ResumptionMiss {
    if (this.offered) return 'refused';
    return this.#miss ?? (this.settings.clientSessions === undefined ? 'off' : 'not offered');
  }

  #serversMiss(isTls13: boolean): ResumptionMiss {
    if (this.settings.resumption === 'off') return 'off';
    // Clients of TLS 1.3 make up the id of a session, so that the hello looks like one of TLS 1.2.
    const { identities = [], sessionId = '', makesUpIds = false } = this.#hello ?? {};
    const found = this.#decision?.session;
    // With tickets an id only tells that one is used (RFC 5077, section 3.4); one of ours that was found cannot be made
    // up.
    const isMadeUp = found === undefined && (makesUpIds || this.settings.resumption === 'stateless');
    if (identities.length === 0 && (isTls13 || sessionId.length === 0 || isMadeUp)) return this.#miss ?? 'not offered';
    if (this.#miss !== undefined) return this.#miss;
    if (found !== undefined) return 'miss' in found ? found.miss : 'refused';
    return 'unknown';
  }

  handshakeBegins(): void {
    if (!this.established) return;
    this.handshaking = true;
    this.hasNews = true;
    this.#finished ??= ownFinished(this.ssl);
  }

  handshakeEnds(): void {
    if (this.established) this.hasNews = true;
  }

  /**
   * Notes that no handshake goes on any more;
   * @returns whether there was a new one. Not every one that begins is a new one: a mere request for one looks the
   * same.
   */
  settle(): boolean {
    this.handshaking = false;
    const before = this.#finished;
    this.#finished = undefined;
    if (before?.equals(ownFinished(this.ssl)) !== false) return false;
    this.renegotiations++;
    const limit = this.settings.peerRenegotiations;
    // Where none are allowed OpenSSL refuses them.
    if (this.renegotiates || limit === 0 || ++this.#byPeer <= limit) return true;
    this.failed(
      new TlsError(
        `TLS failed: the peer has begun more than ${String(limit)} renegotiations (allowPeerRenegotiations)`,
        { reason: 'too many renegotiations' },
      ),
    );
    return true;
  }

  alertPassed(number: number, sent: boolean): void {
    if (number !== CLOSE_NOTIFY && number !== NO_RENEGOTIATION) this.alert = { number, sent };
  }

  keyLogged(line: string): void {
    this.#lines.push(line);
    this.hasNews = true;
  }

  accepts(result: number, depth: number): boolean {
    // The same fault is told again when a certificate is looked at twice.
    if (!this.faults.some((fault) => fault.depth === depth && fault.result === result)) {
      const reason = verifyErrorName(result);
      this.faults.push({ depth, result, reason: reason === 'OK' ? undefined : reason });
    }
    return this.settings.accepts === 'all' || this.settings.accepts.has(result);
  }

  clientHello(): 'go on' | 'wait' | { readonly alert: number } {
    if (this.error !== undefined)
      return {
        alert:
          this.error instanceof TlsError && this.error.side === 'local' && this.error.alert !== undefined
            ? this.error.alert
            : c.ALERT_INTERNAL_ERROR,
      };
    // It is asked again after a pause, after a HelloRetryRequest, and when a renegotiation begins: what was decided
    // stays.
    this.#hello ??= parseHello(this.ssl);
    if (this.#decision === undefined && mustDecide(this.settings)) {
      this.#asks = true;
      return 'wait';
    }
    const { resumption } = this.settings;
    if (resumption !== 'off') openssl().SSL_set_session_id_context(this.ssl, this.#scope, 32);
    return 'go on';
  }

  /** The scope of sessions for the name that this client asks for. */
  get #scope(): Uint8Array {
    return this.settings.sessions.scopeFor(this.#hello?.serverName);
  }

  sessionOf(id: Uint8Array): Uint8Array | undefined {
    const found = this.#decision?.session;
    return found !== undefined && 'der' in found && Buffer.from(found.id).equals(id) ? found.der : undefined;
  }

  get wantsSessions(): boolean {
    const { role, vault, sessions } = this.settings;
    return role === 'client' || vault !== undefined || sessions.isObserved;
  }

  sessionMade(session: TlsSession): void {
    this.#made.push(session);
    this.hasNews = true;
  }

  sessionId(): Uint8Array | undefined {
    return this.settings.vault?.makeId();
  }

  sealingKey(): TicketKey | undefined {
    return this.settings.ticketKeys?.sealing(this.#renews);
  }

  openingKey(name: Uint8Array): { readonly key: TicketKey; readonly isOld: boolean } | undefined {
    const found = this.settings.ticketKeys?.opening(name);
    if (found === undefined) this.#miss = 'unknown key';
    else this.#renews = found.isOld;
    return found;
  }

  ticketNote(): Uint8Array {
    return Buffer.concat([this.settings.scope, Buffer.from(this.#hello?.serverName ?? '')]);
  }

  admits(session: Pointer, note: Uint8Array): boolean {
    if (!Buffer.from(note.subarray(0, 32)).equals(this.settings.scope)) this.#miss = 'scope';
    else if (Buffer.from(note.subarray(32)).toString() !== (this.#hello?.serverName ?? '')) this.#miss = 'server name';
    else if (hasExpired(session)) this.#miss = 'expired';
    else {
      this.#miss = undefined;
      return true;
    }
    return false;
  }

  missed(why: ResumptionMiss): void {
    this.#miss ??= why;
  }

  protocols(): { readonly names: Uint8Array | undefined; readonly ignoresMismatch: boolean } {
    const { alpn, ignoresAlpnMismatch } = this.settings;
    return {
      names: this.#protocols ?? (typeof alpn === 'function' ? undefined : alpn),
      ignoresMismatch: ignoresAlpnMismatch,
    };
  }

  staple(): Uint8Array | undefined {
    const { staple } = this.settings;
    return this.#decision?.staple ?? (typeof staple === 'function' ? undefined : staple);
  }

  keyOf(identity: Uint8Array, version: 'TLSv1.2' | 'TLSv1.3'): PresharedKey | undefined {
    const name = identityOf(identity);
    if (name === undefined) return undefined;
    if (version === 'TLSv1.3') {
      const key = this.#decision?.keys.get(name);
      if (key !== undefined) this.usesPsk = true;
      return key;
    }
    const found = this.settings.pskServer?.(name);
    if (found === undefined) return undefined;
    if (isThenable(found)) {
      // Nobody looks at the Promise any more.
      found.then(undefined, () => undefined);
      throw new TypeError(
        'a TLS 1.2 server cannot wait for a shared key: psk must not return a Promise; set protocols.min to TLSv1.3, or answer at once',
      );
    }
    return presharedKey(found);
  }

  ownKey(hint: string | undefined): { readonly psk: PskIdentity; readonly identity: Uint8Array } | undefined {
    const { pskClient } = this.settings;
    if (hint !== undefined && pskClient !== undefined) {
      const psk = pskClient(hint);
      if (isThenable(psk)) {
        psk.then(undefined, () => undefined);
        throw new TypeError(
          'a TLS 1.2 client cannot wait for a shared key once the server has given a hint: psk must not return a Promise for a hint',
        );
      }
      this.#ownKey = ownKeyOf(psk);
    }
    if (this.#ownKey !== undefined && !this.offered) this.usesPsk = true;
    return this.#ownKey;
  }

  failed(error: unknown): void {
    this.error ??=
      error instanceof TlsError
        ? error
        : new TlsError(`handshake failed: ${error instanceof Error ? error.message : String(error)}`, {
            reason: 'refused by this side',
            cause: error,
          });
    this.hasNews = true;
  }

  /** Asks, and notes the answer or the failure; at once, or when it comes. */
  #await<T>(question: () => T | Promise<T>, what: string, wake: () => void, note: (answer: T) => void): void {
    const fail = (error: unknown): void => {
      this.failed(
        error instanceof TlsError
          ? error
          : new TlsError(
              `handshake failed: ${what} failed: ${error instanceof Error ? error.message : String(error)}`,
              { reason: `${what} failed`, cause: error },
            ),
      );
    };
    try {
      const answer = question();
      if (!isThenable(answer)) {
        note(answer);
        return;
      }
      this.waiting = true;
      answer
        .then(note)
        .catch(fail)
        .finally(() => {
          this.waiting = false;
          wake();
        });
    } catch (error) {
      fail(error);
    }
  }
}

function ownKeyOf(psk: PskIdentity | undefined): { readonly psk: PskIdentity; readonly identity: Uint8Array } {
  if (psk === undefined) throw new Error('psk gives no key');
  presharedKey(psk);
  const bytes = Buffer.from(psk.identity);
  if (bytes.length === 0 || bytes.length > IDENTITY_AT_MOST || bytes.includes(0))
    throw new RangeError(`a shared key's identity has 1…${String(IDENTITY_AT_MOST)} bytes and no zero among them`);
  // OpenSSL keeps the address until the handshake is done: memory of its own, which nobody moves.
  const identity = Buffer.allocUnsafeSlow(bytes.length);
  identity.set(bytes);
  return { psk, identity };
}

const CLOSE_NOTIFY = 0;
const NO_RENEGOTIATION = 100;
// PSK_MAX_IDENTITY_LEN of ssl.h before 3.0.
const IDENTITY_AT_MOST = 128;
