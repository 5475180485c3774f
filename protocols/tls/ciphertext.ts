/**
 * The encrypted side of a TLS connection: two memory BIOs, and the transport below, which fills one and empties the
 * other.
 *
 * Bytes that OpenSSL has encrypted ("sealed") go to the transport below. Those that it does not accept are buffered
 * here and are never encrypted again. Received bytes go to OpenSSL, as many as one read returns.
 */

import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_WRITE } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { TlsError } from './tls-error.ts';

/** The BIOs of one SSL object, which owns them, and the bytes between them and the transport below. */
export class Ciphertext {
  readonly below: Transport;
  /** Whether the transport below has ended. */
  ended = false;
  /** Whether nothing more is sent: close_notify must be the last record (RFC 8446, section 6.1). */
  isFinal = false;
  /** The first bytes from the peer, kept only when they do not look like TLS. */
  firstBytes: Uint8Array | undefined;
  /** The error that a write to the transport below has thrown: it accepts nothing more. */
  sendFailure: Error | undefined;

  readonly #openssl: OpenSsl = openssl();
  #ssl: Pointer = 0;
  #readBio: Pointer = 0;
  #writeBio: Pointer = 0;
  /** Encrypted bytes from the write BIO that the transport below has not accepted yet. */
  #pending: Uint8Array | undefined;
  #looksAtFirst = true;
  /** The received bytes, as long as another SSL object may have to read them again. */
  #recorded: Uint8Array[] | undefined;
  #recordedBytes = 0;
  /** The largest content of each BIO since it was made, in bytes. */
  #mostInReadBio = 0;
  #mostInWriteBio = 0;

  constructor(below: Transport) {
    this.below = below;
  }

