/** Node.js streams over connections. Long because a stream has the members of a `net.Socket` that node:http uses. */

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

/** The options of `toDuplex`. */
export interface ToDuplexOptions {
  /**
   * Whether each direction ends independently. With `false`, the stream ends its writable side when the peer has ended.
   * By default `false` for a client, so that a pool does not keep a connection that the server has ended, and `true`
   * for a server, because a client may half-close and still expect the answer.
   */
  readonly allowHalfOpen?: boolean | undefined;
  /**
   * How many bytes the stream buffers in each direction before the peer or the writer must wait. By default, the value
   * of Node.js.
   */
  readonly highWaterMark?: number | undefined;
}

export const TO_DUPLEX_RULES = { allowHalfOpen: flag, highWaterMark: count(0) } satisfies Rules<ToDuplexOptions>;

/**
 * Makes a Node.js stream over a connection, plain or with a layer such as TLS, for `node:http`, `pipeline` and other
 * code that takes a socket. The stream owns the connection from now on.
 *
 * The stream receives only while it is read, with one receive at a time. Each operation runs within the connection's
 * limits. Ending the stream half-closes the connection; reading still works. Destroying the stream closes the
 * connection, or resets it when there is an error. The stream emits `'close'` when the connection is closed. When the
 * connection fails, the stream emits `'error'` with the connection's own error. It does so even before the first read,
 * and, for a reset, even after the peer has ended. **The error comes after all data that were received before it**,
 * also when a write has failed or timed out: a paused reader gets the error after it has read these data. A stream that
 * was never read emits the error at once. When this side closes the connection, the stream is destroyed without an
 * error.
 *
 * `node:http` sets the timeouts of requests and `keepAliveTimeout` on the stream, as on its own sockets. But it checks
 * `headersTimeout` and `requestTimeout` (every `connectionsCheckingInterval`) only in an HTTP server that listens
 * itself. So for a client that sends its header byte by byte, only `blockMs` applies, to each wait. Limit the header as
 * the sample https-server does.
 * @throws {ClosedError} when the connection is closed.
 * @example
 * import { createServer } from 'node:http';
 * import { Reactor, toDuplex } from 'wantio';
 *
 * const web = createServer((request, response) => response.end(`you asked for ${request.url ?? ''}\n`));
 * const reactor = new Reactor();
 * const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * listener.connections$.subscribe((connection) => web.emit('connection', toDuplex(connection)));
 *
 * const client = await reactor.connect({ host: '127.0.0.1', port: listener.port });
 * await client.send('GET /page HTTP/1.0\r\n\r\n');
 * const answer = Buffer.from(await client.receive('*a')).toString();
 * if (!answer.endsWith('you asked for /page\n')) throw new Error(answer);
 * await client.close();
 * await reactor.close();
 */
export function toDuplex<C extends Connection>(connection: C, options: ToDuplexOptions = {}): ConnectionStream<C> {
  checkArgument('toDuplex', 'the connection', connection, partWith('a Connection', 'send', 'receive'));
  checkOptions('toDuplex', options, TO_DUPLEX_RULES);
  return new ConnectionStream(connection, options);
}

