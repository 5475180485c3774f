/**
 * Handshakes in the middle of a TLS connection: renegotiations, key updates, and requests for a client certificate.
 *
 * Theory of operation. Such a handshake makes progress only in SSL_read: the peer's data may arrive first, and inside a
 * write OpenSSL reports them as an error. So the transport reads ahead until the handshake is complete, and buffers the
 * data for the next reads, up to a bound (the surplus). A renegotiation begins at the end of a record and never inside
 * another handshake: OpenSSL would lose track of it.
 */

import { BoundsError, ClosedError } from '../../core/errors.ts';
import type { OperationName } from '../../core/errors.ts';
import { InputBuffer } from '../../core/input-buffer.ts';
import type { Step } from '../../core/operation.ts';
import { DONE, END, WANT_READ, YIELD } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import type { Answers } from './answers/answers.ts';
import { callbacks } from './callbacks.ts';
import * as c from './constants.ts';
import { peerFinished } from './finished.ts';
import { openssl } from './openssl.ts';
import type { Ssl } from './ssl.ts';
import { refused, TlsError } from './tls-error.ts';

/** The transport whose handshakes these are. */
export interface RehandshakeOwner {
  /** Whether OpenSSL may hold more data than was read. */
  holds: boolean;
  /** The error that ended the connection, if it has ended. */
  readonly failure: Error | undefined;
  handshake(): StepCode;
  seal(): StepCode;
  feed(): StepCode;
  /** @returns the error of a call that has failed. */
  fail(): Error;
  /** Records that data of the peer were decrypted. */
  opened(): void;
  /** @throws {CertificateError} when the peer is not the expected one. */
  checkPeer(): void;
}

/** When a handshake in the middle of a connection is complete. */
export type Completion = (rehandshake: Rehandshake) => boolean;

/** No handshake is running in the middle of the connection. */
export const settled: Completion = (rehandshake) => rehandshake.isSettled();
/** No renegotiation is due, pending or running. */
export const renegotiated: Completion = (rehandshake) => rehandshake.hasRenegotiated();
/** The client has answered the certificate request. */
export const certified: Completion = (rehandshake) => rehandshake.hasCertificate();

/** Handshakes in the middle of one connection. */
export class Rehandshake {
  readonly #owner: RehandshakeOwner;
  readonly #ssl: Ssl;
  readonly #answers: Answers;
  readonly #maxAheadBytes: number;
  /** Whether a renegotiation must begin at the next opportunity. */
  #isDue = false;
  /** The client's Finished message before the certificate request (TLS 1.3). */
  #finishedBefore: Buffer | undefined;
  /** Data that arrived during a handshake, for the next reads. */
  #surplus: InputBuffer | undefined;

  constructor(owner: RehandshakeOwner, ssl: Ssl, answers: Answers, maxAheadBytes = SURPLUS_AT_MOST) {
    this.#owner = owner;
    this.#ssl = ssl;
    this.#answers = answers;
    this.#maxAheadBytes = maxAheadBytes;
  }

  // Beginning a handshake.

