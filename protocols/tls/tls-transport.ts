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
import { BoundsError, BusyError, ClosedError, TruncatedError } from '../../core/errors.ts';
import { InputBuffer } from '../../core/input-buffer.ts';
import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { answer, answerNoMore, callbacks } from './callbacks.ts';
import { Ciphertext } from './ciphertext.ts';
import { certificateOf } from './certificates/certificate.ts';
import { checkPeer } from './certificates/check-peer.ts';
import * as c from './constants.ts';
import { requireTlsa } from './dane.ts';
import { Negotiation } from './negotiation.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import type { TlsConnectionOptions } from './context/options.ts';
import { expectName } from './server-name.ts';
import { peerFinished } from './finished.ts';
import type { ContextSettings } from './context/settings.ts';
import { SessionDesk } from './sessions/session-desk.ts';
import { mayBlameSession } from './sessions/session-fault.ts';
import type { TlsSession } from './sessions/session.ts';
import { CertificateError, refused, TlsError } from './tls-error.ts';
import { tlsFailure } from './tls-failure.ts';

/** What a TLS transport tells, always after the foreign call that it learned of it in. */
export interface TlsTransportListener {
  established(): void;
  keyLogged(line: string): void;
  sessionMade(session: TlsSession): void;
  /** The time by which the connection lives. */
  readonly time: TimeSource;
}

/** One TLS connection. Owns its SSL object and the transport below. */
export class TlsTransport implements Transport, TimeSource {
  readonly options: TlsConnectionOptions;
  /** What was asked and noted on the way. */
  readonly negotiation: Negotiation;
  /** What it does with sessions. */
  readonly sessions: SessionDesk;

  #failure: Error | undefined;
  readonly #openssl: OpenSsl;
  readonly #ciphertext: Ciphertext;
  #ssl: Pointer = 0;
  /** Whether a call into OpenSSL is on the stack: an SSL object must not be freed inside its own callback. */
  #calling = false;
  #closing = false;
  /** Whether the read BIO or OpenSSL may hold more than has been read. */
  #holds = false;
  #saidGoodbye = false;
  /** Whether data of the peer have been opened. */
  #hasOpened = false;
  /** Data that came along while a handshake in the middle of the connection went on, for the next reads. */
  #surplus: InputBuffer | undefined;
  /** The client's Finished message before it was asked for a certificate (TLS 1.3). */
  #finishedBefore: Buffer | undefined;
  /** A renegotiation is to begin. */
  #isDue = false;
  /** Tickets that a client of TLS 1.3 is still to get, before anything else is sent to it. */
  #ticketsDue = 0;
  #listener: TlsTransportListener = NOBODY;
  /** Ends the waiting for what was asked last. */
  #cancelQuestion: (() => void) | undefined;
  #wake: () => void = () => undefined;

  /**
   * @param offersNone whether a client offers no session, because a connection that offered one has failed.
   * @throws {TlsError} when OpenSSL has no memory, or refuses the name.
   */
  constructor(below: Transport, settings: ContextSettings, options: TlsConnectionOptions, offersNone = false) {
    this.#openssl = openssl();
    this.#ciphertext = new Ciphertext(below);
    this.options = options;
    this.negotiation = new Negotiation(settings);
    this.sessions = new SessionDesk(options, this.negotiation, offersNone);
    this.#begin(settings);
    if (settings.choose !== undefined) this.#ciphertext.record();
    living++;
  }

