/** Connections as Node's own streams. */

import { Duplex } from 'node:stream';

import { ClosedError, WantioError } from '../../core/errors.ts';
import { IdleWatch } from '../../core/idle-watch.ts';
import type { Operation } from '../../core/operation.ts';
import { checkArgument, checkOptions, count, flag, partWith } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { END } from '../../core/want.ts';
import type { Address } from '../addresses/address.ts';
import type { Connection } from '../connections/connection.ts';
import { failureReason } from '../connections/failure-reason.ts';
import type { SocketOptionName } from '../connections/socket-options.ts';

/** How a stream over a connection is. */
export interface ToDuplexOptions {
  /**
   * Whether each direction ends by itself; with `false` the stream ends its own when the peer has ended. Unless given,
   * `false` for a client, so that a pool does not keep what the server has ended, and `true` for a server, whose client
   * may half-close and still want the answer.
   */
  readonly allowHalfOpen?: boolean | undefined;
  /**
   * How many bytes the stream buffers in each direction before it holds up the peer or the writer; Node's own value
   * unless given.
   */
  readonly highWaterMark?: number | undefined;
}

export const TO_DUPLEX_RULES = { allowHalfOpen: flag, highWaterMark: count(0) } satisfies Rules<ToDuplexOptions>;

/**
 * Makes one of Node's streams over a connection, plain or of a layer such as TLS: for `node:http`, `pipeline` and
 * whatever else takes a socket. The stream owns the connection from now on.
 *
 * It receives only while somebody reads, one receive at a time, and each operation runs within the connection's limits.
 * Ending it says goodbye, and reading goes on. Destroying it closes the connection politely, or breaks it when there is
 * an error; it tells `'close'` when the connection is closed. A connection that fails is told as `'error'`, with the
 * connection's own error: also before anybody reads and after the end of the peer, when only a reset can be heard of.
 * **The error comes after all that was received before**, also when it is a write that fails, by a timeout too: a
 * reader who pauses is told when he has read what had come until then. A stream that has no reader is told at once. A
 * connection that is closed from this side destroys the stream without an error.
 *
 * `node:http` sets the timeouts of requests and of `keepAliveTimeout` on it as on its own sockets. But `headersTimeout`
 * and `requestTimeout` are looked after (every `connectionsCheckingInterval`) only by an HTTP server that listens
 * itself, so that a client which drips its header is bounded by nothing but `blockMs` for each wait: limit it as the
 * sample https-server does.
 * @throws {ClosedError} when the connection is closed.
 * @example
 * httpServer.emit('connection', toDuplex(connection));
 */
