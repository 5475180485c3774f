/**
 * TLS as a transport over any transport.
 *
 * Theory of operation. OpenSSL talks to two memory BIOs: we put received ciphertext into one and take what is to be
 * sent out of the other. A memory BIO never blocks and never wants to write, so the wants are made here: WANT_READ only
 * when the BIO is drained and the transport below has said so itself; WANT_WRITE while sealed bytes are pending that
 * the transport below does not take. What OpenSSL has sealed belongs to this transport, goes out by itself, and is
 * never sealed again: a byte that `write` has counted is as good as sent. Nothing more is sealed, and above a bound
 * nothing more is taken in, while ciphertext is pending: so a peer that sends and does not read cannot make us grow.
 */

import type { TimeSource } from '../../core/clock.ts';
import { ClosedError, TruncatedError } from '../../core/errors.ts';
import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { Answers } from './answers/answers.ts';
import { SessionOffer } from './answers/offer.ts';
import { Ciphertext } from './ciphertext.ts';
import * as c from './constants.ts';
import type { TlsConnectionOptions } from './context/options.ts';
import type { ContextSettings } from './context/settings.ts';
import { requireTlsa } from './dane.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { checkExpected, checkGivenSession } from './peer-check.ts';
import { Rehandshake } from './rehandshake.ts';
import type { RehandshakeOwner } from './rehandshake.ts';
import { expectName } from './server-name.ts';
import { mayBlameSession } from './sessions/session-fault.ts';
import type { TlsSession } from './sessions/session.ts';
import { FAILED, Ssl } from './ssl.ts';
import type { SslOwner } from './ssl.ts';
import { TlsError } from './tls-error.ts';
import { tlsFailure } from './tls-failure.ts';

/** What a TLS transport reports, always after the foreign call in which it learned of it. */
export interface TlsTransportListener {
  established(): void;
  keyLogged(line: string): void;
  sessionMade(session: TlsSession): void;
  /** The time by which the connection lives. */
  readonly time: TimeSource;
}

/** One TLS connection. Owns its SSL object and the transport below. */
export class TlsTransport implements Transport, SslOwner, RehandshakeOwner {
  readonly options: TlsConnectionOptions;
  /** What it answers OpenSSL, and what it was told. */
  readonly answers: Answers;
  /** The session that it offers, as a client. */
  readonly offer: SessionOffer;
  /** Handshakes in the middle of the connection. */
  readonly rehandshake: Rehandshake;
  /** Whether the read BIO or OpenSSL may hold more than has been read. */
  holds = false;

  #failure: Error | undefined;
  readonly #openssl: OpenSsl;
  readonly #ssl: Ssl;
  readonly #ciphertext: Ciphertext;
  #saidGoodbye = false;
  /** Whether data of the peer were decrypted. */
  #hasOpened = false;
  /** Tickets that a client of TLS 1.3 is still to get, before anything else is sent to it. */
  #ticketsDue = 0;
  #listener: TlsTransportListener = NOBODY;
  /** Ends the waiting for the last answer. */
  #cancelQuestion: (() => void) | undefined;
  #wake: () => void = () => undefined;

