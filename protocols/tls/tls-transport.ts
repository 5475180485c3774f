/**
 * TLS as a transport over any transport.
 *
 * Theory of operation. OpenSSL talks to two memory BIOs: we put received ciphertext into one and take what is to be sent
 * out of the other. A memory BIO never blocks and never wants to write, so the wants are made here: WANT_READ only when
 * the BIO is drained and the transport below has said so itself; WANT_WRITE while sealed bytes are pending that the
 * transport below does not take. What OpenSSL has sealed belongs to this transport, goes out by itself, and is never
 * sealed again: a byte that `write` has counted is as good as sent. Nothing more is sealed, and above a bound nothing
 * more is taken in, while ciphertext is pending: so a peer that sends and does not read cannot make us grow.
 */

import { ClosedError, TruncatedError } from '../../core/errors.ts';
import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_LOOKUP, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { expectName } from './server-name.ts';
import { refused } from './tls-error.ts';
import { tlsFailure } from './tls-failure.ts';

/** How one TLS transport differs from others of its context. */
export interface TlsTransportOptions {
  readonly role: 'client' | 'server';
  /** The name that a client asks for. */
  readonly serverName: string | undefined;
  /** Whether the certificate must be for that name. */
  readonly checksName: boolean;
  /** Called once when the connection no longer uses its context. */
  readonly freed: () => void;
}

/** One TLS connection. Owns its SSL object and the transport below. */
export class TlsTransport implements Transport {
  /** What ended it for both directions, once something has. */
  failure: Error | undefined;
  readonly options: TlsTransportOptions;

  readonly #openssl: OpenSsl;
  readonly #below: Transport;
  #ssl: Pointer;
  #readBio: Pointer;
  #writeBio: Pointer;
  #established = false;
  /** Whether the read BIO or OpenSSL may hold more than has been read. */
  #holds = false;
  /** The transport below has ended. */
  #ended = false;
  #saidGoodbye = false;
  /** Sealed bytes that were taken out of the write BIO and not yet accepted below. */
  #pending: Uint8Array | undefined;
  /** The transport below takes nothing any more. */
  #sendFailure: unknown;
  /** The first bytes from the peer, kept while they look like anything but TLS. */
  #firstBytes: Uint8Array | undefined;
  #received = false;
  /** The most that each BIO has held since it was made. */
  #opened = 0;
  #sealed = 0;
  #onEstablished: () => void = () => undefined;

