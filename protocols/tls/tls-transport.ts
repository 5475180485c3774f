/**
 * TLS as a transport over any transport.
 *
 * Theory of operation. OpenSSL reads and writes two memory BIOs: the transport puts received ciphertext into one and
 * takes ciphertext to send out of the other. A memory BIO never blocks and never wants to write, so the wants are made
 * here: WANT_READ only when the BIO is drained and the transport below wants to read; WANT_WRITE while the transport
 * below does not accept encrypted ("sealed") bytes. Sealed bytes belong to this transport, which sends them without
 * further calls to `write`, and never seals them again: a byte that `write` has counted will be sent. While sealed
 * bytes are pending nothing more is sealed, and above a bound nothing more is read. So a peer that sends and does not
 * read cannot make this side's memory grow. Long because reading, writing and the handshake share that one state.
 */

import type { TimeSource } from '../../core/clock.ts';
import { ClosedError, TruncatedError } from '../../core/errors.ts';
import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { Answers } from './answers/answers.ts';
import { Lookups } from './answers/lookups.ts';
import { SessionOffer } from './answers/offer.ts';
import { Ciphertext } from './ciphertext.ts';
import * as c from './constants.ts';
import type { TlsConnectionOptions } from './context/options.ts';
import type { ContextSettings } from './context/settings.ts';
import { requireTlsa } from './dane.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { checkExpected, checkGivenSession } from './peer-check.ts';
import { Rehandshake, settled } from './rehandshake.ts';
import type { RehandshakeOwner } from './rehandshake.ts';
import { expectName } from './server-name.ts';
import { mayBlameSession } from './sessions/session-fault.ts';
import type { TlsSession } from './sessions/session.ts';
import { FAILED, Ssl } from './ssl.ts';
import type { SslOwner } from './ssl.ts';
import { TlsError } from './tls-error.ts';
import { tlsFailure } from './tls-failure.ts';

/** Receives the events of a TLS transport, always after the call into OpenSSL in which they occurred. */
export interface TlsTransportListener {
  established(): void;
  keyLogged(line: string): void;
  sessionMade(session: TlsSession): void;
  /** The clock of the connection. */
  readonly time: TimeSource;
}

/** The transport of one TLS connection. It owns its SSL object and the transport below. */
export class TlsTransport implements Transport, SslOwner, RehandshakeOwner {
  readonly options: TlsConnectionOptions;
  /** The answers to OpenSSL's callbacks, and OpenSSL's reports. */
  readonly answers: Answers;
  /** The session offer of a client. */
  readonly offer: SessionOffer;
  /** Handshakes in the middle of the connection. */
  readonly rehandshake: Rehandshake;
  /** Whether the read BIO or OpenSSL may hold more data than was read. */
  holds = false;

  #failure: Error | undefined;
  readonly #openssl: OpenSsl;
  readonly #ssl: Ssl;
  readonly #ciphertext: Ciphertext;
  #sentCloseNotify = false;
  /** Whether any data of the peer were decrypted. */
  #hasOpened = false;
  /** How many tickets a TLS 1.3 client must still get. They are sent before this side's first data. */
  #ticketsDue = 0;
  #listener: Omit<TlsTransportListener, 'time'> = NO_LISTENER;
  readonly #lookups = new Lookups();