  /** Gives `ssl` new BIOs, and the recorded bytes to read again. */
  attach(ssl: Pointer): void {
    this.#ssl = ssl;
    this.#readBio = memoryBio(this.#openssl);
    this.#writeBio = memoryBio(this.#openssl);
    this.#openssl.SSL_set_bio(ssl, this.#readBio, this.#writeBio);
    for (const bytes of this.#recorded ?? []) this.#openssl.BIO_write(this.#readBio, bytes, bytes.length);
    if (this.ended) this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    this.#recorded = undefined;
  }

  /** The SSL object and its BIOs are freed. */
  detach(): void {
    this.#ssl = this.#readBio = this.#writeBio = 0;
    this.#pending = this.#recorded = undefined;
  }

  /** Records received bytes from now on. */
  record(): void {
    this.#recorded = [];
  }

  /** Stops recording, and drops the record. */
  recordNoMore(): void {
    this.#recorded = undefined;
  }

  /** Whether there are received bytes that OpenSSL has not read. */
  get holds(): boolean {
    return this.#openssl.BIO_ctrl_pending(this.#readBio) > 0;
  }

  /** How many encrypted bytes are buffered here for the transport below. */
  get pendingBytes(): number {
    return this.#pending?.length ?? 0;
  }

  /**
   * Moves encrypted bytes from OpenSSL to the transport below.
   * @throws the error of the transport below, every time.
   */
  seal(): StepCode {
    if (this.sendFailure !== undefined) throw this.sendFailure;
    const sealed = (scratch[depth] ??= new Uint8Array(SCRATCH_BYTES));
    depth++;
    try {
      for (;;) {
        let bytes = this.#pending;
        if (bytes === undefined) {
          const count = this.isFinal ? 0 : this.#openssl.BIO_read(this.#writeBio, sealed, sealed.length);
          if (count <= 0) return this.below.flush();
          bytes = sealed.subarray(0, count);
          if (count > this.#mostInWriteBio) this.#mostInWriteBio = count;
        }
        const written = this.below.write(bytes);
        if (written === bytes.length) {
          this.#pending = undefined;
          continue;
        }
        // Copy the rest: the buffer is shared. A rest that was copied before is only shortened.
        const rest = written > 0 ? bytes.subarray(written) : bytes;
        this.#pending = this.#pending === undefined ? rest.slice() : rest;
        if (written <= 0) return written === 0 ? WANT_WRITE : (written as StepCode);
      }
    } catch (error) {
      this.sendFailure = error as Error;
      this.#pending = undefined;
      throw error;
    } finally {
      depth--;
    }
  }

  /** Like {@link seal}, for reads: a peer that accepts nothing more may still have sent something. */
  trySeal(): StepCode {
    if (this.#pending === undefined && (this.isFinal || this.#openssl.BIO_ctrl_pending(this.#writeBio) === 0))
      return DONE;
    return this.sealOrNote();
  }

  /** Like {@link seal}, but an error of the transport below is only recorded, in {@link sendFailure}. */
  sealOrNote(): StepCode {
    try {
      return this.seal();
    } catch {
      return DONE;
    }
  }

  /**
   * Moves the result of one read, bytes or the end, from the transport below to OpenSSL.
   * @returns `DONE` when OpenSSL has something to read, otherwise what the transport below wants.
   * @throws the error of the transport below.
   * @throws {TlsError} when more bytes are recorded than a client hello can have.
   */
  feed(): StepCode {
    const count = this.below.read(received);
    if (count === END) {
      this.ended = true;
      // From now on an empty BIO means the end, not "retry".
      this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    } else if (count < 0) return count as StepCode;
    else {
      if (this.#looksAtFirst) this.#lookAtFirst(count);
      if (this.#recorded !== undefined) this.#keep(this.#recorded, received.slice(0, count));
      this.#openssl.BIO_write(this.#readBio, received, count);
      if (count > this.#mostInReadBio) this.#mostInReadBio = count;
    }
    return DONE;
  }

  /**
   * Replaces empty BIOs that have held more than `keep` bytes: a memory BIO never shrinks below its largest content.
   */
  deflate(keep: number): void {
    if (this.#mostInReadBio > keep && !this.holds) {
      this.#mostInReadBio = 0;
      this.#openssl.SSL_set0_rbio(this.#ssl, (this.#readBio = memoryBio(this.#openssl)));
      if (this.ended) this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    }
    if (this.#mostInWriteBio > keep && this.#openssl.BIO_ctrl_pending(this.#writeBio) === 0) {
      this.#mostInWriteBio = 0;
      this.#openssl.SSL_set0_wbio(this.#ssl, (this.#writeBio = memoryBio(this.#openssl)));
    }
  }

  /** Inspects the first bytes, which may arrive one by one. */
  #lookAtFirst(count: number): void {
    const first = Buffer.concat([
      this.firstBytes ?? NOTHING,
      received.subarray(0, Math.min(count, FIRST_BYTES)),
    ]).subarray(0, FIRST_BYTES);
    const looksLikeTls = first[0] === RECORD_HANDSHAKE || first[0] === RECORD_ALERT;
    this.firstBytes = looksLikeTls ? undefined : first;
    this.#looksAtFirst = !looksLikeTls && first.length < FIRST_BYTES;
  }

  #keep(recorded: Uint8Array[], bytes: Uint8Array): void {
    recorded.push(bytes);
    this.#recordedBytes += bytes.length;
    if (this.#recordedBytes > HELLO_AT_MOST)
      throw new TlsError(`handshake failed: the client hello is longer than ${String(HELLO_AT_MOST)} bytes`, {
        reason: 'excessive message size',
      });
  }
}

function memoryBio(ssl: OpenSsl): Pointer {
  const bio = ssl.BIO_new(ssl.BIO_s_mem());
  ssl.BIO_ctrl(bio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, -1, null);
  return bio;
}

// The bytes of one read. Shared by all connections: its content is consumed before any other code runs.
const received = new Uint8Array(64 * 1024);
// Buffers for ciphertext on its way down. With TLS over TLS each layer needs its own: the layer below fills its buffer
// while this one is in use.
const scratch: Uint8Array[] = [];
let depth = 0;
// The most plaintext that one write encrypts (64 KiB), and the overhead of its four records.
const SCRATCH_BYTES = 72 * 1024;
// A client hello of 16 KiB in fragments of a few bytes; OpenSSL bounds the message itself.
const HELLO_AT_MOST = 160 * 1024;
const NOTHING = new Uint8Array(0);
// Enough to recognise another protocol.
const FIRST_BYTES = 16;
// Content types of RFC 8446, section 5.1.
const RECORD_ALERT = 21;
const RECORD_HANDSHAKE = 22;
