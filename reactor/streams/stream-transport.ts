/**
 * The transport over a Node.js stream.
 *
 * Theory of operation. The events of the stream do what epoll does for a socket: each sets bits of a handle without a
 * descriptor, and adds the handle to the ready queue. No event handler reads or writes. The stream is in paused mode:
 * the transport takes a chunk only for a read, so that the high-water mark of the stream limits the peer. It returns
 * WANT_READ only after the stream has returned `null`, because only then does the stream emit 'readable' for the next
 * bytes. After a write that returned `false`, it returns WANT_WRITE until the stream emits 'drain'.
 *
 * A stream that fails is destroyed in both directions at once. Bytes that were read from it, or that it still returns,
 * count as received before the failure.
 */

import type { Duplex } from 'node:stream';

import { ClosedError, UnsupportedError } from '../../core/errors.ts';
import { PlainTransport } from '../../core/plain-transport.ts';
import { DONE, END, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { formatAddress, numericAddress } from '../addresses/address.ts';
import type { Address } from '../addresses/address.ts';
import type { ConnectionSocket } from '../connections/connection-socket.ts';
import { BROKEN, Handle, HANGUP, READABLE, WRITABLE } from '../handle.ts';
import type { Loop } from '../loop.ts';
import type { SocketOptionName } from '../connections/socket-options.ts';
import { streamFailure } from './stream-failure.ts';

/** Owns one stream, from its construction until the stream is closed. */
export class StreamTransport extends PlainTransport implements ConnectionSocket {
  readonly handle = new Handle(NO_DESCRIPTOR);
  readonly peerCredentials = undefined;
  readonly #stream: NodeSocket;
  readonly #loop: Loop;
  /** The rest of the last chunk that was taken from the stream. */
  #rest: Uint8Array = NOTHING;
  #ended = false;
  /** Whether the stream was destroyed, or closed before its end. `#error` is the reason, if there is one. */
  #broken = false;
  #error: Error | undefined;
  #sendShut = false;
  #sent = 0;
  #closed = false;
  #remoteAddress: Address | undefined;

  /**
   * @throws {TypeError} when the stream does not carry plain bytes, or has another reader.
   * @throws {ClosedError} when one direction of the stream has ended, or it was destroyed.
   */
  constructor(loop: Loop, stream: Duplex) {
    super();
    assertUsable(stream);
    this.#loop = loop;
    this.#stream = stream;
    // In a connection, the directions end independently. The user of the connection ends the sending one.
    stream.allowHalfOpen = true;
    this.handle.readiness = (stream.readableLength > 0 ? READABLE : 0) | (stream.writableNeedDrain ? 0 : WRITABLE);
    this.#remoteAddress = addressOf(this.#stream.remoteAddress, this.#stream.remotePort);
    stream
      .on('error', this.#onError)
      .on('close', this.#onClose)
      .on('readable', this.#onReadable)
      .on('end', this.#onEnd)
      .on('drain', this.#onDrain);
  }

  /** Whether bytes are left of the last chunk. Bytes in the stream itself show in the readiness of the handle. */
  get hasBuffered(): boolean {
    return this.#rest.length > 0;
  }

  read(into: Uint8Array): number {
    if (this.failure !== undefined) throw this.failure;
    const { handle } = this;
    if (this.#rest.length === 0 && (handle.readiness & READABLE) !== 0) this.#rest = this.#take();
    const count = Math.min(this.#rest.length, into.length);
    if (count > 0) {
      into.set(count === this.#rest.length ? this.#rest : this.#rest.subarray(0, count));
      this.#rest = count === this.#rest.length ? NOTHING : this.#rest.subarray(count);
      this.received += count;
      return count;
    }
    if (this.#ended) return END;
    if (this.#broken) throw (this.failure = this.#failure());
    handle.readiness &= ~READABLE;
    return WANT_READ;
  }

  /** Accepts at most the high-water mark of the stream at a time, or {@link WRITTEN_AT_LEAST} if that is more. */
  write(from: Uint8Array): number {
    if (from.length === 0) return 0;
    if (this.#broken || this.#stream.destroyed || this.#stream.errored !== null) throw this.#failure();
    if (this.#sendShut) throw new ClosedError('send refused: this side has half-closed the connection');
    if (!this.#stream.writable)
      throw new ClosedError('send refused: other code has ended the stream under the connection');
    if ((this.handle.readiness & WRITABLE) === 0) return WANT_WRITE;
    const count = Math.min(from.length, Math.max(this.#stream.writableHighWaterMark, WRITTEN_AT_LEAST));
    // Copied, because the stream keeps the chunk, while the caller may reuse its memory.
    this.#sent += count;
    if (!this.#stream.write(Buffer.from(from.subarray(0, count)))) this.handle.readiness &= ~WRITABLE;
    return count;
  }

  shutdown(): StepCode {
    if (!this.#sendShut && !this.#closed) {
      this.#sendShut = true;
      if (this.#stream.writable) this.#stream.end();
    }
    return DONE;
  }

  /** Ends the stream, and destroys it when it has passed on all bytes, or after a limit. The reactor waits for that. */
  close(): void {
    if (!this.#leave()) return;
    const stream = this.#stream;
    if (stream.destroyed) return;
    if (stream.writableFinished) {
      stream.destroy();
      return;
    }
    const finished = (): void => {
      stream.off('finish', finished).off('close', finished);
      cancel();
      stream.destroy();
      this.#loop.release();
    };
    const cancel = this.#loop.after(FINISH_MS, finished);
    this.#loop.hold();
    stream.on('finish', finished).on('close', finished);
    stream.end();
  }

  abort(): void {
    if (!this.#leave()) return;
    const stream = this.#stream;
    try {
      if (stream.resetAndDestroy !== undefined) stream.resetAndDestroy();
    } catch {
      // A net.Socket over something else than TCP has the method, but throws.
    }
    stream.destroy();
  }

  /** How many bytes the stream has passed on. What happens to them below the stream is not visible. */
  get acknowledged(): number {
    return this.#sent - this.unacknowledged;
  }

  get unacknowledged(): number {
    return this.#closed || this.#broken ? 0 : this.#stream.writableLength;
  }

  brokenBy(): Error | undefined {
    return this.#broken && !this.#closed ? (this.failure ?? this.#failure()) : this.failure;
  }

  get localAddress(): Address | undefined {
    const { localAddress, localPort } = this.#stream;
    return this.#closed ? undefined : addressOf(localAddress, localPort);
  }

  get remoteAddress(): Address | undefined {
    // Kept, because a destroyed socket has no address. Read again, because a connecting socket has none yet.
    const { remoteAddress, remotePort } = this.#stream;
    return (this.#remoteAddress ??= addressOf(remoteAddress, remotePort));
  }

  /**
   * @throws {UnsupportedError} unless the stream is a `net.Socket` and has the option.
   * @throws {ClosedError} once closed.
   */
  setOption(name: SocketOptionName, value: number): void {
    if (this.#closed) throw new ClosedError('setOption refused: the connection is closed');
    const stream = this.#stream;
    if (name === 'noDelay' && stream.setNoDelay !== undefined) stream.setNoDelay(value !== 0);
    else if (name === 'keepAlive' && stream.setKeepAlive !== undefined) stream.setKeepAlive(value !== 0);
    else if (name === 'keepIdle' && stream.setKeepAlive !== undefined) stream.setKeepAlive(true, value * 1000);
    else
      throw new UnsupportedError(
        `setOption refused: this stream has no option ${name}; a net.Socket has noDelay, keepAlive and keepIdle`,
      );
  }

  /** @throws {UnsupportedError} always, because Node.js cannot read options. @throws {ClosedError} once closed. */
  option(name: SocketOptionName): number {
    if (this.#closed) throw new ClosedError('option refused: the connection is closed');
    throw new UnsupportedError(`option refused: the option ${name} of a Node.js stream cannot be read`);
  }

  /** @returns all bytes that the stream holds. */
  #take(): Uint8Array {
    const stream = this.#stream;
    const chunk = stream.read() as Uint8Array | null;
    // With a high-water mark of 0, the stream asks its source for more only on a read. The source may complete a write
    // only when it is asked. Without this read, the write of a close_notify would never complete: no read follows it.
    if (chunk !== null && stream.readableHighWaterMark === 0) stream.read(0);
    return chunk ?? NOTHING;
  }

  readonly #onReadable = (): void => {
    // Without bytes, the event announces the end. The stream emits 'end' only after a read.
    if (this.#stream.readableLength === 0) this.#stream.read(0);
    else this.#report(READABLE);
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#report(READABLE | HANGUP);
  };

  readonly #onDrain = (): void => {
    this.#report(WRITABLE);
  };

  readonly #onError = (error: Error): void => {
    this.#error ??= error;
    this.#break();
  };

  readonly #onClose = (): void => {
    // After both ends, 'close' is expected. It is no failure.
    if (!this.#ended || !this.#stream.writableFinished) this.#break();
    else this.#report(READABLE | WRITABLE);
    this.#stream.off('error', this.#onError).off('close', this.#onClose);
  };

  #break(): void {
    this.#broken = true;
    this.#report(READABLE | WRITABLE | BROKEN);
  }

  #report(readiness: number): void {
    if (this.#closed) return;
    this.handle.readiness |= readiness;
    this.#loop.enqueue(this.handle);
  }

  /**
   * Removes the listeners, except those for 'error' and 'close', which the stream may still emit.
   * @returns whether this was the first call.
   */
  #leave(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    this.#rest = NOTHING;
    this.handle.readiness = 0;
    const stream = this.#stream;
    stream.off('readable', this.#onReadable).off('end', this.#onEnd).off('drain', this.#onDrain);
    return true;
  }

  #failure(): Error {
    const { remoteAddress } = this;
    return streamFailure(
      this.#error ?? this.#stream.errored ?? undefined,
      remoteAddress === undefined ? undefined : formatAddress(remoteAddress),
    );
  }
}

/** The members of a `net.Socket` that other streams may lack. */
interface NodeSocket extends Duplex {
  readonly localAddress?: string;
  readonly localPort?: number;
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  setNoDelay?(on: boolean): unknown;
  setKeepAlive?(on: boolean, initialDelayMs?: number): unknown;
  resetAndDestroy?(): unknown;
}

function assertUsable(stream: Duplex): void {
  if (stream.readableObjectMode || stream.writableObjectMode)
    throw new TypeError('fromDuplex refused: the stream is in object mode, but a connection carries bytes');
  if (stream.readableEncoding !== null)
    throw new TypeError(
      `fromDuplex refused: the stream decodes its bytes as ${stream.readableEncoding}; do not set an encoding`,
    );
  if (stream.readableFlowing === true || stream.listenerCount('data') > 0 || stream.listenerCount('readable') > 0) {
    throw new TypeError('fromDuplex refused: other code reads the stream');
  }
  if (!stream.readable || !stream.writable)
    throw new ClosedError('fromDuplex refused: the stream has ended or was destroyed', {
      cause: stream.errored ?? undefined,
    });
}

function addressOf(host: string | undefined, port: number | undefined): Address | undefined {
  return host === undefined || port === undefined ? undefined : numericAddress(host, port);
}

const NO_DESCRIPTOR = -1;
const NOTHING = new Uint8Array(0);
// The size of a full TLS record.
const WRITTEN_AT_LEAST = 16 * 1024;
// The default `idleMs` of `connection.close`.
const FINISH_MS = 2_000;