  /**
   * @param offersNone whether a client offers no session, because a connection that offered one has failed.
   * @throws {TlsError} when OpenSSL has no memory, or refuses the name.
   */
  constructor(below: Transport, settings: ContextSettings, options: TlsConnectionOptions, offersNone = false) {
    this.#openssl = openssl();
    this.#ssl = new Ssl(this);
    this.#ciphertext = new Ciphertext(below);
    this.options = options;
    this.answers = new Answers(settings, {
      now: () => this.#listener.time.now(),
      after: (ms, task) => (this.#cancelQuestion = this.#listener.time.after(ms, task)),
      wake: () => {
        // The connection may have been closed in between.
        if (this.#ssl.pointer !== 0) this.#wake();
      },
    });
    this.offer = new SessionOffer(options, this.answers.exchange, this.answers.sessions, offersNone);
    this.rehandshake = new Rehandshake(this, this.#ssl, this.answers, options.maxAheadBytes);
    this.#begin(settings);
    if (settings.choose !== undefined) this.#ciphertext.record();
    living++;
  }

  /** What ended it for both directions, once something has. */
  get failure(): Error | undefined {
    // An error takes its time to make, and most connections are closed without anybody asking.
    if (this.#ssl.isClosed) this.#failure ??= new ClosedError('the connection is closed');
    return this.#failure;
  }

  /** The settings that hold for it: those of its context, or of the one that was chosen. */
  get settings(): ContextSettings {
    return this.answers.exchange.settings;
  }

  /** The SSL object, for questions; 0 when closed. */
  get ssl(): Pointer {
    return this.#ssl.pointer;
  }

  /** Whether the handshake is complete, and its last flight is out or data have come from the peer behind it. */
  get established(): boolean {
    return this.answers.progress.established;
  }

  /** Sets whom to report to. */
  listen(listener: TlsTransportListener): void {
    this.#listener = listener;
  }

  get hasBuffered(): boolean {
    return (
      this.rehandshake.hasSurplus || (this.#failure === undefined && (this.holds || this.#ciphertext.below.hasBuffered))
    );
  }

  get hasUnflushed(): boolean {
    return this.#ciphertext.pendingBytes > 0 || this.#ciphertext.below.hasUnflushed;
  }

  /** How many sealed bytes wait for the transport below. */
  get unflushedBytes(): number {
    return this.#ciphertext.pendingBytes;
  }

  get received(): number {
    return this.#ciphertext.below.received;
  }

  onLookupAnswered(wake: () => void): void {
    this.#wake = wake;
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
      // The decision stands: what has come in is not needed a second time.
      else if (hello.hasDecided) this.#ciphertext.recordNoMore();
      const outcome = this.#ssl.handshake();
      if (outcome === WANT_LOOKUP) {
        if (hello.consider()) continue;
        return WANT_LOOKUP;
      }
      if (outcome === END)
        throw (this.#failure = new ClosedError(
          `handshake failed: the peer has ${this.answers.progress.alert?.number === USER_CANCELED ? 'cancelled it and ' : ''}closed the connection in the middle of it (close_notify)`,
        ));
      if (outcome === FAILED) throw this.fail();
      const flushed = this.#ciphertext.sealOrNote();
      if (flushed !== DONE) return flushed;
      const { sendFailure } = this.#ciphertext;
      // When the last flight is lost, data from the peer show that the handshake is complete all the same.
      if (outcome === DONE && (sendFailure === undefined || this.#peek())) {
        // An answer has thrown, and OpenSSL has gone on without it.
        if (exchange.error !== undefined) throw this.fail();
        this.#establish();
        // A listener may have closed it.
        if (this.#ssl.pointer === 0) throw this.failure as Error;
        return DONE;
      }
      // OpenSSL has used up what it was given: only the transport below can have more.
      this.holds = false;
      const fed = this.feed();
      if (fed === DONE) continue;
      // The peer has said nothing more before it broke the connection.
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
    // What came before a failure is read before it.
    if (this.rehandshake.hasSurplus) return this.rehandshake.takeSurplus(into);
    this.#assertOpen();
    for (let feeds = 0; ; feeds++) {
      if (this.holds) {
        this.rehandshake.beginDue();
        const count = this.#ssl.read(into);
        if (count > 0) {
          // One call reads one record at most. A full buffer may have left some of it; else the BIO knows what is left.
          this.holds = count === into.length || this.#ciphertext.holds;
          if (!this.#hasOpened) this.opened();
          return count;
        }
        this.holds = false;
        if (count === END) return END;
        if (count !== WANT_READ) throw this.fail();
        this.#ciphertext.deflate(KEPT_AT_MOST);
      }
      // What OpenSSL answered by itself, such as a key update, goes out; a read never waits for it, but too much of it
      // stops the intake.
      if (this.#ciphertext.trySeal() !== DONE && this.#ciphertext.pendingBytes > PENDING_AT_MOST) return WANT_WRITE;
      // Records without data, such as key updates, may come without end: the others have their turn, and this goes on
      // in the next.
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
    if (this.#saidGoodbye) throw new ClosedError('send refused: this side has said that it sends nothing more');
    if (this.#ciphertext.pendingBytes > 0 || this.#ciphertext.sendFailure !== undefined) {
      const flushed = this.seal();
      if (flushed !== DONE) return flushed;
    }
    if (from.length === 0) return 0;
    if (!this.rehandshake.isSettled()) {
      // Only a read may continue it: data of the peer may come first, which OpenSSL takes for a fault inside a write.
      const code = this.rehandshake.proceed(this.rehandshake.isSettled);
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
    // A listener may have closed it when the handshake was complete.
    if (this.#ssl.pointer === 0) throw this.failure as Error;
    if (this.established && this.#failure === undefined && !this.#saidGoodbye) {
      if (!this.rehandshake.isSettled()) {
        // No goodbye can be said in the middle of a handshake.
        const code = this.rehandshake.proceed(this.rehandshake.isSettled);
        if (code !== DONE) return code === YIELD ? WANT_READ : code;
      }
      const flushed = this.flush();
      if (flushed !== DONE) return flushed;
      this.#saidGoodbye = true;
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
   * @throws {TlsError} when OpenSSL refuses.
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

  /** Makes the SSL object. @throws {TlsError} when OpenSSL has no memory, or refuses the name. */
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
      // Records prove who the server is only if it is asked for the proof.
      this.rehandshake.setVerify(verifyModes | c.SSL_VERIFY_PEER);
    }
    expectName(ssl, serverName, verifiesName && tlsa === undefined ? nameRules : undefined);
    if (requestsStaple) this.#openssl.SSL_ctrl(ssl, c.SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, c.TLSEXT_STATUSTYPE_OCSP, 0);
    this.offer.begin(ssl);
  }

  /** Starts over with another context, as if the client had come there: a new SSL object reads what it has said. */
  #switchTo(settings: ContextSettings): void {
    if (settings.role !== this.settings.role)
      throw (this.#failure = new TlsError(`handshake failed: the chosen context is one for a ${settings.role}`, {
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
    // One that has failed was counted then.
    if (resumption !== 'failed') settings.sessions.counts.count(resumption);
    if (settings.role === 'server' && settings.resumption !== 'off' && isTls13)
      this.#ticketsDue = reused ? Math.min(1, settings.tickets) : settings.tickets;
    this.#ciphertext.recordNoMore();
    // Data may have come along with the last flight.
    this.holds = true;
    this.#ciphertext.deflate(0);
    this.#listener.established();
  }

  /**
   * Gives a client of TLS 1.3 its tickets: as late as its first data, so that one that never reads cannot hold up a
   * handshake.
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

  // For its parts.

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

  /** Acts on what OpenSSL has reported. What users are to hear goes out later, when the bytes that came along are out. */
  called(hasFailed: boolean): void {
    if (!hasFailed) this.rehandshake.checkLateCertificate();
    const { exchange, progress, sessions } = this.answers;
    if (!exchange.hasNews) return;
    exchange.hasNews = false;
    if (progress.hasLines || sessions.hasMade) queueMicrotask(this.#report);
    // The caller deals with a call that has failed, and with the error queue.
    if (!progress.established || hasFailed) return;
    if (progress.isHandshaking) this.rehandshake.settle();
    if (exchange.error !== undefined) throw this.fail();
  }

  readonly #report = (): void => {
    const { progress, sessions } = this.answers;
    const { keyLog, role, trustScope } = this.settings;
    for (const line of progress.takeLines()) {
      keyLog?.write(line);
      if (keyLog?.tells === true) this.#listener.keyLogged(line);
    }
    for (const session of sessions.takeMade()) {
      if (role === 'client') {
        session.madeIn(trustScope);
        this.offer.keep(session, this.#listener.time);
      } else sessions.save(session, this.#listener.time);
      this.settings.sessions.made(session);
      this.#listener.sessionMade(session);
    }
  };

  /** Lets more ciphertext come in; `DONE` when OpenSSL may go on. */
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
   * Sends what is sealed. When the transport below takes nothing more, the peer may have said why: then that is thrown,
   * unless data come first, which are for the reads.
   * @throws {Error}
   */
  seal(): StepCode {
    const flushed = this.#ciphertext.sealOrNote();
    const { sendFailure } = this.#ciphertext;
    if (sendFailure === undefined) return flushed;
    const { received } = this;
    while (this.received - received < HEARD_AT_MOST && !this.rehandshake.hasSurplus && this.#failure === undefined) {
      if (this.#ciphertext.ended || this.#peek() || !this.#hears()) break;
    }
    throw sendFailure;
  }

  /**
   * Whether more has come in of what the peer said before it broke the connection. How it broke is for the reads:
   * nothing has failed by it yet.
   */
  #hears(): boolean {
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
   * Whether data of the peer are there, which stay there.
   * @throws {Error} when the peer has ended the connection by an alert.
   */
  #peek(): boolean {
    const outcome = this.#ssl.peek();
    if (outcome === FAILED) throw this.fail();
    return outcome > 0;
  }

  /** Makes the failure, takes the error queue with it, and gives the alert a chance to go out. */
  fail(): Error {
    const { exchange, progress } = this.answers;
    const { settings } = this;
    this.#failure = exchange.error ?? this.#reason();
    this.#openssl.ERR_clear_error();
    if (settings.role === 'server') this.#restoreSession();
    else if (this.#mayBlameSession(this.#failure, progress.established)) this.offer.blame(this.#listener.time);
    try {
      this.#ciphertext.seal();
    } catch {
      // The peer is gone: there is nobody left to be told.
    }
    return this.#failure;
  }

  /** Why OpenSSL or the transport below has failed. */
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
      new ClosedError('handshake failed: the peer closed the connection in the middle of it')
    );
  }

  #mayBlameSession(failure: Error, established: boolean): boolean {
    if (!mayBlameSession(failure)) return false;
    if (!established) return true;
    // A server may refuse when the client's handshake is complete: in a resumed handshake of either version the client
    // is not the first to be done. Then what the server says comes before any data.
    return !this.#hasOpened && this.answers.sessions.resumption === 'resumed';
  }

  /**
   * OpenSSL takes a session out of its own cache when an alert ends a handshake with it. Under TLS 1.2 ids cross in the
   * clear, so that a stranger could erase the session of another client: it is put back unless the peer has proved that
   * it has the key.
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
    this.#cancelQuestion?.();
    this.#ciphertext.detach();
    this.rehandshake.dropSurplus();
    living--;
  }
}

/** How many TLS connections hold memory of OpenSSL's. */
export function livingTlsTransports(): number {
  return living;
}

/** What is no memory must not reach a foreign call, which would end in the middle. */
function assertBytes(bytes: unknown): asserts bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('bytes are a Uint8Array or a Buffer');
}

let living = 0;
// A transport without a connection lives by the process's time.
const NOBODY: TlsTransportListener = {
  established: () => undefined,
  keyLogged: () => undefined,
  sessionMade: () => undefined,
  time: {
    now: () => performance.now(),
    after: (ms, wake) => {
      const timer = setTimeout(wake, ms);
      return () => {
        clearTimeout(timer);
      };
    },
  },
};
// Four records, which one system call takes.
const SEALED_AT_MOST = 64 * 1024;
// RFC 8446, section 6.1: it comes before the goodbye.
const USER_CANCELED = 90;
const FEEDS_PER_READ = 16;
// An alert, and what OpenSSL may have to read before it.
const HEARD_AT_MOST = 64 * 1024;
const PENDING_AT_MOST = 64 * 1024;
// More than a handshake flight; a connection that moved more gives the memory back when it falls idle.
const KEPT_AT_MOST = 32 * 1024;
