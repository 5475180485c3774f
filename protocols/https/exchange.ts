/** One request and its response: Node's HTTP client over a connection of this library. */

import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';

import { AbortError, BoundsError, WantioError } from '../../core/errors.ts';
import { toDuplex } from '../../reactor/streams/to-duplex.ts';
import type { SecureConnection } from '../tls/secure-connection.ts';
import type { Source } from './body.ts';
import { BodyLengthError, endedEarly, HttpError, requestError } from './errors.ts';
import { Limits } from './limits.ts';
import type { ExchangeLimits } from './limits.ts';
import { MAX_HEADER_BYTES } from './options.ts';
import type { RequestOptions, Response, ResponseHead } from './options.ts';

/** A request whose options have been checked. */
export interface Order
  extends ExchangeLimits, Pick<RequestOptions, 'sink' | 'onProgress' | 'maxBytes' | 'maxHeaderBytes'> {
  readonly url: URL;
  readonly method: string;
  readonly headers: OutgoingHttpHeaders;
  /** The `content-length` of a body that comes in pieces, if the caller gave one. */
  readonly length: number | undefined;
  readonly source: Source;
}

/** Sends one request and receives its response. Owns the connection. */
export class Exchange {
  readonly #connection: SecureConnection;
  readonly #order: Order;
  readonly #limits: Limits;
  readonly #chunks: Uint8Array[] = [];
  #answer: IncomingMessage | undefined;
  #sent = 0;
  #received = 0;
  #isOver = false;
  #stopWaitingForWrite: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  readonly #failed = new Promise<never>((_, reject) => {
    this.#fail = reject;
  });

  constructor(connection: SecureConnection, order: Order) {
    this.#connection = connection;
    this.#order = order;
    // The promise may reject when nothing awaits it any more.
    this.#failed.catch(() => undefined);
    this.#limits = new Limits(connection, order, this.#fail);
  }

  async run(): Promise<Response> {
    const { url, method, headers, maxHeaderBytes = MAX_HEADER_BYTES, sink, signal } = this.#order;
    const connection = this.#connection;
    let asking: ClientRequest | undefined;
    let isComplete = false;
    try {
      if (signal?.aborted === true) throw new AbortError('connect', signal.reason);
      const [tls, resumed] = [connection.info(), connection.reused];
      if (tls.alpn !== undefined && !tls.alpn.startsWith('http/1'))
        throw new HttpError(
          `the server has chosen ${tls.alpn}, but https.request speaks HTTP/1.1: offer only http/1.1`,
        );
      const stream = toDuplex(connection).on('error', this.#broken);
      asking = httpRequest({
        method,
        path: url.pathname + url.search,
        headers,
        setHost: false,
        maxHeaderSize: maxHeaderBytes,
        createConnection: () => stream,
      });
      const answer = await Promise.race([this.#failed, this.#ask(asking)]);
      const head = headOf(answer);
      await Promise.race([this.#failed, this.#receive(answer, head)]);
      isComplete = true;
      return { ...head, trailers: answer.trailers, body: this.#body(), tls, resumed };
    } catch (error) {
      if (error instanceof WantioError && sink === undefined) error.partial = this.#body();
      throw error;
    } finally {
      this.#isOver = true;
      this.#stopWaitingForWrite();
      this.#limits.stop();
      // If the server did not read the whole body, no close_notify can follow it.
      if (isComplete && asking?.writableFinished === true) void connection.close();
      else connection.abort();
    }
  }

  /** Begins to send; resolves when the header of the response has arrived. */
  #ask(asking: ClientRequest): Promise<IncomingMessage> {
    void this.#send(asking).catch(this.#fail);
    return new Promise((resolve) => {
      asking
        .on('error', this.#broken)
        .once('response', (answer) => {
          resolve((this.#answer = answer));
        })
        .once('upgrade', () => {
          this.#fail(new HttpError('the server switches to another protocol, which the request did not ask for'));
        })
        .once('close', () => {
          this.#broken(endedEarly());
        });
    });
  }

  /** Once the response is complete, a broken connection does not matter, even while the sink is still busy. */
  readonly #broken = (error: Error): void => {
    if (this.#answer?.complete !== true) this.#fail(this.#translated(error));
  };

  async #send(asking: ClientRequest): Promise<void> {
    const { source, length } = this.#order;
    for (;;) {
      const piece = await this.#limits.waitForCaller(() => source.next());
      if (this.#isOver) return;
      // The server would take surplus bytes for another request.
      const sent = this.#sent + (piece?.length ?? 0);
      if (length !== undefined && (piece === undefined ? sent < length : sent > length))
        throw new BodyLengthError(length, sent);
      if (piece === undefined) break;
      await new Promise<void>((resolve) => {
        // If the write fails, the connection's `error` event reports it.
        this.#stopWaitingForWrite = resolve;
        asking.write(piece, () => {
          resolve();
        });
      });
      if (this.#isOver) return;
      this.#sent = sent;
      this.#progressed();
    }
    asking.end();
  }

  async #receive(answer: IncomingMessage, head: ResponseHead): Promise<void> {
    const { sink, maxBytes = sink === undefined ? MAX_BYTES : Infinity } = this.#order;
    try {
      for await (const chunk of answer as AsyncIterable<Uint8Array>) {
        if (this.#received + chunk.length > maxBytes)
          throw new BoundsError('the body of the response', 'maxBytes', maxBytes);
        this.#received += chunk.length;
        if (sink === undefined) this.#chunks.push(chunk);
        else await this.#limits.waitForCaller(() => sink(chunk, head));
        this.#progressed();
      }
    } catch (error) {
      throw answer.errored === error ? this.#translated(error as Error) : error;
    }
  }

  #progressed(): void {
    this.#order.onProgress?.({ sent: this.#sent, received: this.#received });
  }

  #body(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#chunks));
  }

  #translated(error: Error): Error {
    return requestError(error, this.#order.maxHeaderBytes ?? MAX_HEADER_BYTES);
  }
}

function headOf({
  statusCode: status = 0,
  statusMessage: statusText = '',
  httpVersion,
  headers,
}: IncomingMessage): ResponseHead {
  const statusLine = `HTTP/${httpVersion} ${String(status)} ${statusText}`.trimEnd();
  return { status, statusText, statusLine, httpVersion, headers };
}

const MAX_BYTES = 16 * 1024 * 1024;