  /** @throws {TlsError} when OpenSSL has no memory, or refuses the name. */
  constructor(below: Transport, context: Pointer, options: TlsTransportOptions) {
    const ssl = openssl();
    this.#openssl = ssl;
    this.#below = below;
    this.options = options;
    this.#ssl = ssl.SSL_new(context);
    if (this.#ssl === 0) throw refused('no TLS connection');
    this.#readBio = memoryBio(ssl);
    this.#writeBio = memoryBio(ssl);
    ssl.SSL_set_bio(this.#ssl, this.#readBio, this.#writeBio);
    if (options.role === 'server') ssl.SSL_set_accept_state(this.#ssl);
    else {
      ssl.SSL_set_connect_state(this.#ssl);
      try {
        expectName(this.#ssl, options.serverName, options.checksName);
      } catch (error) {
        ssl.SSL_free(this.#ssl);
        throw error;
      }
    }
    living++;
  }

  /** The SSL object, for questions; 0 when closed. */
  get ssl(): Pointer {
    return this.#ssl;
  }

  /** Whether the handshake is complete and its last flight is out. */
  get established(): boolean {
    return this.#established;
  }

  /** Sets what to call once when the handshake is complete. */
  onEstablished(tell: () => void): void {
    this.#onEstablished = tell;
  }

  get hasBuffered(): boolean {
    return this.#holds || this.#below.hasBuffered;
  }

  get hasUnflushed(): boolean {
    return this.#pending !== undefined || this.#below.hasUnflushed;
  }

  get received(): number {
    return this.#below.received;
  }

  onLookupAnswered(wake: () => void): void {
    this.#below.onLookupAnswered(wake);
  }

  handshake(): StepCode {
    if (this.failure !== undefined) throw this.failure;
    if (this.#established) return DONE;
    for (;;) {
      this.#clearErrors();
      const result = this.#openssl.SSL_do_handshake(this.#ssl);
      const reason = result === 1 ? 0 : this.#openssl.SSL_get_error(this.#ssl, result);
      if (reason === c.SSL_ERROR_SSL || (reason !== 0 && !WANTS.has(reason))) throw this.#fail();
      const flushed = this.#seal();
      if (flushed !== DONE) return flushed;
      if (reason === 0) {
        this.#established = true;
        // Data may have come along with the last flight.
        this.#holds = true;
        this.#deflate(0);
        this.#onEstablished();
        return DONE;
      }
      if (reason !== c.SSL_ERROR_WANT_READ) return WANT_LOOKUP;
      // OpenSSL has used up what it was given: only the transport below can have more.
      this.#holds = false;
      const fed = this.#feed();
      if (fed !== DONE) return fed;
    }
  }

  read(into: Uint8Array): number {
    if (!this.#established) {
      const code = this.handshake();
      if (code !== DONE) return code;
    }
    if (this.failure !== undefined) throw this.failure;
    for (let feeds = 0; ; feeds++) {
      if (this.#holds) {
        this.#clearErrors();
        const count = this.#openssl.SSL_read(this.#ssl, into, into.length);
        if (count > 0) {
          // One call reads one record at most. A full buffer may have left some of it; else the BIO knows what is left.
          this.#holds = count === into.length || this.#openssl.BIO_ctrl_pending(this.#readBio) > 0;
          return count;
        }
        const reason = this.#openssl.SSL_get_error(this.#ssl, count);
        this.#holds = false;
        if (reason === c.SSL_ERROR_ZERO_RETURN) return END;
        if (reason !== c.SSL_ERROR_WANT_READ) throw this.#fail();
        this.#deflate(KEPT_AT_MOST);
      }
      // What OpenSSL answered by itself, such as a key update, goes out; a read never waits for it, but too much of it stops the intake.
      if (this.#trySeal() !== DONE && (this.#pending?.length ?? 0) > PENDING_AT_MOST) return WANT_WRITE;
      // Records without data, such as key updates, may come without end: the others have their turn, and this goes on in the next.
      if (feeds === FEEDS_PER_READ) return WANT_READ;
      const fed = this.#feed();
      if (fed !== DONE) return fed;
    }
  }

  write(from: Uint8Array): number {
    if (!this.#established) {
      const code = this.handshake();
      if (code !== DONE) return code;
    }
    if (this.failure !== undefined) throw this.failure;
    if (this.#saidGoodbye) throw new ClosedError('send refused: this side has said that it sends nothing more');
    if (this.#pending !== undefined) {
      const flushed = this.flush();
      if (flushed !== DONE) return flushed;
    }
    if (from.length === 0) return 0;
    this.#clearErrors();
    const count = this.#openssl.SSL_write(this.#ssl, from, Math.min(from.length, SEALED_AT_MOST));
    if (count <= 0) {
      if (this.#openssl.SSL_get_error(this.#ssl, count) !== c.SSL_ERROR_WANT_READ) throw this.#fail();
      this.#holds = false;
      const fed = this.#feed();
      return fed === DONE ? 0 : fed;
    }
    this.#seal();
    return count;
  }

  flush(): StepCode {
    if (this.#pending === undefined) return this.#below.flush();
    return this.#seal();
  }

  shutdown(): StepCode {
    // It may have been closed by whoever was told that the handshake is complete.
    if (this.#ssl === 0) throw this.failure as Error;
    if (this.#established && this.failure === undefined && !this.#saidGoodbye) {
      const flushed = this.flush();
      if (flushed !== DONE) return flushed;
      this.#saidGoodbye = true;
      this.#clearErrors();
      if (this.#openssl.SSL_shutdown(this.#ssl) < 0) this.#openssl.ERR_clear_error();
    }
    const flushed = this.#seal();
    return flushed === DONE ? this.#below.shutdown() : flushed;
  }

  close(): void {
    this.#free();
    this.#below.close();
  }

  abort(): void {
    this.#free();
    this.#below.abort();
  }

  /** Moves what OpenSSL has sealed to the transport below. @throws what the transport below threw, every time. */
  #seal(): StepCode {
    if (this.#sendFailure !== undefined) throw this.#sendFailure as Error;
    const sealed = (scratch[depth] ??= new Uint8Array(SCRATCH_BYTES));
    depth++;
    try {
      for (;;) {
        let bytes = this.#pending;
        if (bytes === undefined) {
          const count = this.#openssl.BIO_read(this.#writeBio, sealed, sealed.length);
          if (count <= 0) return this.#below.flush();
          bytes = sealed.subarray(0, count);
          if (count > this.#sealed) this.#sealed = count;
        }
        const written = this.#below.write(bytes);
        if (written === bytes.length) {
          this.#pending = undefined;
          continue;
        }
        // What comes out of the shared buffer must be kept; what was kept already is only shortened.
        const rest = written > 0 ? bytes.subarray(written) : bytes;
        this.#pending = this.#pending === undefined ? rest.slice() : rest;
        if (written <= 0) return written === 0 ? WANT_WRITE : written as StepCode;
      }
    } catch (error) {
      this.#sendFailure = error;
      this.#pending = undefined;
      throw error;
    } finally {
      depth--;
    }
  }

  /** Like {@link #seal}, for readers: a peer that takes nothing any more may still have sent something. */
  #trySeal(): StepCode {
    if (this.#pending === undefined && this.#openssl.BIO_ctrl_pending(this.#writeBio) === 0) return DONE;
    try {
      return this.#seal();
    } catch {
      return DONE;
    }
  }

  /** Moves ciphertext from the transport below into OpenSSL; `DONE` when it may go on. */
  #feed(): StepCode {
    if (this.#ended) throw this.#fail();
    let count;
    try {
      count = this.#below.read(opened);
    } catch (error) {
      this.failure = error as Error;
      throw error;
    }
    if (count === END) {
      this.#ended = true;
      // From now on an empty BIO means the end, not "try again".
      this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    } else if (count < 0) return count as StepCode;
    else {
      if (!this.#received) this.#lookAtFirst(count);
      this.#openssl.BIO_write(this.#readBio, opened, count);
      if (count > this.#opened) this.#opened = count;
    }
    this.#holds = true;
    return DONE;
  }

  #lookAtFirst(count: number): void {
    this.#received = true;
    if (opened[0] !== RECORD_HANDSHAKE && opened[0] !== RECORD_ALERT) this.#firstBytes = opened.slice(0, Math.min(count, 16));
  }

  /** Makes the failure, takes the error queue with it, and gives the alert a chance to go out. */
  #fail(): Error {
    const what = this.#established ? 'TLS' : 'handshake';
    if (!this.#ended) this.failure = tlsFailure(this.#ssl, { ...this.options, what, firstBytes: this.#firstBytes });
    else if (this.#established) this.failure = new TruncatedError('the peer closed the connection without close_notify; bytes may be missing');
    else this.failure = new ClosedError('handshake failed: the peer closed the connection in the middle of it');
    this.#openssl.ERR_clear_error();
    try {
      this.#seal();
    } catch {
      // The peer is gone: there is nobody left to be told.
    }
    return this.failure;
  }

  /** The error queue is shared with the whole thread: what others left there would be taken for ours. */
  #clearErrors(): void {
    if (this.#openssl.ERR_peek_error() !== 0) this.#openssl.ERR_clear_error();
  }

  /** A memory BIO keeps the size of its largest content: an empty one that held more than `keep` bytes is replaced. */
  #deflate(keep: number): void {
    if (this.#opened > keep && this.#openssl.BIO_ctrl_pending(this.#readBio) === 0) {
      this.#opened = 0;
      this.#openssl.SSL_set0_rbio(this.#ssl, (this.#readBio = memoryBio(this.#openssl)));
      if (this.#ended) this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    }
    if (this.#sealed > keep && this.#openssl.BIO_ctrl_pending(this.#writeBio) === 0) {
      this.#sealed = 0;
      this.#openssl.SSL_set0_wbio(this.#ssl, (this.#writeBio = memoryBio(this.#openssl)));
    }
  }

  #free(): void {
    if (this.#ssl === 0) return;
    // The BIOs belong to the SSL object.
    this.#openssl.SSL_free(this.#ssl);
    this.#ssl = this.#readBio = this.#writeBio = 0;
    this.#pending = undefined;
    this.failure ??= new ClosedError('the connection is closed');
    living--;
    this.options.freed();
  }
}

/** How many TLS connections hold memory of OpenSSL's. */
export function livingTlsTransports(): number {
  return living;
}

function memoryBio(ssl: OpenSsl): Pointer {
  const bio = ssl.BIO_new(ssl.BIO_s_mem());
  ssl.BIO_ctrl(bio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, -1, null);
  return bio;
}

let living = 0;
// Shared by all connections: it is used up before anyone else can run.
const opened = new Uint8Array(64 * 1024);
// Ciphertext on its way down, one buffer for each layer of TLS over TLS: the layer below fills its own while this one waits.
const scratch: Uint8Array[] = [];
let depth = 0;

const WANTS = new Set([c.SSL_ERROR_WANT_READ, c.SSL_ERROR_WANT_X509_LOOKUP, c.SSL_ERROR_WANT_CLIENT_HELLO_CB, c.SSL_ERROR_WANT_RETRY_VERIFY]);
// Four records, which one system call takes.
const SEALED_AT_MOST = 64 * 1024;
// What is sealed at most, and what four records add to it.
const SCRATCH_BYTES = 72 * 1024;
const FEEDS_PER_READ = 16;
const PENDING_AT_MOST = 64 * 1024;
// More than a handshake flight; a connection that moved more gives the memory back when it falls idle.
const KEPT_AT_MOST = 32 * 1024;
// Content types of RFC 8446, section 5.1.
const RECORD_ALERT = 21;
const RECORD_HANDSHAKE = 22;
