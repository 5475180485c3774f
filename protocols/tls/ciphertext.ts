/**
 * The sealed side of a TLS connection: two memory BIOs, and the transport below that fills one and empties the other.
 *
 * What OpenSSL has sealed is taken out, goes to the transport below, and what that does not take waits here; it is
 * never sealed again. What is received goes in, as much as one read gives.
 */

import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_WRITE } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { TlsError } from './tls-error.ts';

/** The BIOs of one SSL object, which owns them, and what is on its way between them and the transport below. */
export class Ciphertext {
  readonly below: Transport;
  /** The transport below has ended. */
  ended = false;
  /** Nothing that OpenSSL seals from now on goes out: the goodbye is the last record (RFC 8446, section 6.1). */
  isFinal = false;
  /** The first bytes from the peer, kept when they look like anything but TLS. */
  firstBytes: Uint8Array | undefined;
  /** What the transport below has thrown: it takes nothing any more. */
  sendFailure: Error | undefined;

  readonly #openssl: OpenSsl = openssl();
  #ssl: Pointer = 0;
  #readBio: Pointer = 0;
  #writeBio: Pointer = 0;
  /** Sealed bytes that were taken out of the write BIO and not yet accepted below. */
  #pending: Uint8Array | undefined;
  #looksAtFirst = true;
  /** What has come in, while another SSL object may yet have to be given it again. */
  #recorded: Uint8Array[] | undefined;
  #recordedBytes = 0;
  /** The most that each BIO has held since it was made. */
  #opened = 0;
  #sealed = 0;

  constructor(below: Transport) {
    this.below = below;
  }

  /** Begins to serve `ssl` with BIOs of its own; what was recorded comes in again. */
  attach(ssl: Pointer): void {
    this.#ssl = ssl;
    this.#readBio = memoryBio(this.#openssl);
    this.#writeBio = memoryBio(this.#openssl);
    this.#openssl.SSL_set_bio(ssl, this.#readBio, this.#writeBio);
    for (const bytes of this.#recorded ?? []) this.#openssl.BIO_write(this.#readBio, bytes, bytes.length);
    if (this.ended) this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    this.#recorded = undefined;
  }

  /** The SSL object is gone, and the BIOs with it. */
  detach(): void {
    this.#ssl = this.#readBio = this.#writeBio = 0;
    this.#pending = this.#recorded = undefined;
  }

  /** Records what comes in from now on. */
  record(): void {
    this.#recorded = [];
  }

  /** Ends that. */
  recordNoMore(): void {
    this.#recorded = undefined;
  }

  /** Whether something has come in that OpenSSL has not looked at. */
  get holds(): boolean {
    return this.#openssl.BIO_ctrl_pending(this.#readBio) > 0;
  }

  /** How many sealed bytes wait here for the transport below. */
  get pendingBytes(): number {
    return this.#pending?.length ?? 0;
  }

  /** Moves what OpenSSL has sealed to the transport below. @throws what the transport below threw, every time. */
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
          if (count > this.#sealed) this.#sealed = count;
        }
        const written = this.below.write(bytes);
        if (written === bytes.length) {
          this.#pending = undefined;
          continue;
        }
        // What comes out of the shared buffer must be kept; what was kept already is only shortened.
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

  /** Like {@link seal}, for readers: a peer that takes nothing any more may still have sent something. */
  trySeal(): StepCode {
    if (this.#pending === undefined && (this.isFinal || this.#openssl.BIO_ctrl_pending(this.#writeBio) === 0))
      return DONE;
    return this.sealOrNote();
  }

  /** Like {@link seal}; what the transport below throws is only noted, in {@link sendFailure}. */
  sealOrNote(): StepCode {
    try {
      return this.seal();
    } catch {
      return DONE;
    }
  }

  /**
   * Moves what one read gives from the transport below to OpenSSL, the end too; `DONE` when there is something to look
   * at.
   * @throws what the transport below throws. @throws {TlsError} when more is recorded than a client can have to say.
   */
  feed(): StepCode {
    const count = this.below.read(opened);
    if (count === END) {
      this.ended = true;
      // From now on an empty BIO means the end, not "try again".
      this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    } else if (count < 0) return count as StepCode;
    else {
      if (this.#looksAtFirst) this.#lookAtFirst(count);
      if (this.#recorded !== undefined) this.#keep(this.#recorded, opened.slice(0, count));
      this.#openssl.BIO_write(this.#readBio, opened, count);
      if (count > this.#opened) this.#opened = count;
    }
    return DONE;
  }

  /** A memory BIO keeps the size of its largest content: an empty one that held more than `keep` bytes is replaced. */
  deflate(keep: number): void {
    if (this.#opened > keep && !this.holds) {
      this.#opened = 0;
      this.#openssl.SSL_set0_rbio(this.#ssl, (this.#readBio = memoryBio(this.#openssl)));
      if (this.ended) this.#openssl.BIO_ctrl(this.#readBio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, 0, null);
    }
    if (this.#sealed > keep && this.#openssl.BIO_ctrl_pending(this.#writeBio) === 0) {
      this.#sealed = 0;
      this.#openssl.SSL_set0_wbio(this.#ssl, (this.#writeBio = memoryBio(this.#openssl)));
    }
  }

  /** They may come one by one. */
  #lookAtFirst(count: number): void {
    const first = Buffer.concat([
      this.firstBytes ?? NOTHING,
      opened.subarray(0, Math.min(count, FIRST_BYTES)),
    ]).subarray(0, FIRST_BYTES);
    const looksLikeTls = first[0] === RECORD_HANDSHAKE || first[0] === RECORD_ALERT;
    this.firstBytes = looksLikeTls ? undefined : first;
    this.#looksAtFirst = !looksLikeTls && first.length < FIRST_BYTES;
  }

  #keep(recorded: Uint8Array[], bytes: Uint8Array): void {
    recorded.push(bytes);
    this.#recordedBytes += bytes.length;
    if (this.#recordedBytes > HELLO_AT_MOST)
      throw new TlsError(
        `handshake failed: the first message of the client is longer than ${String(HELLO_AT_MOST)} bytes`,
        { reason: 'excessive message size' },
      );
  }
}

function memoryBio(ssl: OpenSsl): Pointer {
  const bio = ssl.BIO_new(ssl.BIO_s_mem());
  ssl.BIO_ctrl(bio, c.BIO_C_SET_BUF_MEM_EOF_RETURN, -1, null);
  return bio;
}

// Shared by all connections: it is used up before anyone else can run.
const opened = new Uint8Array(64 * 1024);
// Ciphertext on its way down, one buffer for each layer of TLS over TLS: the layer below fills its own while this one
// waits.
const scratch: Uint8Array[] = [];
let depth = 0;
// What is sealed at most, and what four records add to it.
const SCRATCH_BYTES = 72 * 1024;
// A client hello of 16 KiB in fragments of a few bytes; OpenSSL bounds the message itself.
const HELLO_AT_MOST = 160 * 1024;
const NOTHING = new Uint8Array(0);
// Enough to tell what else it is.
const FIRST_BYTES = 16;
// Content types of RFC 8446, section 5.1.
const RECORD_ALERT = 21;
const RECORD_HANDSHAKE = 22;