  /** What ended it for both directions, once something has. */
  get failure(): Error | undefined {
    // An error takes its time to make, and most connections are closed without anybody asking.
    if (this.#ssl === 0 || this.#closing) this.#failure ??= new ClosedError('the connection is closed');
    return this.#failure;
  }

  /** The SSL object, for questions; 0 when closed. */
  get ssl(): Pointer {
    return this.#ssl;
  }

  /** Whether the handshake is complete, and its last flight is out or data have come from the peer behind it. */
  get established(): boolean {
    return this.negotiation.established;
  }

  /** Whether this is TLS 1.3, where connections are refreshed in other ways than before. */
  get isTls13(): boolean {
    return this.#openssl.SSL_version(this.#ssl) >= c.VERSIONS['TLSv1.3'];
  }

  /** Sets whom to tell. */
  listen(listener: TlsTransportListener): void {
    this.#listener = listener;
  }

  /** The time of what this connection asks others. */
  now(): number {
    return this.#listener.time.now();
  }

  /** Waits for an answer, as long as the connection lives. */
  after(ms: number, wake: () => void): () => void {
    return (this.#cancelQuestion = this.#listener.time.after(ms, wake));
  }

  get hasBuffered(): boolean {
    return (
      this.#surplus !== undefined ||
      (this.#failure === undefined && (this.#holds || this.#ciphertext.below.hasBuffered))
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
    if (this.#failure !== undefined || this.#ssl === 0) throw this.failure as Error;
    if (this.negotiation.established) return DONE;
    const { negotiation } = this;
    if (negotiation.waiting || !negotiation.prepare(this.#answered)) return WANT_LOOKUP;
    if (negotiation.settings.role === 'client') {
      if (negotiation.error !== undefined) throw (this.#failure = negotiation.error);
      if (!this.sessions.prepare(this.#ssl, this.#answered, this)) return WANT_LOOKUP;
    }
    for (;;) {
      const chosen = negotiation.takeChosen();
      if (chosen !== undefined) this.#switchTo(chosen);
      // What has come in need not be said again.
      else if (negotiation.hasDecided) this.#ciphertext.recordNoMore();
      this.#enter();
      const result = this.#openssl.SSL_do_handshake(this.#ssl);
      const reason = result === 1 ? 0 : this.#openssl.SSL_get_error(this.#ssl, result);
      this.#leave(reason);
      if (reason === c.SSL_ERROR_WANT_CLIENT_HELLO_CB) {
        if (negotiation.consider(this.#answered, this)) continue;
        return WANT_LOOKUP;
      }
      if (reason === c.SSL_ERROR_ZERO_RETURN)
        throw (this.#failure = new ClosedError(
          `handshake failed: the peer has ${negotiation.alert?.number === USER_CANCELED ? 'cancelled it and ' : ''}closed the connection in the middle of it (close_notify)`,
        ));
      if (reason !== 0 && reason !== c.SSL_ERROR_WANT_READ) throw this.#fail();
      const flushed = this.#ciphertext.sealOrNote();
      if (flushed !== DONE) return flushed;
      const { sendFailure } = this.#ciphertext;
      // When the last flight is lost, data from the peer show that the handshake is complete all the same.
      if (reason === 0 && (sendFailure === undefined || this.#peek())) {
        // An answer has thrown, and OpenSSL has gone on without it.
        if (negotiation.error !== undefined) throw this.#fail();
        this.#establish();
        // It may have been closed by whoever was told.
        if (this.#ssl === 0) throw this.failure as Error;
        return DONE;
      }
      // OpenSSL has used up what it was given: only the transport below can have more.
      this.#holds = false;
      const fed = this.#feed();
      if (fed === DONE) continue;
      // The peer has said nothing more before it broke the connection.
      if (sendFailure !== undefined) throw (this.#failure = sendFailure);
      return fed;
    }
  }

  read(into: Uint8Array): number {
    assertBytes(into);
    if (!this.negotiation.established) {
      const code = this.handshake();
      if (code !== DONE) return code;
    }
    // What came before a failure is read before it.
    if (this.#surplus !== undefined) return this.#takeSurplus(into);
    if (this.#failure !== undefined || this.#ssl === 0) throw this.failure as Error;
    for (let feeds = 0; ; feeds++) {
      if (this.#holds) {
        if (this.#isDue) this.#beginDue();
        this.#enter();
        const count = this.#openssl.SSL_read(this.#ssl, into, into.length);
        // Asked at once: whatever comes between may change what the error queue says.
        const reason = count > 0 ? 0 : this.#openssl.SSL_get_error(this.#ssl, count);
        this.#leave(reason);
        if (count > 0) {
          // One call reads one record at most. A full buffer may have left some of it; else the BIO knows what is left.
          this.#holds = count === into.length || this.#ciphertext.holds;
          if (!this.#hasOpened) this.#opened();
          return count;
        }
        this.#holds = false;
        if (reason === c.SSL_ERROR_ZERO_RETURN) return END;
        if (reason !== c.SSL_ERROR_WANT_READ) throw this.#fail();
        this.#ciphertext.deflate(KEPT_AT_MOST);
      }
      // What OpenSSL answered by itself, such as a key update, goes out; a read never waits for it, but too much of it
      // stops the intake.
      if (this.#ciphertext.trySeal() !== DONE && this.#ciphertext.pendingBytes > PENDING_AT_MOST) return WANT_WRITE;
      // Records without data, such as key updates, may come without end: the others have their turn, and this goes on
      // in the next.
      if (feeds === FEEDS_PER_READ) return WANT_READ;
      const fed = this.#feed();
      if (fed !== DONE) return fed;
    }
  }

  write(from: Uint8Array): number {
    assertBytes(from);
    if (!this.negotiation.established) {
      const code = this.handshake();
      if (code !== DONE) return code;
    }
    if (this.#failure !== undefined || this.#ssl === 0) throw this.failure as Error;
    if (this.#saidGoodbye) throw new ClosedError('send refused: this side has said that it sends nothing more');
    if (this.#ciphertext.pendingBytes > 0 || this.#ciphertext.sendFailure !== undefined) {
      const flushed = this.#seal();
      if (flushed !== DONE) return flushed;
    }
    if (from.length === 0) return 0;
    if (!this.hasShakenHands()) {
      // Only a read may go on with it: data of the peer may come first, which OpenSSL takes for a fault inside a write.
      const code = this.goOn(this.hasShakenHands);
      if (code !== DONE) return code === YIELD ? 0 : code;
    }
    if (this.#ticketsDue > 0) this.#giveTickets();
    this.#enter();
    const count = this.#openssl.SSL_write(this.#ssl, from, Math.min(from.length, SEALED_AT_MOST));
    this.#leave();
    if (count <= 0) throw this.#fail();
    this.#seal();
    return count;
  }

  flush(): StepCode {
    if (this.#ciphertext.pendingBytes === 0 && this.#ciphertext.sendFailure === undefined)
      return this.#ciphertext.below.flush();
    return this.#seal();
  }

  shutdown(): StepCode {
    // It may have been closed by whoever was told that the handshake is complete.
    if (this.#ssl === 0) throw this.failure as Error;
    if (this.negotiation.established && this.#failure === undefined && !this.#saidGoodbye) {
      if (!this.hasShakenHands()) {
        // No goodbye can be said in the middle of a handshake.
        const code = this.goOn(this.hasShakenHands);
        if (code !== DONE) return code === YIELD ? WANT_READ : code;
      }
      const flushed = this.flush();
      if (flushed !== DONE) return flushed;
      this.#saidGoodbye = true;
      this.#enter();
      if (this.#openssl.SSL_shutdown(this.#ssl) < 0) this.#openssl.ERR_clear_error();
      this.#leave();
      this.#seal();
      this.#ciphertext.isFinal = true;
    }
    const flushed = this.#seal();
    return flushed === DONE ? this.#ciphertext.below.shutdown() : flushed;
  }

  /**
   * Makes a renegotiation begin at the next end of a record; {@link goOn} completes it. (One that OpenSSL is asked for
   * in the middle of a record, or of the peer's own, is half forgotten.)
   * @throws {TlsError} under TLS 1.3.
   */
  renegotiate(): void {
    if (this.isTls13)
      throw new TlsError(
        'renegotiate refused: TLS 1.3 has no renegotiation; use updateKeys() or requestClientCertificate()',
        { reason: 'wrong version' },
      );
    // One that is on its way already, begun by an operation that has timed out, is the one that is meant.
    this.#isDue = !this.negotiation.renegotiates;
    this.negotiation.renegotiates = true;
  }

  /** Whether the renegotiation that was begun is complete. */
  readonly hasRenegotiated = (): boolean =>
    !this.#isDue && this.#ssl !== 0 && this.#openssl.SSL_renegotiate_pending(this.#ssl) === 0 && this.hasShakenHands();

  /**
   * Makes new keys for sending, and demands as much of the peer (TLS 1.3); they are in use once the transport is
   * flushed.
   * @throws {TlsError}
   */
  updateKeys(peerToo: boolean): void {
    if (!this.isTls13)
      throw new TlsError('updateKeys refused: it needs TLS 1.3; use renegotiate()', { reason: 'wrong version' });
    this.#post('updateKeys', () =>
      this.#openssl.SSL_key_update(this.#ssl, peerToo ? c.SSL_KEY_UPDATE_REQUESTED : c.SSL_KEY_UPDATE_NOT_REQUESTED),
    );
  }

  /**
   * Demands the client's certificate in the middle of the connection; {@link goOn} completes it.
   * @throws {TlsError} when it cannot be.
   */
  requestCertificate(modes: number): void {
    if (this.isTls13) this.#requestCertificate(modes);
    else {
      this.#setVerify(modes);
      this.renegotiate();
    }
  }

  #setVerify(modes: number): void {
    this.#openssl.SSL_set_verify(this.#ssl, modes, callbacks().verify);
    this.negotiation.verifyModes = modes;
  }

  #requestCertificate(modes: number): void {
    const { settings } = this.negotiation;
    if (settings.role !== 'server')
      throw new TlsError('requestClientCertificate refused: this side is the client', { reason: 'wrong role' });
    if (this.#finishedBefore !== undefined && !this.hasCertificate()) return;
    // OpenSSL sends one such message at a time, and an answer to the peer's key update would be it.
    if (this.#openssl.SSL_get_key_update_type(this.#ssl) !== c.SSL_KEY_UPDATE_NONE) this.updateKeys(false);
    const before = this.negotiation.verifyModes;
    this.#setVerify(modes);
    try {
      this.#post('requestClientCertificate', () => this.#openssl.SSL_verify_client_post_handshake(this.#ssl));
    } catch (error) {
      if (this.#ssl !== 0) this.#setVerify(before);
      throw error;
    }
    this.#finishedBefore = peerFinished(this.#ssl);
  }

  /**
   * Lets OpenSSL prepare a message of TLS 1.3 for after the handshake, and write it.
   * @throws {TlsError} when it refuses.
   */
  #post(what: string, prepare: () => number): void {
    this.#enter();
    const prepared = prepare();
    const result = prepared <= 0 ? prepared : this.#openssl.SSL_do_handshake(this.#ssl);
    this.#leave();
    if (prepared <= 0) throw refused(what);
    if (result <= 0) throw this.#fail();
  }

  /** Whether the client has answered the demand for its certificate. */
  readonly hasCertificate = (): boolean => {
    if (this.#finishedBefore === undefined) return this.hasRenegotiated();
    if (this.#finishedBefore.equals(peerFinished(this.#ssl)) || this.#openssl.SSL_in_init(this.#ssl) !== 0)
      return false;
    this.#finishedBefore = undefined;
    this.#checkExpected();
    return true;
  };

  /**
   * Goes on with a handshake in the middle of the connection until `isComplete`, and flushes what belongs to it. Data
   * that come along wait for the next reads.
   * @throws {BoundsError} when too much of it comes and nobody receives.
   */
  goOn(isComplete: () => boolean): StepCode | typeof YIELD {
    if (this.#failure !== undefined || this.#ssl === 0) throw this.failure as Error;
    for (let feeds = 0; ; feeds++) {
      const more = this.#readAhead();
      const flushed = this.#seal();
      if (flushed !== DONE) return flushed;
      if (isComplete()) {
        this.#settled();
        return DONE;
      }
      if (more === END)
        throw new ClosedError('the peer has closed the connection before the new handshake was complete');
      if (feeds === FEEDS_PER_READ) return YIELD;
      const fed = this.#feed();
      if (fed !== DONE) return fed;
    }
  }

  close(): void {
    this.#free();
    this.#ciphertext.below.close();
  }

  abort(): void {
    this.#free();
    this.#ciphertext.below.abort();
  }

  /** Makes the SSL object. @throws {TlsError} when OpenSSL has no memory, or refuses the name. */
  #begin(settings: ContextSettings): void {
    const ssl = this.#openssl;
    this.#ssl = ssl.SSL_new(settings.pointer);
    if (this.#ssl === 0) throw refused('no TLS connection');
    this.#ciphertext.attach(this.#ssl);
    this.negotiation.settings = settings;
    this.negotiation.verifyModes = settings.verifyModes;
    try {
      if (settings.role === 'server') ssl.SSL_set_accept_state(this.#ssl);
      else this.#beginAsClient(settings);
    } catch (error) {
      ssl.SSL_free(this.#ssl);
      this.#ssl = 0;
      throw error;
    }
    this.negotiation.ssl = this.#ssl;
    answer(this.#ssl, this.negotiation);
  }

  #beginAsClient(settings: ContextSettings): void {
    const ssl = this.#openssl;
    const { verifiesName, nameRules, requestsStaple } = settings;
    const { serverName = '', tlsa } = this.options;
    ssl.SSL_set_connect_state(this.#ssl);
    if (tlsa !== undefined) {
      requireTlsa(this.#ssl, serverName, tlsa);
      // Records that prove somebody are there to be asked for the proof.
      this.#setVerify(settings.verifyModes | c.SSL_VERIFY_PEER);
    }
    expectName(this.#ssl, serverName, verifiesName && tlsa === undefined ? nameRules : undefined);
    if (requestsStaple) ssl.SSL_ctrl(this.#ssl, c.SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, c.TLSEXT_STATUSTYPE_OCSP, 0);
    this.sessions.begin(this.#ssl);
  }

  /**
   * Gives a client of TLS 1.3 what it can come back with: as late as that, so that one that never reads cannot hold up
   * a handshake.
   */
  #giveTickets(): void {
    const count = this.#ticketsDue;
    this.#ticketsDue = 0;
    this.#post('tickets', () => {
      let result = 1;
      for (let index = 0; index < count && result > 0; index++)
        result = this.#openssl.SSL_new_session_ticket(this.#ssl);
      return result;
    });
  }

  /**
   * Takes over the session of another connection, with its certificate and key.
   * @throws {TlsError} when OpenSSL refuses.
   * @throws {ClosedError} when the handshake has begun.
   */
  copySession(from: TlsTransport): void {
    if (this.#ssl === 0 || this.#openssl.SSL_in_before(this.#ssl) === 0)
      throw new ClosedError('copySessionFrom refused: the handshake has begun');
    this.sessions.copy(this.#ssl, from.ssl, from.negotiation.settings.trustScope);
  }

  /** Begins anew with another context, as if the client had come there: what it has said is said again. */
  #switchTo(settings: ContextSettings): void {
    const { role } = this.negotiation.settings;
    if (settings.role !== role)
      throw (this.#failure = new TlsError(`handshake failed: the chosen context is one for a ${settings.role}`, {
        reason: 'wrong role',
      }));
    answerNoMore(this.#ssl);
    this.#openssl.SSL_free(this.#ssl);
    this.#ssl = 0;
    this.#begin(settings);
  }

  #establish(): void {
    const { settings } = this.negotiation;
    this.#checkExpected();
    if (this.sessions.isGiven) this.#checkGivenSession(settings);
    const reused = this.#openssl.SSL_session_reused(this.#ssl) === 1;
    this.negotiation.complete(reused, this.isTls13);
    // One that has failed was counted then.
    if (this.negotiation.resumption !== 'failed') settings.sessions.counts.count(this.negotiation.resumption);
    if (settings.role === 'server' && settings.resumption !== 'off' && this.isTls13)
      this.#ticketsDue = reused ? Math.min(1, settings.tickets) : settings.tickets;
    this.#ciphertext.recordNoMore();
    // Data may have come along with the last flight.
    this.#holds = true;
    this.#ciphertext.deflate(0);
    this.#listener.established();
  }

  /** A session that was not made here says of its peer what was found elsewhere, perhaps under another name. */
  #checkGivenSession({ verifyModes, verifiesName, nameRules, accepts }: ContextSettings): void {
    if (
      this.#openssl.SSL_session_reused(this.#ssl) !== 1 ||
      (verifyModes & c.SSL_VERIFY_PEER) === 0 ||
      this.negotiation.usesPsk
    )
      return;
    const result = this.#openssl.SSL_get_verify_result(this.#ssl);
    if (result !== c.X509_V_OK && accepts !== 'all' && !accepts.has(result)) {
      throw (this.#failure = new CertificateError(
        `the session was made with a certificate that is not accepted: ${this.#openssl.X509_verify_cert_error_string(result)}`,
        { result },
      ));
    }
    if (verifiesName)
      this.#checkPeer({ name: this.options.serverName, dangerouslyUseOldNameRules: nameRules === 'rfc2818' });
  }

  /** The peer may be another one after each handshake. @throws {CertificateError} when it is not whom it must be. */
  #checkExpected(): void {
    const expect = this.options.expect ?? this.negotiation.settings.expect;
    if (expect !== undefined) this.#checkPeer(expect);
  }

  /** @throws {CertificateError} when the peer is not whom it must be. */
  #checkPeer(expect: NonNullable<TlsConnectionOptions['expect']>): void {
    const certificate = this.#openssl.SSL_get1_peer_certificate(this.#ssl);
    try {
      checkPeer(certificate === 0 ? undefined : certificateOf(certificate), expect);
    } catch (error) {
      throw (this.#failure = error as Error);
    } finally {
      if (certificate !== 0) this.#openssl.X509_free(certificate);
    }
  }

  /** Opens what OpenSSL holds into the surplus; @returns `END` when the peer has said goodbye, else `WANT_READ`. */
  #readAhead(): typeof END | typeof WANT_READ {
    const data = (ahead ??= new Uint8Array(AHEAD_BYTES));
    const { maxAheadBytes = SURPLUS_AT_MOST } = this.options;
    for (;;) {
      if ((this.#surplus?.length ?? 0) > maxAheadBytes)
        throw new BoundsError(
          'what comes before the new handshake is complete, and nobody receives,',
          'maxAheadBytes',
          maxAheadBytes,
        );
      if (this.#isDue) this.#beginDue();
      this.#enter();
      const count = this.#openssl.SSL_read(this.#ssl, data, data.length);
      const reason = count > 0 ? 0 : this.#openssl.SSL_get_error(this.#ssl, count);
      this.#leave(reason);
      if (count <= 0) {
        this.#holds = false;
        if (reason === c.SSL_ERROR_WANT_READ) return WANT_READ;
        // A later read gets the same answer.
        this.#holds = true;
        if (reason === c.SSL_ERROR_ZERO_RETURN) return END;
        throw this.#fail();
      }
      if (!this.#hasOpened) this.#opened();
      (this.#surplus ??= new InputBuffer()).append(data.subarray(0, count));
    }
  }

  /** Data of the peer have come: it takes the session that was offered. */
  #opened(): void {
    this.#hasOpened = true;
    this.sessions.taken();
  }

  #takeSurplus(into: Uint8Array): number {
    const surplus = this.#surplus as InputBuffer;
    const count = surplus.takeInto(into);
    if (surplus.length === 0) this.#surplus = undefined;
    return count;
  }

  /** Whether no handshake is going on in the middle of the connection. */
  readonly hasShakenHands = (): boolean => this.#ssl === 0 || this.#openssl.SSL_in_init(this.#ssl) === 0;

  /** Begins the renegotiation that is due, unless OpenSSL is in the middle of something. */
  #beginDue(): void {
    if (!this.hasShakenHands() || this.#openssl.SSL_has_pending(this.#ssl) !== 0) return;
    this.#isDue = false;
    this.#openssl.SSL_clear_options(this.#ssl, c.SSL_OP_NO_RENEGOTIATION);
    this.#enter();
    const result = this.#openssl.SSL_renegotiate(this.#ssl);
    this.#leave();
    if (result <= 0) throw refused('renegotiate');
  }

  /** Notes that a handshake in the middle of the connection is complete. */
  #settled(): void {
    const { negotiation } = this;
    if (!this.hasShakenHands()) return;
    if (negotiation.settle()) {
      try {
        this.#checkExpected();
      } catch (error) {
        negotiation.error ??= error as Error;
      }
    }
    if (!negotiation.renegotiates || !this.hasRenegotiated()) return;
    negotiation.renegotiates = false;
    if (negotiation.settings.peerRenegotiations === 0)
      this.#openssl.SSL_set_options(this.#ssl, c.SSL_OP_NO_RENEGOTIATION);
  }

  /** Before each call whose `SSL_get_error` is read: the error queue is shared with the whole thread. */
  #enter(): void {
    // Whoever was asked or told something may have closed the connection.
    if (this.#ssl === 0) throw this.failure as Error;
    // Whoever is asked in the middle of a call must not make another one.
    if (this.#calling)
      throw new BusyError('handshake', 'handshake', 'it was called by a function that this connection is asking');
    this.#calling = true;
    if (this.#openssl.ERR_peek_error() !== 0) this.#openssl.ERR_clear_error();
  }

  /**
   * After it: what was noted meanwhile is acted on. What is to be told goes out later, when the bytes that came along
   * are handed over.
   * @param reason what `SSL_get_error` said of the call, asked before.
   * @throws when the connection was closed from inside the call.
   */
  #leave(reason = 0): void {
    this.#calling = false;
    if (this.#closing) {
      this.#free();
      throw this.failure as Error;
    }
    const { negotiation } = this;
    // A client that answers later than the one who asked has waited is looked at all the same.
    if (this.#finishedBefore !== undefined && reason !== c.SSL_ERROR_SSL) this.hasCertificate();
    if (!negotiation.hasNews) return;
    negotiation.hasNews = false;
    if (negotiation.hasTales) queueMicrotask(this.#tell);
    // Of a call that has failed its caller takes care, and of the error queue with it.
    if (!this.negotiation.established || reason === c.SSL_ERROR_SSL) return;
    if (negotiation.handshaking) this.#settled();
    if (negotiation.error !== undefined) throw this.#fail();
  }

  readonly #tell = (): void => {
    const { negotiation } = this;
    for (const line of negotiation.takeLines()) {
      negotiation.settings.keyLog?.write(line);
      if (negotiation.settings.keyLog?.tells === true) this.#listener.keyLogged(line);
    }
    const { role, trustScope } = negotiation.settings;
    for (const session of negotiation.takeSessions()) {
      if (role === 'client') session.madeIn(trustScope);
      this.sessions.keep(session, this.#listener.time);
      this.#listener.sessionMade(session);
    }
  };

  readonly #answered = (): void => {
    // It may have been closed meanwhile.
    if (this.#ssl !== 0) this.#wake();
  };

  /** Lets more ciphertext come in; `DONE` when OpenSSL may go on. */
  #feed(): StepCode {
    if (this.#ciphertext.ended) throw this.#fail();
    try {
      const fed = this.#ciphertext.feed();
      if (fed === DONE) this.#holds = true;
      return fed;
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
  #seal(): StepCode {
    const flushed = this.#ciphertext.sealOrNote();
    const { sendFailure } = this.#ciphertext;
    if (sendFailure === undefined) return flushed;
    const { received } = this;
    while (this.received - received < HEARD_AT_MOST && this.#surplus === undefined && this.#failure === undefined) {
      if (this.#ciphertext.ended || this.#peek() || !this.#hears()) break;
    }
    throw sendFailure;
  }

  /**
   * Whether more of what the peer has said before it broke the connection has come in. How it broke is for the reads:
   * nothing has failed by it yet.
   */
  #hears(): boolean {
    try {
      const fed = this.#ciphertext.feed();
      if (fed === DONE) this.#holds = true;
      return fed === DONE;
    } catch {
      return false;
    }
  }

  /**
   * Whether data of the peer are there, which stay there.
   * @throws {Error} when the peer has ended the connection by an alert.
   */
  #peek(): boolean {
    this.#enter();
    const count = this.#openssl.SSL_peek(this.#ssl, aByte, 1);
    const reason = count > 0 ? 0 : this.#openssl.SSL_get_error(this.#ssl, count);
    this.#leave(reason);
    if (reason === 0) return true;
    if (reason === c.SSL_ERROR_WANT_READ || reason === c.SSL_ERROR_ZERO_RETURN) return false;
    throw this.#fail();
  }

  /** Makes the failure, takes the error queue with it, and gives the alert a chance to go out. */
  #fail(): Error {
    const { error, settings, alert, faults } = this.negotiation;
    const what = this.negotiation.established ? 'TLS' : 'handshake';
    if (error !== undefined) this.#failure = error;
    else if (!this.#ciphertext.ended) {
      const sent = alert?.sent === true ? alert.number : undefined;
      this.#failure = tlsFailure(this.#ssl, {
        what,
        role: settings.role,
        serverName: this.options.serverName,
        firstBytes: this.#ciphertext.firstBytes,
        sent,
        depth: faults.at(-1)?.depth,
        rules: settings.nameRules,
        asksForPsk: settings.pskServer !== undefined,
      });
    } else if (this.negotiation.established)
      this.#failure = new TruncatedError('the peer closed the connection without close_notify; bytes may be missing');
    else
      this.#failure =
        this.#ciphertext.sendFailure ??
        new ClosedError('handshake failed: the peer closed the connection in the middle of it');
    this.#openssl.ERR_clear_error();
    if (settings.role === 'server') this.#restoreSession();
    else if (this.#mayBlameSession(this.#failure)) this.sessions.blame(this.#listener.time);
    try {
      this.#ciphertext.seal();
    } catch {
      // The peer is gone: there is nobody left to be told.
    }
    return this.#failure;
  }

  #mayBlameSession(failure: Error): boolean {
    if (!mayBlameSession(failure)) return false;
    if (!this.negotiation.established) return true;
    // A server may refuse when the client's handshake is complete: in a resumed handshake of either version the client
    // is not the first to be done. Then what the server says comes before any data.
    return !this.#hasOpened && this.negotiation.resumption === 'resumed';
  }

  /**
   * OpenSSL takes a session out of its own cache when an alert ends a handshake with it. Under TLS 1.2 ids cross in the
   * clear, so that a stranger could erase the session of another client: it is put back unless the peer has proved that
   * it has the key.
   */
  #restoreSession(): void {
    const { established, settings } = this.negotiation;
    if (established || settings.resumption !== 'stateful' || this.#openssl.SSL_session_reused(this.#ssl) !== 1) return;
    const session = this.#openssl.SSL_get_session(this.#ssl);
    if (session !== 0) settings.sessions.restore(session);
  }

  #free(): void {
    if (this.#ssl === 0) return;
    this.#closing = this.#calling;
    if (this.#calling) return;
    answerNoMore(this.#ssl);
    // OpenSSL drops the session of a connection without goodbyes from its cache; a broken wire says nothing against the
    // session.
    if (this.negotiation.established && !(this.#failure instanceof TlsError))
      this.#openssl.SSL_set_shutdown(this.#ssl, c.SSL_SENT_AND_RECEIVED_SHUTDOWN);
    // The BIOs belong to the SSL object.
    this.#openssl.SSL_free(this.#ssl);
    this.#ssl = 0;
    this.#cancelQuestion?.();
    this.#ciphertext.detach();
    this.#surplus = undefined;
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
const aByte = new Uint8Array(1);
// What data that come along with a handshake are opened into.
let ahead: Uint8Array | undefined;
const AHEAD_BYTES = 16 * 1024;
// As much as one message may have by default.
const SURPLUS_AT_MOST = 1024 * 1024;
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