export function toDuplex<C extends Connection>(connection: C, options: ToDuplexOptions = {}): ConnectionStream<C> {
  checkArgument('toDuplex', 'the connection', connection, partWith('a Connection', 'send', 'receive'));
  checkOptions('toDuplex', options, TO_DUPLEX_RULES);
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
  /** What ends the stream once all that was received is read. */
  #failure: Error | undefined;
  /** Whether the stream was ever read, and so may be again. */
  #hasReader = false;
  #isProbing = false;
  /** A receive that has not told its result yet: it may be settled, and what it has received is on its way. */
  #receiving: Operation<Uint8Array> | undefined;
  /** A write has failed: what has come until now is given to the reader, and nothing more is waited for. */
  #isDraining = false;
  /** Tells the failure: to the write that has failed, or to the stream. */
  #tell = (failure: Error): void => {
    this.destroy(failure);
  };
  /** Whether nothing more will be received. */
  #isOver = false;
  #idle: IdleWatch | undefined;

  /** @internal Streams are made by {@link toDuplex}. */
  constructor(connection: C, { allowHalfOpen = connection.basis.role === 'server', highWaterMark }: ToDuplexOptions) {
    if (connection.closed)
      throw new ClosedError('toDuplex refused: the connection is closed', { cause: connection.closeReason });
    super({ allowHalfOpen, ...(highWaterMark === undefined ? {} : { highWaterMark }) });
    this.connection = connection;
    connection.once('close', this.#onClose);
    this.#listenForBreak();
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    this.#failIfRead();
    return chunk;
  }

  /** For Node's streams. @internal */
  override _read(): void {
    if (!this.#isProbing) this.#hasReader = true;
    // From now on it is a receive that hears of it, after all that came before.
    this.connection.off('broken', this.#onBroken);
    if (this.#isDraining) this.#drain();
    else (this.#receiving = this.connection.receive('*s')).then(this.#received, this.#receiveFailed);
  }

  /** For Node's streams. @internal */
  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#finish(this.connection.send(chunk), done);
  }

  /** For Node's streams. @internal */
  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error) => void): void {
    this.#finish(this.connection.send(chunks.map(({ chunk }) => chunk)), done);
  }

  /** For Node's streams. @internal */
  override _final(done: (error?: Error) => void): void {
    this.#finish(this.connection.shutdown('send'), done);
  }

  /** For Node's streams. @internal */
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
    operation.then(
      () => {
        this.#moved();
        done();
      },
      (error: unknown) => {
        this.#tell = done;
        this.#failure ??= error as Error;
        // What had come before is still to be given, for which somebody must read.
        if (!this.#hasReader || this.#isPeerDone) this.#fail(this.#failure);
        else this.#beginDraining();
      },
    );
  }

  #beginDraining(): void {
    this.#isDraining = true;
    // One that is settled goes on by itself, and so does one that is ended here.
    if (this.#receiving === undefined) this.#probe();
    else
      this.#receiving.fail(
        new ClosedError('receive failed: a write has failed, and what had come is given to the reader'),
      );
  }

  /** Gives what has come, as far as the stream has room; then the failure ends the stream. */
  #drain(): void {
    let bytes: Uint8Array | number;
    try {
      bytes = this.connection.tryReceive();
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    if (bytes instanceof Uint8Array) this.push(bytes);
    else if (bytes === END) this.#received(NOTHING);
    else this.#fail(this.#failure as Error);
  }

  /** Receives as much as there is room for, without being asked to. */
  #probe(): void {
    this.#isProbing = true;
    this.read(0);
    this.#isProbing = false;
  }

  /** Ends the stream with `error`, or with what has failed before, after what its reader has yet to read. */
  #fail(error: Error): void {
    this.#failure = failureReason(this.#failure, error);
    this.#isOver = true;
    if (!this.#hasReader) this.#tell(this.#failure);
    else this.#failIfRead();
  }

  #failIfRead(): void {
    const failure = this.#failure;
    if (failure === undefined || !this.#isOver || this.readableLength > 0 || this.destroyed) return;
    // The end of the peer is told before what came after it.
    if (this.#isPeerDone && !this.readableEnded)
      this.once('end', () => {
        this.#tell(failure);
      });
    // A reader gets its chunk first.
    else process.nextTick(this.#tell, failure);
  }

  readonly #received = (bytes: Uint8Array): void => {
    this.#receiving = undefined;
    this.#moved();
    if (bytes.length > 0 || this.destroyed) {
      this.push(bytes);
      if (this.connection.closed && this.#failure !== undefined) this.#fail(this.#failure);
      return;
    }
    this.#isPeerDone = true;
    this.push(null);
    if (this.#failure === undefined) this.#listenForBreak();
    else this.#fail(this.#failure);
  };

  readonly #receiveFailed = (error: unknown): void => {
    this.#receiving = undefined;
    if (this.#isDraining && !this.connection.closed) {
      this.#drain();
      return;
    }
    // When it is being closed from this side it will tell so, and nothing has failed.
    if (error instanceof ClosedError && this.connection.closeReason === undefined) return;
    this.#fail(error as Error);
  };

  readonly #onClose = (error?: Error): void => {
    if (error === undefined) this.destroy();
    else if (this.#receiving !== undefined) this.#failure ??= error;
    else this.#fail(error);
  };

  /** Hears of a reset while nobody receives: it may have come already. */
  #listenForBreak(): void {
    this.connection.once('broken', this.#onBroken);
  }

  /**
   * What came before the reset is received first, as far as the stream has room for it; it is a receive then that hears
   * of the reset.
   */
  readonly #onBroken = (error: Error): void => {
    if (this.#isPeerDone) this.#fail(error);
    else this.#probe();
  };

  // What `node:http` calls on its sockets.

  /** Whether the connection is one over TLS: by this web frameworks tell `https` from `http`. */
  get encrypted(): boolean {
    return this.connection.encrypted;
  }

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

  /**
   * Tells `'timeout'` when nothing was sent or received for so long, once until something is; it closes nothing. 0 for
   * never.
   */
  setTimeout(ms: number, listener?: () => void): this {
    this.timeout = ms;
    this.#idle?.stop();
    this.#idle = undefined;
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

  /** Lets the connection keep the process alive, as it does from the start. */
  ref(): this {
    this.connection.ref();
    return this;
  }

  /** Lets the process end although the connection is open. */
  unref(): this {
    this.connection.unref();
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

  /** Something was sent or received. */
  #moved(): void {
    if (this.timeout <= 0) return;
    const { loop } = this.connection.basis;
    this.#movedAt = loop.now();
    this.#idle ??= new IdleWatch(
      loop,
      this.timeout,
      () => this.#movedAt,
      () => {
        this.#idle = undefined;
        this.emit('timeout');
      },
    );
  }
}

const NOTHING = new Uint8Array(0);

function hostOf(address: Address | undefined): string | undefined {
  return address === undefined || address.family === 'unix' ? undefined : address.host;
}

function portOf(address: Address | undefined): number | undefined {
  return address === undefined || address.family === 'unix' ? undefined : address.port;
}

function familyOf(address: Address | undefined): string | undefined {
  return address === undefined || address.family === 'unix' ? undefined : address.family;
}
