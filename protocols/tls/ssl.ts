/**
 * One SSL object, and the calls whose outcome OpenSSL reports through its error queue.
 *
 * Theory of operation. The thread has one error queue, which `node:crypto` also uses. So the queue is emptied before
 * each call, and `SSL_get_error` is called right after it, before anything else runs. Only this file does that. While a
 * call is on the stack, callbacks may call functions of the application, which may close the connection. The SSL object
 * must not be freed inside its own callback, so it is freed when the call returns. A second call inside a callback
 * throws a `BusyError`.
 */

import { BusyError } from '../../core/errors.ts';
import { DONE, END, WANT_LOOKUP, WANT_READ } from '../../core/want.ts';
import { answer, answerNoMore } from './callbacks.ts';
import type { Answers } from './answers/answers.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { refused } from './tls-error.ts';

/** The call has failed; the error queue says why. */
export const FAILED = -7;

/**
 * The outcome of a call: it is complete (`DONE`); the peer has sent close_notify (`END`); OpenSSL needs more input
 * (`WANT_READ`); it waits for the decision about the client hello (`WANT_LOOKUP`); or it has failed.
 */
export type Outcome = typeof DONE | typeof END | typeof WANT_READ | typeof WANT_LOOKUP | typeof FAILED;

/** The connection that owns an SSL object. */
export interface SslOwner {
  /** The error that a call on a closed connection throws. */
  readonly failure: Error | undefined;
  /** Acts on OpenSSL's reports after a call, when OpenSSL is no longer on the stack. */
  called(hasFailed: boolean): void;
  /** Frees the object, because the connection was closed during a call. */
  free(): void;
}

/** Owns one SSL object at a time. */
export class Ssl {
  readonly #openssl: OpenSsl = openssl();
  readonly #owner: SslOwner;
  #pointer: Pointer = 0;
  /** Whether a call into OpenSSL is on the stack. */
  #isCalling = false;
  #isClosing = false;

  constructor(owner: SslOwner) {
    this.#owner = owner;
  }

  /** The object, for calls that only read its state; 0 when there is none. */
  get pointer(): Pointer {
    return this.#pointer;
  }

  /** Whether the object is freed, or is freed when the running call returns. */
  get isClosed(): boolean {
    return this.#pointer === 0 || this.#isClosing;
  }

  /** Makes the object. @throws {TlsError} when OpenSSL has no memory. */
  create(context: Pointer): Pointer {
    this.#pointer = this.#openssl.SSL_new(context);
    if (this.#pointer === 0) throw refused('no TLS connection');
    return this.#pointer;
  }

  /** Makes `answers` answer the callbacks of the object. */
  answerBy(answers: Answers): void {
    answer(this.#pointer, answers);
  }

  /** Frees the object and its BIOs; another object may follow. */
  discard(): void {
    answerNoMore(this.#pointer);
    this.#openssl.SSL_free(this.#pointer);
    this.#pointer = 0;
  }

  /**
   * Frees the object for good.
   * @param keepsSession whether its session stays usable. OpenSSL drops the session of a connection that ends without
   * close_notify from its cache, but a lost connection is not a reason to distrust the session.
   * @returns whether it was freed now; otherwise {@link SslOwner.free} is called when the running call returns.
   */
  free(keepsSession: boolean): boolean {
    this.#isClosing = this.#isCalling;
    if (this.#isCalling) return false;
    if (keepsSession) this.#openssl.SSL_set_shutdown(this.#pointer, c.SSL_SENT_AND_RECEIVED_SHUTDOWN);
    this.discard();
    return true;
  }

  // Calls.

  handshake(): Outcome {
    this.#enter();
    return this.#leave(this.#outcomeOf(this.#openssl.SSL_do_handshake(this.#pointer)));
  }

  /** @returns the count of bytes, > 0, or an outcome. */
  read(into: Uint8Array): number {
    this.#enter();
    const count = this.#openssl.SSL_read(this.#pointer, into, into.length);
    return this.#leave(count > 0 ? count : this.#outcomeOf(count));
  }

  /** Reads one byte without removing it. @returns 1, or an outcome. */
  peek(): number {
    this.#enter();
    const count = this.#openssl.SSL_peek(this.#pointer, aByte, 1);
    return this.#leave(count > 0 ? count : this.#outcomeOf(count));
  }

  /** @returns the count of bytes, > 0, or `FAILED`. It never waits, because a memory BIO takes everything. */
  write(from: Uint8Array, length: number): number {
    this.#enter();
    const count = this.#openssl.SSL_write(this.#pointer, from, length);
    return this.#leave(count > 0 ? count : FAILED);
  }

  /** Sends close_notify. */
  shutdown(): void {
    this.run(() => {
      if (this.#openssl.SSL_shutdown(this.#pointer) < 0) this.#openssl.ERR_clear_error();
    });
  }

  /** Makes a call whose outcome is not in the error queue. */
  run<T>(call: () => T): T {
    this.#enter();
    const result = call();
    this.#leave(DONE);
    return result;
  }

  // State.

  get isTls13(): boolean {
    return this.#openssl.SSL_version(this.#pointer) >= c.VERSIONS['TLSv1.3'];
  }

  /** Whether OpenSSL is in the middle of a handshake. */
  get isShakingHands(): boolean {
    return this.#openssl.SSL_in_init(this.#pointer) !== 0;
  }

  /** Whether OpenSSL has resumed a session, or used a shared key. */
  get hasReused(): boolean {
    return this.#openssl.SSL_session_reused(this.#pointer) === 1;
  }

  #enter(): void {
    // A function of the application or an observer may have closed the connection.
    if (this.#pointer === 0) throw this.#owner.failure as Error;
    if (this.#isCalling)
      throw new BusyError('handshake', 'handshake', 'it was called inside a callback of this connection');
    this.#isCalling = true;
    if (this.#openssl.ERR_peek_error() !== 0) this.#openssl.ERR_clear_error();
  }

  #leave<N extends number>(outcome: N): N {
    this.#isCalling = false;
    if (this.#isClosing) {
      this.#owner.free();
      throw this.#owner.failure as Error;
    }
    this.#owner.called(outcome === FAILED);
    return outcome;
  }

  #outcomeOf(result: number): Outcome {
    switch (this.#openssl.SSL_get_error(this.#pointer, result)) {
      case c.SSL_ERROR_NONE:
        return DONE;
      case c.SSL_ERROR_WANT_READ:
        return WANT_READ;
      case c.SSL_ERROR_WANT_CLIENT_HELLO_CB:
        return WANT_LOOKUP;
      case c.SSL_ERROR_ZERO_RETURN:
        return END;
      default:
        return FAILED;
    }
  }
}

const aByte = new Uint8Array(1);
