/** Web streams over connections, and connections over web streams. */

import { Duplex } from 'node:stream';
import type { ReadableByteStreamController, WritableStreamDefaultController } from 'node:stream/web';
import { ReadableStream, WritableStream } from 'node:stream/web';

import { ClosedError } from '../../core/errors.ts';
import type { Operation } from '../../core/operation.ts';
import { checkArgument, checkOptions, count, partWith, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import type { Connection } from '../connections/connection.ts';
import type { Reactor } from '../reactor.ts';
import { fromDuplex } from './from-duplex.ts';
import type { FromDuplexOptions } from './from-duplex.ts';

/** The options of `toWebStreams`. */
export interface ToWebStreamsOptions {
  /**
   * How many bytes, at least 1, the writable stream takes before its writer should wait; 64 KiB by default. The
   * readable stream buffers nothing: the connection receives only while the stream is read.
   */
  readonly highWaterMark?: number | undefined;
}

export const TO_WEB_STREAMS_RULES = { highWaterMark: count(1) } satisfies Rules<ToWebStreamsOptions>;

const bothStreams = thing(
  '{ readable, writable }: a ReadableStream and a WritableStream',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    'readable' in value &&
    value.readable instanceof ReadableStream &&
    'writable' in value &&
    value.writable instanceof WritableStream,
);

/** Both directions of a connection, as web streams. */
export interface WebStreams {
  /** A byte stream: it also gives readers of the mode `byob`, which bring their own memory. */
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/**
 * Makes web streams over a connection, plain or with a layer such as TLS. The streams own the connection from now on.
 *
 * The readable stream receives only while it is read, with one receive at a time. Closing the writable stream
 * half-closes the connection; reading still works. Cancelling the readable stream drops what is not read; writing still
 * works. When both directions are over, the connection is closed; after a write that has failed, it is reset. Aborting
 * the writable stream resets the connection. Each operation runs within the limits of the connection. A stream whose
 * operation fails has the error of the operation. **The readable stream gives all data that were received before an
 * error first.**
 * @throws {ClosedError} when the connection is closed.
 * @example
 * import { Reactor, toWebStreams } from 'wantio';
 *
 * const reactor = new Reactor();
 * const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * listener.connections$.subscribe((connection) => {
 *   const { readable, writable } = toWebStreams(connection);
 *   void readable.pipeTo(writable); // an echo, with back-pressure
 * });
 * const client = await reactor.connect({ host: '127.0.0.1', port: listener.port });
 * await client.send('hello\n');
 * if ((await client.receive()) !== 'hello') throw new Error('the echo says something else');
 * await client.close();
 * await reactor.close();
 */
export function toWebStreams(connection: Connection, options: ToWebStreamsOptions = {}): WebStreams {
  checkArgument('toWebStreams', 'the connection', connection, partWith('a Connection', 'send', 'receive'));
  checkOptions('toWebStreams', options, TO_WEB_STREAMS_RULES);
  if (connection.closed)
    throw new ClosedError('toWebStreams refused: the connection is closed', { cause: connection.closeReason });
  const life = new Life(connection);
  return {
    readable: new ReadableStream(new Source(connection, life), { highWaterMark: 0 }),
    writable: new WritableStream(new Sink(connection, life), {
      highWaterMark: options.highWaterMark ?? HIGH_WATER_MARK,
      // The sink refuses other chunks.
      size: (chunk) => (chunk instanceof Uint8Array ? chunk.byteLength : 1),
    }),
  };
}

/**
 * Makes a connection over web streams, such as those of a `WebSocketStream` or of another runtime's sockets. The
 * connection owns the streams from now on. It behaves like one over a Node.js stream: see {@link fromDuplex}.
 * @throws {TypeError | RangeError} when an option is unknown or not valid, or when a stream is locked.
 * @throws {ClosedError} when the reactor is closed or closing.
 */
export function fromWebStreams(reactor: Reactor, streams: WebStreams, options: FromDuplexOptions = {}): Connection {
  checkArgument('fromWebStreams', 'the argument', streams, bothStreams);
  for (const name of ['readable', 'writable'] as const)
    if (streams[name].locked)
      throw new TypeError(`fromWebStreams refused: the ${name} stream is locked, so other code uses it`);
  return fromDuplex(reactor, Duplex.fromWeb(streams), options);
}

/** Ends the connection when both directions are over. */
class Life {
  readonly #connection: Connection;
  #directions = 2;
  #writeFailure: Error | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** @param writeFailure why bytes are missing at the peer: it then sees a reset instead of an end. */
  directionEnded(writeFailure?: Error): void {
    this.#writeFailure ??= writeFailure;
    if (--this.#directions > 0) return;
    if (this.#writeFailure === undefined) void this.#connection.close();
    else this.#connection.abort(this.#writeFailure);
  }
}

/** The source of the readable stream. */
class Source {
  readonly type = 'bytes';
  readonly #connection: Connection;
  readonly #life: Life;
  readonly #cancelled = new AbortController();

  constructor(connection: Connection, life: Life) {
    this.#connection = connection;
    this.#life = life;
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    const { signal } = this.#cancelled;
    const view = controller.byobRequest?.view;
    try {
      if (view instanceof Uint8Array) {
        const received = await this.#connection.receiveInto(view, { signal });
        if (received === 0) this.#end(controller);
        controller.byobRequest?.respond(received);
      } else {
        const bytes = await this.#connection.receive('*s', { signal });
        if (bytes.length === 0) this.#end(controller);
        else controller.enqueue(bytes);
      }
    } catch (error) {
      // After a cancel, nobody waits for the result.
      if (signal.aborted) return;
      this.#life.directionEnded();
      throw error;
    }
  }

  cancel(): void {
    this.#cancelled.abort();
    this.#life.directionEnded();
  }

  #end(controller: ReadableByteStreamController): void {
    controller.close();
    this.#life.directionEnded();
  }
}

/** The types of Node 20 lack the signal, which is aborted when the stream is. */
interface SinkController extends WritableStreamDefaultController {
  readonly signal: AbortSignal;
}

/** The sink of the writable stream. */
class Sink {
  readonly #connection: Connection;
  readonly #life: Life;

  constructor(connection: Connection, life: Life) {
    this.#connection = connection;
    this.#life = life;
  }

  /** The writer hears of a connection that closes while nothing is written. */
  start(controller: { error(reason: unknown): void }): void {
    this.#connection.once('close', (error?: Error) => {
      controller.error(error ?? new ClosedError('the connection is closed'));
    });
  }

  async write(chunk: Uint8Array, controller: WritableStreamDefaultController): Promise<void> {
    if (!(chunk instanceof Uint8Array)) {
      const error = new TypeError('the writable stream of a connection takes chunks of bytes (Uint8Array)');
      this.#life.directionEnded(error);
      throw error;
    }
    // An abort of the stream waits for the running write, so it must end that.
    const { signal } = controller as SinkController;
    await this.#run(this.#connection.send(chunk, { signal }));
  }

  async close(): Promise<void> {
    await this.#run(this.#connection.shutdown('send'));
    this.#life.directionEnded();
  }

  /** A failure ends the stream, so the direction is over. */
  async #run(operation: Operation<unknown>): Promise<void> {
    try {
      await operation;
    } catch (error) {
      this.#life.directionEnded(error as Error);
      throw error;
    }
  }

  abort(reason: unknown): void {
    this.#connection.abort(
      reason instanceof Error ? reason : new ClosedError('the stream was aborted', { cause: reason }),
    );
  }
}

const HIGH_WATER_MARK = 64 * 1024;
