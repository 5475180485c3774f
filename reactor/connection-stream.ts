/** Connections as Node's own streams. */

import { Duplex } from 'node:stream';

import { ClosedError, WantioError } from '../core/errors.ts';
import type { Operation } from '../core/operation.ts';
import type { Address } from './address.ts';
import type { Connection } from './connection.ts';
import { BROKEN } from './handle.ts';
import type { SocketOptionName } from './socket-options.ts';

/** How a stream over a connection is. */
export interface ToDuplexOptions {
  /** Whether each direction ends by itself; with `false` the stream ends its own when the peer has ended. `true` unless given. */
  readonly allowHalfOpen?: boolean | undefined;
  /** How many bytes the stream buffers in each direction before it holds up the peer or the writer; Node's own value unless given. */
  readonly highWaterMark?: number | undefined;
}

/**
 * Makes one of Node's streams over a connection, plain or of a layer such as TLS: for `node:http`, `pipeline` and whatever else takes a
 * socket. The stream owns the connection from now on.
 *
 * It receives only while somebody reads, one receive at a time, and each operation runs within the connection's limits. Ending it
 * says goodbye, and reading goes on. Destroying it closes the connection politely, or breaks it when there is an error; it tells
 * `'close'` when the connection is closed. A connection that fails is told as `'error'`, with the connection's own error: also before
 * anybody reads and after the end of the peer, when only a reset can be heard of. While a reader is held up it is told when he goes on,
 * after what had come. One that is closed from this side destroys the stream without an error.
 *
 * `node:http` sets the timeouts of requests and of `keepAliveTimeout` on it as on its own sockets. But `headersTimeout` and
 * `requestTimeout` are looked after (every `connectionsCheckingInterval`) only by an HTTP server that listens itself, so that a client
 * which drips its header is bounded by nothing but `blockMs` for each wait: limit it as the sample https-server does.
 * @throws {ClosedError} when the connection is closed.
 * @example
 * httpServer.emit('connection', toDuplex(connection));
 */
export function toDuplex<C extends Connection>(connection: C, options: ToDuplexOptions = {}): ConnectionStream<C> {
  return new ConnectionStream(connection, options);
}

/** A connection as a stream, with what `node:http` expects of a `net.Socket` besides. */
export class ConnectionStream<C extends Connection = Connection> extends Duplex {
  /** What it stands on; for questions, and not for sending or receiving. */
  readonly connection: C;
  /** The milliseconds of {@link setTimeout}; 0 for none. */
  timeout = 0;
  #movedAt = 0;
  #isPeerDone = false;
  #cancelTimeout: (() => void) | undefined;

  /** @internal Streams are made by {@link toDuplex}. */
  constructor(connection: C, { allowHalfOpen = true, highWaterMark }: ToDuplexOptions) {
    if (connection.closed) throw new ClosedError('toDuplex refused: the connection is closed', { cause: connection.closeReason });
    super({ allowHalfOpen, ...(highWaterMark === undefined ? {} : { highWaterMark }) });
    this.connection = connection;
    connection.once('close', this.#onClose);
    this.#listenForBreak();
  }

  override _read(): void {
    // From now on it is a receive that hears of it, after all that came before.
    this.connection.off('broken', this.#onBroken);
    this.connection.receive('*s').then(this.#received, this.#receiveFailed);
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#finish(this.connection.send(chunk), done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error) => void): void {
    this.#finish(this.connection.send(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#finish(this.connection.shutdown('send'), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { connection } = this;
    this.setTimeout(0);
    connection.off('close', this.#onClose).off('broken', this.#onBroken);
    if (error !== null) connection.abort();
    void connection.close().then(() => {
      done(error);
    });
  }

  #finish(operation: Operation<unknown>, done: (error?: Error) => void): void {
    operation.then(() => {
      this.#moved();
      done();
    }, (error: unknown) => {
      done(error as Error);
    });
  }

  readonly #received = (bytes: Uint8Array): void => {
    this.#moved();
    if (bytes.length > 0 || this.destroyed) {
      this.push(bytes);
      return;
    }
    this.#isPeerDone = true;
    this.push(null);
    this.#listenForBreak();
  };

  readonly #receiveFailed = (error: unknown): void => {
    // When it is being closed from this side it will tell so, and nothing has failed.
    if (error instanceof ClosedError && this.connection.closeReason === undefined) return;
    this.destroy(error as Error);
  };

  readonly #onClose = (error?: Error): void => {
    this.destroy(error);
  };