  /**
   * Begins a renegotiation at the next end of a record; {@link proceed} completes it.
   * @throws {TlsError} under TLS 1.3.
   */
  renegotiate(): void {
    if (this.#ssl.isTls13)
      throw new TlsError(
        'renegotiate refused: TLS 1.3 has no renegotiation; use updateKeys() or requestClientCertificate()',
        { reason: 'wrong version' },
      );
    const { progress } = this.#answers;
    // An earlier operation that timed out may have begun one that is still running: then that one is completed.
    this.#isDue = !progress.renegotiates;
    progress.renegotiates = true;
  }

  /**
   * Makes new keys for sending (TLS 1.3), and with `peerToo` requests the same of the peer. The transport must be
   * flushed afterwards.
   * @throws {TlsError} under TLS 1.2, or when OpenSSL refuses.
   */
  updateKeys(peerToo: boolean): void {
    if (!this.#ssl.isTls13)
      throw new TlsError('updateKeys refused: it needs TLS 1.3; use renegotiate()', { reason: 'wrong version' });
    this.post('updateKeys', () =>
      openssl().SSL_key_update(
        this.#ssl.pointer,
        peerToo ? c.SSL_KEY_UPDATE_REQUESTED : c.SSL_KEY_UPDATE_NOT_REQUESTED,
      ),
    );
  }

  /**
   * Requests the client's certificate; {@link proceed} completes it.
   * @throws {TlsError} when this side is the client, or OpenSSL refuses.
   */
  requestCertificate(modes: number): void {
    if (this.#ssl.isTls13) this.#requestCertificate(modes);
    else {
      this.setVerify(modes);
      this.renegotiate();
    }
  }

  setVerify(modes: number): void {
    openssl().SSL_set_verify(this.#ssl.pointer, modes, callbacks().verify);
    this.#answers.trust.verifyModes = modes;
  }

  /**
   * Lets OpenSSL prepare a post-handshake message of TLS 1.3, and write it.
   * @throws {TlsError} when OpenSSL refuses.
   */
  post(what: string, prepare: () => number): void {
    let prepared = 0;
    const result = this.#ssl.run(() => {
      prepared = prepare();
      return prepared <= 0 ? prepared : openssl().SSL_do_handshake(this.#ssl.pointer);
    });
    if (prepared <= 0) throw refused(what);
    if (result <= 0) throw this.#owner.fail();
  }

  #requestCertificate(modes: number): void {
    const { exchange, trust } = this.#answers;
    if (exchange.settings.role !== 'server')
      throw new TlsError('requestClientCertificate refused: this side is the client', { reason: 'wrong role' });
    if (this.#finishedBefore !== undefined && !this.hasCertificate()) return;
    const ssl = openssl();
    // OpenSSL sends one post-handshake message at a time. If an answer to the peer's key update is due, send that
    // first.
    if (ssl.SSL_get_key_update_type(this.#ssl.pointer) !== c.SSL_KEY_UPDATE_NONE) this.updateKeys(false);
    const before = trust.verifyModes;
    this.setVerify(modes);
    try {
      this.post('requestClientCertificate', () => ssl.SSL_verify_client_post_handshake(this.#ssl.pointer));
    } catch (error) {
      if (this.#ssl.pointer !== 0) this.setVerify(before);
      throw error;
    }
    this.#finishedBefore = peerFinished(this.#ssl.pointer);
  }

  // Completing a handshake.

  /** Whether no handshake is running in the middle of the connection. */
  isSettled(): boolean {
    return this.#ssl.pointer === 0 || !this.#ssl.isShakingHands;
  }

  /** Whether no renegotiation is due, pending or running. */
  hasRenegotiated(): boolean {
    return (
      !this.#isDue &&
      this.#ssl.pointer !== 0 &&
      openssl().SSL_renegotiate_pending(this.#ssl.pointer) === 0 &&
      this.isSettled()
    );
  }

  /** Whether the client has answered the certificate request. */
  hasCertificate(): boolean {
    if (this.#finishedBefore === undefined) return this.hasRenegotiated();
    if (this.#finishedBefore.equals(peerFinished(this.#ssl.pointer)) || this.#ssl.isShakingHands) return false;
    this.#finishedBefore = undefined;
    this.#owner.checkPeer();
    return true;
  }

  /**
   * Runs the handshake until `isComplete` holds, and flushes its messages. Data that arrive during it are buffered for
   * the next reads.
   * @throws {BoundsError} when more than `maxAheadBytes` would be buffered.
   * @throws {ClosedError} when the peer sends close_notify first.
   */
  proceed(isComplete: Completion): StepCode | typeof YIELD {
    if (this.#owner.failure !== undefined) throw this.#owner.failure;
    for (let feeds = 0; ; feeds++) {
      const more = this.#readAhead();
      const flushed = this.#owner.seal();
      if (flushed !== DONE) return flushed;
      if (isComplete(this)) {
        this.settle();
        return DONE;
      }
      if (more === END) throw new ClosedError('the peer closed the connection before the new handshake was complete');
      if (feeds === FEEDS_PER_STEP) return YIELD;
      const fed = this.#owner.feed();
      if (fed !== DONE) return fed;
    }
  }

  /** Call it after a call that has succeeded: it checks a certificate that arrives after its request has timed out. */
  checkLateCertificate(): void {
    if (this.#finishedBefore !== undefined) this.hasCertificate();
  }

  /** Begins a renegotiation that is due, unless OpenSSL is in the middle of a handshake or a record. */
  beginDue(): void {
    if (!this.#isDue) return;
    const ssl = openssl();
    if (!this.isSettled() || ssl.SSL_has_pending(this.#ssl.pointer) !== 0) return;
    this.#isDue = false;
    ssl.SSL_clear_options(this.#ssl.pointer, c.SSL_OP_NO_RENEGOTIATION);
    if (this.#ssl.run(() => ssl.SSL_renegotiate(this.#ssl.pointer)) <= 0) throw refused('renegotiate');
  }

  /** If the running handshake is complete: counts it, and checks the peer again. */
  settle(): void {
    const { exchange, progress } = this.#answers;
    if (!this.isSettled()) return;
    if (progress.settle()) {
      try {
        this.#owner.checkPeer();
      } catch (error) {
        exchange.endBy(error as Error);
      }
    }
    if (!progress.renegotiates || !this.hasRenegotiated()) return;
    progress.renegotiates = false;
    if (exchange.settings.peerRenegotiations === 0)
      openssl().SSL_set_options(this.#ssl.pointer, c.SSL_OP_NO_RENEGOTIATION);
  }

  // The buffered data.

  get hasSurplus(): boolean {
    return this.#surplus !== undefined;
  }

  takeSurplus(into: Uint8Array): number {
    const surplus = this.#surplus as InputBuffer;
    const count = surplus.takeInto(into);
    if (surplus.length === 0) this.#surplus = undefined;
    return count;
  }

  dropSurplus(): void {
    this.#surplus = undefined;
  }

  /**
   * Decrypts what OpenSSL holds into the surplus.
   * @returns `END` after the peer's close_notify, otherwise `WANT_READ`.
   */
  #readAhead(): typeof END | typeof WANT_READ {
    const data = (ahead ??= new Uint8Array(AHEAD_BYTES));
    for (;;) {
      if ((this.#surplus?.length ?? 0) > this.#maxAheadBytes)
        throw new BoundsError(
          'the input that arrived during the new handshake and was not received',
          'maxAheadBytes',
          this.#maxAheadBytes,
        );
      this.beginDue();
      const count = this.#ssl.read(data);
      if (count <= 0) {
        // The next read must ask OpenSSL again, to get the end or the error, too.
        this.#owner.holds = count !== WANT_READ;
        if (count === WANT_READ || count === END) return count;
        throw this.#owner.fail();
      }
      this.#owner.opened();
      (this.#surplus ??= new InputBuffer()).append(data.subarray(0, count));
    }
  }
}

/** Completes the first handshake if necessary, begins another one, and runs it until it is complete and flushed. */
export class RehandshakeStep implements Step<void> {
  readonly name: OperationName;
  readonly #transport: Pick<RehandshakeOwner, 'handshake'>;
  readonly #rehandshake: Rehandshake;
  readonly #begin: () => void;
  readonly #isComplete: Completion;
  #begun = false;

  constructor(
    name: OperationName,
    transport: Pick<RehandshakeOwner, 'handshake'>,
    rehandshake: Rehandshake,
    begin: () => void,
    isComplete: Completion,
  ) {
    this.name = name;
    this.#transport = transport;
    this.#rehandshake = rehandshake;
    this.#begin = begin;
    this.#isComplete = isComplete;
  }

  attempt(): StepCode | typeof YIELD {
    if (!this.#begun) {
      const code = this.#transport.handshake();
      if (code !== DONE) return code;
      // A handshake that is already running must end first.
      if (!this.#rehandshake.isSettled()) {
        const code = this.#rehandshake.proceed(settled);
        if (code !== DONE) return code;
      }
      this.#begin();
      this.#begun = true;
    }
    return this.#rehandshake.proceed(this.#isComplete);
  }

  result(): void {
    // The operation has no result.
  }

  progress(): number {
    return 0;
  }
}

// The buffer for decrypting data that arrive during a handshake.
let ahead: Uint8Array | undefined;
const AHEAD_BYTES = 16 * 1024;
// 1 MiB, the default bound of a message.
const SURPLUS_AT_MOST = 1024 * 1024;
// After so many reads other connections get their turn.
const FEEDS_PER_STEP = 16;