  /**
   * @param offersNone whether a client offers no session, because a connection that offered one has failed.
   * @throws {TlsError} when OpenSSL has no memory, or refuses the name or the session.
   */
  constructor(below: Transport, settings: ContextSettings, options: TlsConnectionOptions, offersNone = false) {
    this.#openssl = openssl();
    this.#ssl = new Ssl(this);
    this.#ciphertext = new Ciphertext(below);
    this.options = options;
    this.answers = new Answers(settings, this.#lookups);
    this.offer = new SessionOffer(options, this.answers.exchange, this.answers.sessions, offersNone);
    this.rehandshake = new Rehandshake(this, this.#ssl, this.answers, options.maxAheadBytes);
    this.#begin(settings);
    if (settings.choose !== undefined) this.#ciphertext.record();
    living++;
  }

  /** The error that ended both directions of the connection; `undefined` while it is open. */
  get failure(): Error | undefined {
    // Made on demand: an error is expensive, and most connections are closed without an operation that needs it.
    if (this.#ssl.isClosed) this.#failure ??= new ClosedError('the connection is closed');
    return this.#failure;
  }

  /** The settings of the connection: those of its context, or of the chosen one. */
  get settings(): ContextSettings {
    return this.answers.exchange.settings;
  }

  /** The SSL object, for calls that only read its state; 0 when closed. */
  get ssl(): Pointer {
    return this.#ssl.pointer;
  }

  /** Whether the handshake is complete, and its last flight was sent or the peer has sent data after it. */
  get established(): boolean {
    return this.answers.progress.established;
  }

  /** Sets the listener. */
  listen(listener: TlsTransportListener): void {
    this.#listener = listener;
    this.#lookups.time = listener.time;
  }

  get hasBuffered(): boolean {
    return (
      this.rehandshake.hasSurplus || (this.#failure === undefined && (this.holds || this.#ciphertext.below.hasBuffered))
    );
  }

  get hasUnflushed(): boolean {
    return this.#ciphertext.pendingBytes > 0 || this.#ciphertext.below.hasUnflushed;
  }

  /** How many sealed bytes the transport below has not accepted yet. */
  get unflushedBytes(): number {
    return this.#ciphertext.pendingBytes;
  }

  get received(): number {
    return this.#ciphertext.below.received;
  }

  onLookupAnswered(wake: () => void): void {
    this.#lookups.onAnswered = wake;
    this.#ciphertext.below.onLookupAnswered(wake);
  }

  handshake(): StepCode {
    this.#assertOpen();
    if (this.established) return DONE;
    const { exchange, hello, trust } = this.answers;
    if (exchange.isWaiting || !trust.prepare()) return WANT_LOOKUP;
    if (exchange.settings.role === 'client') {
      if (exchange.error !== undefined) throw (this.#failure = exchange.error);
      if (!this.offer.prepare(this.#ssl.pointer)) return WANT_LOOKUP;
    }
    for (;;) {
      const chosen = hello.takeChosen();
      if (chosen !== undefined) this.#switchTo(chosen);
      // The present context stays, so no other SSL object has to read the received bytes again.
      else if (hello.hasDecided) this.#ciphertext.recordNoMore();
      const outcome = this.#ssl.handshake();
      if (outcome === WANT_LOOKUP) {
        if (hello.consider()) continue;
        return WANT_LOOKUP;
      }
      if (outcome === END)
        throw (this.#failure = new ClosedError(
          `handshake failed: the peer ${this.answers.progress.alert?.number === USER_CANCELED ? 'cancelled it and ' : ''}closed the connection before it was complete (close_notify)`,
        ));
      if (outcome === FAILED) throw this.fail();
      const flushed = this.#ciphertext.sealOrNote();
      if (flushed !== DONE) return flushed;
      const { sendFailure } = this.#ciphertext;
      // If sending the last flight has failed, data from the peer still prove that the handshake is complete.
      if (outcome === DONE && (sendFailure === undefined || this.#peek())) {
        // An answer has thrown, but OpenSSL has completed the handshake without it.
        if (exchange.error !== undefined) throw this.fail();
        this.#establish();
        // A listener may have closed it.
        if (this.#ssl.pointer === 0) throw this.failure as Error;
        return DONE;
      }
      // OpenSSL has read all of its input: only the transport below can have more.
      this.holds = false;
      const fed = this.feed();
      if (fed === DONE) continue;
      // The peer sent nothing more before it broke the connection.
      if (sendFailure !== undefined) throw (this.#failure = sendFailure);
      return fed;
    }
  }

  read(into: Uint8Array): number {
    assertBytes(into);
    if (!this.established) {
      const code = this.handshake();
      if (code !== DONE) return code;
    }
    // Data that arrived before a failure are read before it is reported.
    if (this.rehandshake.hasSurplus) return this.rehandshake.takeSurplus(into);
    this.#assertOpen();
    for (let feeds = 0; ; feeds++) {
      if (this.holds) {
        this.rehandshake.beginDue();
        const count = this.#ssl.read(into);
        if (count > 0) {
          // One call reads at most one record. If it filled the buffer, OpenSSL may hold the rest; otherwise only the
          // BIO can hold more.
          this.holds = count === into.length || this.#ciphertext.holds;
          if (!this.#hasOpened) this.opened();
          return count;
        }
        this.holds = false;
        if (count === END) return END;
        if (count !== WANT_READ) throw this.fail();
        this.#ciphertext.deflate(KEPT_AT_MOST);
      }
      // Send what OpenSSL has written by itself, such as the answer to a key update. A read does not wait for that, but
      // when too many such bytes are pending, it reads nothing more.
      if (this.#ciphertext.trySeal() !== DONE && this.#ciphertext.pendingBytes > PENDING_AT_MOST) return WANT_WRITE;
      // A peer can send records without data, such as key updates, endlessly: give other connections a turn, and
      // continue in the next one.
      if (feeds === FEEDS_PER_READ) return WANT_READ;
      const fed = this.feed();
      if (fed !== DONE) return fed;
    }
  }

  write(from: Uint8Array): number {
    assertBytes(from);
    if (!this.established) {
      const code = this.handshake();
      if (code !== DONE) return code;
    }
    this.#assertOpen();
    if (this.#sentCloseNotify) throw new ClosedError('send refused: this side has sent close_notify');
    if (this.#ciphertext.pendingBytes > 0 || this.#ciphertext.sendFailure !== undefined) {
      const flushed = this.seal();
      if (flushed !== DONE) return flushed;
    }
    if (from.length === 0) return 0;
    if (!this.rehandshake.isSettled()) {
      // Only a read can continue it: data of the peer may arrive first, and OpenSSL reports them as an error inside a
      // write.
      const code = this.rehandshake.proceed(settled);
      if (code !== DONE) return code === YIELD ? 0 : code;
    }
    if (this.#ticketsDue > 0) this.#giveTickets();
    const count = this.#ssl.write(from, Math.min(from.length, SEALED_AT_MOST));
    if (count === FAILED) throw this.fail();
    this.seal();
    return count;
  }

  flush(): StepCode {
    if (this.#ciphertext.pendingBytes === 0 && this.#ciphertext.sendFailure === undefined)
      return this.#ciphertext.below.flush();
    return this.seal();
  }

  shutdown(): StepCode {
    // A listener may have closed the connection when the handshake was complete.
    if (this.#ssl.pointer === 0) throw this.failure as Error;
    if (this.established && this.#failure === undefined && !this.#sentCloseNotify) {
      if (!this.rehandshake.isSettled()) {
        // close_notify cannot be sent in the middle of a handshake.
        const code = this.rehandshake.proceed(settled);
        if (code !== DONE) return code === YIELD ? WANT_READ : code;
      }
      const flushed = this.flush();
      if (flushed !== DONE) return flushed;
      this.#sentCloseNotify = true;
      this.#ssl.shutdown();
      this.seal();
      this.#ciphertext.isFinal = true;
    }
    const flushed = this.seal();
    return flushed === DONE ? this.#ciphertext.below.shutdown() : flushed;
  }

  close(): void {
    this.free();
    this.#ciphertext.below.close();
  }

  abort(): void {
    this.free();
    this.#ciphertext.below.abort();
  }

  /**
   * Takes over the session of another connection, with its certificate and key.
   * @throws {TlsError} when OpenSSL refuses the session.
   * @throws {ClosedError} when the handshake has begun.
   */
  copySession(from: TlsTransport): void {
    if (this.#ssl.pointer === 0 || this.#openssl.SSL_in_before(this.#ssl.pointer) === 0)
      throw new ClosedError('copySessionFrom refused: the handshake has begun');
    this.offer.copy(this.#ssl.pointer, from.ssl, from.settings.trustScope);
  }

  #assertOpen(): void {
    if (this.#failure !== undefined || this.#ssl.pointer === 0) throw this.failure as Error;
  }

  /** Makes the SSL object. @throws {TlsError} when OpenSSL has no memory, or refuses the name or the session. */
  #begin(settings: ContextSettings): void {
    const ssl = this.#ssl.create(settings.pointer);
    this.#ciphertext.attach(ssl);
    this.answers.exchange.begin(settings, ssl);
    this.answers.trust.verifyModes = settings.verifyModes;
    try {
      if (settings.role === 'server') this.#openssl.SSL_set_accept_state(ssl);
      else this.#beginAsClient(ssl, settings);
    } catch (error) {
      this.#ssl.discard();
      throw error;
    }
    this.#ssl.answerBy(this.answers);
  }

  #beginAsClient(ssl: Pointer, { verifiesName, nameRules, requestsStaple, verifyModes }: ContextSettings): void {
    const { serverName = '', tlsa } = this.options;
    this.#openssl.SSL_set_connect_state(ssl);
    if (tlsa !== undefined) {
      requireTlsa(ssl, serverName, tlsa);
      // TLSA records are checked only when OpenSSL verifies the server's certificate.
      this.rehandshake.setVerify(verifyModes | c.SSL_VERIFY_PEER);
    }
    expectName(ssl, serverName, verifiesName && tlsa === undefined ? nameRules : undefined);
    if (requestsStaple) this.#openssl.SSL_ctrl(ssl, c.SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, c.TLSEXT_STATUSTYPE_OCSP, 0);
    this.offer.begin(ssl);
  }

  /** Restarts the handshake with the chosen context: a new SSL object reads the client's bytes again. */
  #switchTo(settings: ContextSettings): void {
    if (settings.role !== this.settings.role)
      throw (this.#failure = new TlsError(`handshake failed: the chosen context is for a ${settings.role}`, {
        reason: 'wrong role',
      }));
    this.#ssl.discard();
    this.#begin(settings);
  }

  #establish(): void {
    const { settings } = this;
    const reused = this.#ssl.hasReused;
    const isVerified = (settings.verifyModes & c.SSL_VERIFY_PEER) !== 0 && !this.answers.trust.usesPsk;
    try {
      this.checkPeer();
      if (this.offer.isGiven && reused && isVerified) checkGivenSession(this.#ssl.pointer, this.options, settings);
    } catch (error) {
      throw (this.#failure = error as Error);
    }
    const { isTls13 } = this.#ssl;
    this.answers.complete(reused, isTls13);
    const { resumption } = this.answers.sessions;
    // A failed one was already counted when it failed.
    if (resumption !== 'failed') settings.sessions.counts.count(resumption);
    if (settings.role === 'server' && settings.resumption !== 'off' && isTls13)
      this.#ticketsDue = reused ? Math.min(1, settings.tickets) : settings.tickets;
    this.#ciphertext.recordNoMore();
    // Data may have arrived together with the last flight.
    this.holds = true;
    this.#ciphertext.deflate(0);
    this.#listener.established();
  }

  /**
   * Sends a TLS 1.3 client its tickets. It waits for this side's first data, so that a client that never reads cannot
   * hold up the handshake.
   */
  #giveTickets(): void {
    const count = this.#ticketsDue;
    this.#ticketsDue = 0;
    this.rehandshake.post('tickets', () => {
      let result = 1;
      for (let index = 0; index < count && result > 0; index++)
        result = this.#openssl.SSL_new_session_ticket(this.#ssl.pointer);
      return result;
    });
  }

  // For the parts of this transport (`SslOwner`, `RehandshakeOwner`).

  checkPeer(): void {
    try {
      checkExpected(this.#ssl.pointer, this.options, this.settings);
    } catch (error) {
      throw (this.#failure = error as Error);
    }
  }

  opened(): void {
    if (this.#hasOpened) return;
    this.#hasOpened = true;
    this.offer.accepted();
  }

  /** Acts on OpenSSL's reports. Listeners are notified later, in a microtask. */
  called(hasFailed: boolean): void {
    if (!hasFailed) this.rehandshake.checkLateCertificate();
    const { exchange, progress, sessions } = this.answers;
    if (!exchange.hasNews) return;
    exchange.hasNews = false;
    if (progress.hasLines || sessions.hasMade)
      queueMicrotask(() => {
        this.#report();
      });
    // After a failed call the caller handles the failure and the error queue.
    if (!progress.established || hasFailed) return;
    if (progress.isHandshaking) this.rehandshake.settle();
    if (exchange.error !== undefined) throw this.fail();
  }

  #report(): void {
    const { progress, sessions } = this.answers;
    const { keyLog, role, trustScope } = this.settings;
    for (const line of progress.takeLines()) {
      keyLog?.write(line);
      if (keyLog?.tells === true) this.#listener.keyLogged(line);
    }
    for (const session of sessions.takeMade()) {
      if (role === 'client') {
        session.madeIn(trustScope);
        this.offer.keep(session, this.#lookups.time);
      } else sessions.save(session, this.#lookups.time);
      this.settings.sessions.announce(session);
      this.#listener.sessionMade(session);
    }
  }

  /**
   * Reads more ciphertext.
   * @returns `DONE` when OpenSSL has something to read, otherwise the want of the transport below.
   */
  feed(): StepCode {
    if (this.#ciphertext.ended) throw this.fail();
    try {
      return this.#fed();
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  /**
   * Sends sealed bytes. When a write to the transport below has failed, the peer may have sent an alert that says why.
   * So it first reads what the peer has sent, up to 64 KiB, but stops at data, which are left for the reads.
   * @throws {TlsError} with the peer's alert, if it is found.
   * @throws the error of the transport below otherwise.
   */
  seal(): StepCode {
    const flushed = this.#ciphertext.sealOrNote();
    const { sendFailure } = this.#ciphertext;
    if (sendFailure === undefined) return flushed;
    const { received } = this;
    while (
      this.received - received < ALERT_SEARCH_BYTES &&
      !this.rehandshake.hasSurplus &&
      this.#failure === undefined
    ) {
      if (this.#ciphertext.ended || this.#peek() || !this.#receivesMore()) break;
    }
    throw sendFailure;
  }

  /**
   * @returns whether there are more bytes that the peer sent before it broke the connection. An error of this read is
   * ignored: a later read reports it.
   */
  #receivesMore(): boolean {
    try {
      return this.#fed() === DONE;
    } catch {
      return false;
    }
  }

  #fed(): StepCode {
    const fed = this.#ciphertext.feed();
    if (fed === DONE) this.holds = true;
    return fed;
  }

  /**
   * @returns whether data of the peer can be read; they stay there.
   * @throws {Error} when the peer has ended the connection with an alert.
   */
  #peek(): boolean {
    const outcome = this.#ssl.peek();
    if (outcome === FAILED) throw this.fail();
    return outcome > 0;
  }

  /**
   * Ends the connection after a failed call: empties the error queue, and tries to send the alert.
   * @returns the error.
   */
  fail(): Error {
    const { exchange, progress } = this.answers;
    const { settings } = this;
    this.#failure = exchange.error ?? this.#reason();
    this.#openssl.ERR_clear_error();
    if (settings.role === 'server') this.#restoreSession();
    else if (this.#mayBlameSession(this.#failure, progress.established)) this.offer.blame(this.#lookups.time);
    try {
      this.#ciphertext.seal();
    } catch {
      // The transport below accepts nothing more, so the alert is lost.
    }
    return this.#failure;
  }

  /** @returns the reason why OpenSSL or the transport below has failed. */
  #reason(): Error {
    const { progress, trust } = this.answers;
    const { settings } = this;
    if (!this.#ciphertext.ended)
      return tlsFailure(this.#ssl.pointer, {
        what: progress.established ? 'TLS' : 'handshake',
        role: settings.role,
        serverName: this.options.serverName,
        firstBytes: this.#ciphertext.firstBytes,
        sent: progress.alert?.sent === true ? progress.alert.number : undefined,
        depth: trust.faults.at(-1)?.depth,
        rules: settings.nameRules,
        asksForPsk: settings.pskServer !== undefined,
      });
    if (progress.established)
      return new TruncatedError('the peer closed the connection without close_notify; bytes may be missing');
    return (
      this.#ciphertext.sendFailure ??
      new ClosedError('handshake failed: the peer closed the connection before it was complete')
    );
  }

  #mayBlameSession(failure: Error, established: boolean): boolean {
    if (!mayBlameSession(failure)) return false;
    if (!established) return true;
    // A server may refuse the session after the client's handshake is complete. Its alert then arrives before any data.
    return !this.#hasOpened && this.answers.sessions.resumption === 'resumed';
  }

  /**
   * Puts a session back that OpenSSL has removed from its cache because an alert ended its handshake. Under TLS 1.2 the
   * ids are not encrypted, so a stranger could otherwise remove the session of another client. It is not put back after
   * the peer has proved that it has the session's key.
   */
  #restoreSession(): void {
    const { settings } = this;
    if (this.established || settings.resumption !== 'stateful' || !this.#ssl.hasReused) return;
    const session = this.#openssl.SSL_get_session(this.#ssl.pointer);
    if (session !== 0) settings.sessions.restore(session);
  }

  free(): void {
    if (this.#ssl.pointer === 0) return;
    if (!this.#ssl.free(this.established && !(this.#failure instanceof TlsError))) return;
    this.#lookups.close();
    this.#ciphertext.detach();
    this.rehandshake.dropSurplus();
    living--;
  }
}

/** How many TLS connections hold memory of OpenSSL. */
export function livingTlsTransports(): number {
  return living;
}

/** Throws before the call into C: an argument that is not bytes would throw in the middle of it. */
function assertBytes(bytes: unknown): asserts bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('bytes must be a Uint8Array or a Buffer');
}

let living = 0;
const NO_LISTENER: Omit<TlsTransportListener, 'time'> = {
  established: () => undefined,
  keyLogged: () => undefined,
  sessionMade: () => undefined,
};
// Four records, which one system call can send.
const SEALED_AT_MOST = 64 * 1024;
// RFC 8446, section 6.1: this alert precedes close_notify.
const USER_CANCELED = 90;
const FEEDS_PER_READ = 16;
// An alert, and the records that OpenSSL may have to read before it.
const ALERT_SEARCH_BYTES = 64 * 1024;
const PENDING_AT_MOST = 64 * 1024;
// More than a handshake flight. A connection that has held more frees the memory when it becomes idle.
const KEPT_AT_MOST = 32 * 1024;