  /** Hears of a reset while nobody receives: it may have come already. */
  #listenForBreak(): void {
    const { connection } = this;
    const { handle } = connection.basis.socket;
    connection.once('broken', this.#onBroken);
    if ((handle.readiness & BROKEN) !== 0) connection.basis.reactor.enqueue(handle);
  }

  /** The end of the peer came before, and what the stream holds for a reader who is held up. */
  readonly #onBroken = (error: Error): void => {
    if (this.#isPeerDone && !this.readableEnded) this.once('end', () => this.destroy(error));
    else this.destroy(error);
  };

  // What `node:http` calls on its sockets.

  get remoteAddress(): string | undefined {
    return hostOf(this.connection.remoteAddress);
  }

  get remotePort(): number | undefined {
    return portOf(this.connection.remoteAddress);
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.connection.remoteAddress);
  }

  get localAddress(): string | undefined {
    return hostOf(this.connection.localAddress);
  }

  get localPort(): number | undefined {
    return portOf(this.connection.localAddress);
  }

  get localFamily(): string | undefined {
    return familyOf(this.connection.localAddress);
  }

  /** Tells `'timeout'` when nothing was sent or received for so long, once until something is; it closes nothing. 0 for never. */
  setTimeout(ms: number, listener?: () => void): this {
    this.timeout = ms;
    this.#cancelTimeout?.();
    this.#cancelTimeout = undefined;
    if (ms > 0 && !this.destroyed) this.#moved();
    if (listener !== undefined && ms > 0) this.once('timeout', listener);
    else if (listener !== undefined) this.off('timeout', listener);
    return this;
  }

  /** Sends small pieces at once, or gathers them; a connection that cannot be told stays as it is. */
  setNoDelay(on = true): this {
    return this.#setOption('noDelay', Number(on));
  }

  /** Probes a silent peer; a connection that cannot be told stays as it is. */
  setKeepAlive(on = false, initialDelayMs = 0): this {
    if (on && initialDelayMs >= 1_000) this.#setOption('keepIdle', Math.floor(initialDelayMs / 1_000));
    return this.#setOption('keepAlive', Number(on));
  }

  /** Does nothing: what keeps the process alive is the reactor as a whole. */
  ref(): this {
    return this;
  }

  /** Does nothing: see {@link ref}. */
  unref(): this {
    return this;
  }

  /** Ends, and destroys when all is sent. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  #setOption(name: SocketOptionName, value: number): this {
    try {
      this.connection.setOption(name, value);
    } catch (error) {
      if (!(error instanceof WantioError)) throw error;
    }
    return this;
  }

  /** Something was sent or received. Moving bytes costs no timer: it looks again when the limit could have passed at the earliest. */
  #moved(): void {
    if (this.timeout <= 0) return;
    this.#movedAt = this.connection.now();
    if (this.#cancelTimeout === undefined) this.#watch(this.timeout);
  }

  #watch(ms: number): void {
    this.#cancelTimeout = this.connection.basis.reactor.after(ms, () => {
      this.#cancelTimeout = undefined;
      const left = this.#movedAt + this.timeout - this.connection.now();
      if (left > 0) this.#watch(left);
      else this.emit('timeout');
    });
  }
}

function hostOf(address: Address | undefined): string | undefined {
  return address === undefined || address.family === 'unix' ? undefined : address.host;
}

function portOf(address: Address | undefined): number | undefined {
  return address === undefined || address.family === 'unix' ? undefined : address.port;
}

function familyOf(address: Address | undefined): string | undefined {
  return address === undefined || address.family === 'unix' ? undefined : address.family;
}
