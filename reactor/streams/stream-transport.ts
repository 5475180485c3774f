/**
 * The transport over one of Node's own streams.
 *
 * Theory of operation. The stream's events are what epoll is to a socket: each sets bits of a handle that has no
 * descriptor and gives it a place in the ready queue; nothing is read or written inside of an event. Reading is in
 * paused mode: a chunk is taken only when somebody reads, so that the stream's own high-water mark holds up the peer;
 * and WANT_READ is returned only when the stream has said that it has nothing, for then it will tell of the next bytes.
 * WANT_WRITE is returned from a write that the stream has answered with `false` until it tells 'drain'.
 *
 * A stream that fails is destroyed in both directions at once. What it had handed out or still hands out counts as
 * received before that.
 */

import type { Duplex } from 'node:stream';

import { ClosedError, UnsupportedError } from '../../core/errors.ts';
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
export class StreamTransport implements ConnectionSocket {
  readonly handle = new Handle(NO_DESCRIPTOR);
  readonly hasUnflushed = false;
  readonly peerCredentials = undefined;
  received = 0;
  failure: Error | undefined;
  readonly #stream: NodeSocket;
  readonly #loop: Loop;
  /** What is left of the chunk that the stream has handed out last. */
  #rest: Uint8Array = NOTHING;
  #ended = false;
  /** The stream was destroyed, or closed before its end; by #error if there is one. */
  #broken = false;
  #error: Error | undefined;
  #sendShut = false;
  #sent = 0;
  #closed = false;
  #remoteAddress: Address | undefined;

  /**
   * @throws {TypeError} when the stream does not carry plain bytes, or somebody else reads it.
   * @throws {ClosedError} when either of its directions has ended, or it was destroyed.
   */
  constructor(loop: Loop, stream: Duplex) {
    assertUsable(stream);
    this.#loop = loop;
    this.#stream = stream;
    // Ends are independent of each other here, and the connection's user says when to send no more.
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

  /** Whether bytes are left of the last chunk. What the stream still holds itself is told by the handle. */
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

  /** Takes no more at a time than the stream's high-water mark, or {@link WRITTEN_AT_LEAST} where that is less. */
  write(from: Uint8Array): number {
    if (from.length === 0) return 0;
    if (this.#broken || this.#stream.destroyed || this.#stream.errored !== null) throw this.#failure();
    if (this.#sendShut) throw new ClosedError('send refused: this side has said that it sends nothing more');
    if (!this.#stream.writable) throw new ClosedError('send refused: the stream was ended by somebody else');
    if ((this.handle.readiness & WRITABLE) === 0) return WANT_WRITE;
    const count = Math.min(from.length, Math.max(this.#stream.writableHighWaterMark, WRITTEN_AT_LEAST));
    // Copied, because the stream holds on to it, and the caller is free to use its memory again.
    this.#sent += count;
    if (!this.#stream.write(Buffer.from(from.subarray(0, count)))) this.handle.readiness &= ~WRITABLE;
    return count;
  }

  handshake(): StepCode {
    return DONE;
  }

  flush(): StepCode {
    return DONE;
  }

  shutdown(): StepCode {
    if (!this.#sendShut && !this.#closed) {
      this.#sendShut = true;
      if (this.#stream.writable) this.#stream.end();
    }
    return DONE;
  }

  onLookupAnswered(): void {
    // A stream never looks anything up.
  }

  /** Lets go of the stream once it has passed on what it was given; the reactor waits for that, but not long. */
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
    const cancel = this.#loop.after(LETTING_GO_MS, finished);
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
      // A net.Socket that is no TCP socket has the method, and throws.
    }
    stream.destroy();
  }

  /** What the stream has passed on; what lies below it is hidden. */
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
    // A socket that is connecting does not know it yet, one that is destroyed does not know it any more.
    const { remoteAddress, remotePort } = this.#stream;
    return (this.#remoteAddress ??= addressOf(remoteAddress, remotePort));
  }

  /**
   * @throws {UnsupportedError} unless it is one that a `net.Socket` can set, and the stream is one.
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
        `setOption refused: one of Node's streams has no option ${name}; a net.Socket has noDelay, keepAlive and keepIdle`,
      );
  }

  /** @throws {UnsupportedError} always: Node does not tell. @throws {ClosedError} once closed. */
  option(name: SocketOptionName): number {
    if (this.#closed) throw new ClosedError('option refused: the connection is closed');
    throw new UnsupportedError(`option refused: one of Node's streams does not tell its ${name}`);
  }

  /** @returns all that the stream has. */
  #take(): Uint8Array {
    const stream = this.#stream;
    const chunk = stream.read() as Uint8Array | null;
    // With a mark of 0 the stream asks for more only when somebody waits for it, and its writer would wait for that to
    // end a write whose bytes have long been taken, such as TLS's goodbye, after which nobody reads.
    if (chunk !== null && stream.readableHighWaterMark === 0) stream.read(0);
    return chunk ?? NOTHING;
  }

  readonly #onReadable = (): void => {
    // Without bytes it is the end that is to be told, and the stream tells it to those who read.
    if (this.#stream.readableLength === 0) this.#stream.read(0);
    else this.#tell(READABLE);
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#tell(READABLE | HANGUP);
  };

  readonly #onDrain = (): void => {
    this.#tell(WRITABLE);
  };

  readonly #onError = (error: Error): void => {
    this.#error ??= error;
    this.#break();
  };

  readonly #onClose = (): void => {
    // After both ends it is what was waited for.
    if (!this.#ended || !this.#stream.writableFinished) this.#break();
    else this.#tell(READABLE | WRITABLE);
    this.#stream.off('error', this.#onError).off('close', this.#onClose);
  };

  #break(): void {
    this.#broken = true;
    this.#tell(READABLE | WRITABLE | BROKEN);
  }

  #tell(readiness: number): void {
    if (this.#closed) return;
    this.handle.readiness |= readiness;
    this.#loop.enqueue(this.handle);
  }

  /** Listens no more, but for errors as long as the stream may have any; @returns whether this was the first call. */
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

/** What a `net.Socket` has beyond other streams. */
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
    throw new TypeError('fromDuplex refused: the stream is in object mode, and a connection carries bytes');
  if (stream.readableEncoding !== null)
    throw new TypeError(
      `fromDuplex refused: the stream decodes its bytes as ${stream.readableEncoding}; set no encoding`,
    );
  if (stream.readableFlowing === true || stream.listenerCount('data') > 0 || stream.listenerCount('readable') > 0) {
    throw new TypeError('fromDuplex refused: somebody else reads the stream');
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
// What TLS puts into one record.
const WRITTEN_AT_LEAST = 16 * 1024;
// As long as a polite close takes at most.
const LETTING_GO_MS = 2_000;