/** A stream over a connection, with the members of a `net.Socket` that `node:http` expects. */
export class ConnectionStream<C extends Connection = Connection> extends Duplex {
  /** The connection of the stream. Use it for information, but not to send or receive. */
  readonly connection: C;
  /** The milliseconds of {@link setTimeout}; 0 for none. */
  timeout = 0;
  #movedAt = 0;
  #isPeerDone = false;
  /** The error that ends the stream after the received data are read. */
  #failure: Error | undefined;
  /** Whether the stream was ever read, so that it may be read again. */
  #hasReader = false;
  #isProbing = false;
  /** A receive whose handlers have not run yet. It may have settled already. */
  #receiving: Operation<Uint8Array> | undefined;
  /** Whether a write has failed. Then the stream passes on the data that have come, and does not wait for more. */
  #isDraining = false;
  /** Reports the failure: to the callback of the write that has failed, or else by destroying the stream. */
  #report = (failure: Error): void => {
    this.destroy(failure);
  };
  /** Whether nothing more will be received. */
  #isOver = false;
  #idle: IdleWatch | undefined;

  /** @internal {@link toDuplex} creates streams. */
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
    // From now on, a receive meets the break, after the data that came before it.
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
        this.#report = done;
        this.#failure ??= error as Error;
        // If the stream has a reader, pass on the data that came before.
        if (!this.#hasReader || this.#isPeerDone) this.#fail(this.#failure);
        else this.#beginDraining();
      },
    );
  }

  #beginDraining(): void {
    this.#isDraining = true;
    // If there is a receive, its handlers continue, whether it has settled already or fails here.
    if (this.#receiving === undefined) this.#probe();
    else this.#receiving.fail(new ClosedError('receive failed: a write to the stream has failed'));
  }

  /** Passes on the data that have come, if the stream has room. When none are left, the failure ends the stream. */
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

  /** Receives without a read by the reader, if the stream has room. */
  #probe(): void {
    this.#isProbing = true;
    this.read(0);
    this.#isProbing = false;
  }

  /** Ends the stream with `error` or with an earlier failure, after its reader has read the received data. */
  #fail(error: Error): void {
    this.#failure = failureReason(this.#failure, error);
    this.#isOver = true;
    if (!this.#hasReader) this.#report(this.#failure);
    else this.#failIfRead();
  }

  #failIfRead(): void {
    const failure = this.#failure;
    if (failure === undefined || !this.#isOver || this.readableLength > 0 || this.destroyed) return;
    // 'end' comes first, because the peer ended before the failure.
    if (this.#isPeerDone && !this.readableEnded)
      this.once('end', () => {
        this.#report(failure);
      });
    // Later, because the caller of `read` must get its chunk first.
    else process.nextTick(this.#report, failure);
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
    // This side is closing the connection. That is no failure, and the 'close' event of the connection will follow.
    if (error instanceof ClosedError && this.connection.closeReason === undefined) return;
    this.#fail(error as Error);
  };

  readonly #onClose = (error?: Error): void => {
    if (error === undefined) this.destroy();
    else if (this.#receiving !== undefined) this.#failure ??= error;
    else this.#fail(error);
  };

  /** Listens for a reset while no receive is running. The reset may have come already. */
  #listenForBreak(): void {
    this.connection.once('broken', this.#onBroken);
  }

  /**
   * Receives first the data that came before the reset, if the stream has room. A later receive then meets the reset.
   */
  readonly #onBroken = (error: Error): void => {
    if (this.#isPeerDone) this.#fail(error);
    else this.#probe();
  };

  // Members that `node:http` uses on its sockets.

  /** Whether the connection uses TLS. Web frameworks use this to distinguish `https` from `http`. */
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
   * Emits `'timeout'` when nothing was sent or received for `ms` milliseconds, and again only after bytes have moved.
   * The timeout does not close the stream. 0 switches it off.
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

  /** Sets whether small pieces are sent at once. Does nothing if the connection does not support it. */
  setNoDelay(on = true): this {
    return this.#setOption('noDelay', Number(on));
  }

  /** Sets whether to probe a silent peer. Does nothing if the connection does not support it. */
  setKeepAlive(on = false, initialDelayMs = 0): this {
    if (on && initialDelayMs >= 1_000) this.#setOption('keepIdle', Math.floor(initialDelayMs / 1_000));
    return this.#setOption('keepAlive', Number(on));
  }

  /** Keeps the process alive while the connection is open. This is the default. */
  ref(): this {
    this.connection.ref();
    return this;
  }

  /** Lets the process exit while the connection is open. */
  unref(): this {
    this.connection.unref();
    return this;
  }

  /** Ends the stream, and destroys it when all data are sent. */
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

  /** Called when something was sent or received. */
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
