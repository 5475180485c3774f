/** HTTPS requests: Node's own HTTP over connections of ours, one request a connection. */

import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';

import { AbortError, BoundsError, ClosedError, OperationTimeoutError, WantioError } from '../../core/errors.ts';
import { IdleWatch } from '../../core/idle-watch.ts';
import { onAbort } from '../../core/on-abort.ts';
import { OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions } from '../../core/operation.ts';
import { checkArgument, checkOptions, count, either, func, number, required, text, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { limit } from '../../core/timeouts.ts';
import type { TimeoutMode } from '../../core/timeouts.ts';
import { layerRule } from '../../core/transport-layer.ts';
import type { TransportLayer } from '../../core/transport-layer.ts';
import type { ConnectionBasis } from '../../reactor/connections/connection-basis.ts';
import { toDuplex } from '../../reactor/streams/to-duplex.ts';
import { reactorRule } from '../../reactor/reactor-rule.ts';
import type { Loop } from '../../reactor/loop.ts';
import type { Reactor } from '../../reactor/reactor.ts';
import { isBody, Source } from './body.ts';
import type { Body } from './body.ts';
import { declaredLength, headersOf } from './headers.ts';
import { TlsContext } from '../tls/context/context.ts';
import type { SecureConnection, TlsInfo } from '../tls/secure-connection.ts';

export type { Body } from './body.ts';

/**
 * A request. The block limit, 30 seconds unless given, holds for each wait for the server, the total for everything
 * from the look-up to the last byte, sources and sinks included; there is none unless given.
 */
export interface RequestOptions extends OperationOptions {
  /** An `https:` address without user and password. What follows a `#` is not sent. */
  readonly url: string | URL;
  /** `'POST'` when there is a body, else `'GET'`, unless given. `CONNECT` is refused. */
  readonly method?: string | undefined;
  /**
   * Headers to send besides `host` and those that frame the message; one that is `undefined` is not sent.
   * `content-length` may be given for a body that comes in pieces.
   */
  readonly headers?: Readonly<OutgoingHttpHeaders> | undefined;
  /**
   * Begun when the connection is made, and taken no faster than the server takes it. In pieces it is sent chunked, or
   * with the `content-length` that is given, which must be right. The bytes must not change until the response has
   * come.
   *
   * The request owns it from the call on, and closes it when no more is wanted: also when the request is refused or the
   * connection cannot be made. A stream of Node's is destroyed, whatever else can be iterated is told by its `return`,
   * and not waited for: a generator that hangs ends when it comes back.
   */
  readonly body?: Body | undefined;
  /**
   * Takes the body of the response, one chunk after the other: the next comes when what it returns has settled. Not
   * called without a body.
   */
  readonly sink?: ((chunk: Uint8Array, head: ResponseHead) => unknown) | undefined;
  /** Told after each chunk how many bytes of either body have moved so far: what LTN12's `step` was good for. */
  readonly onProgress?: ((progress: { readonly sent: number; readonly received: number }) => void) | undefined;
  /**
   * A client's context, or `context.with(…)`. Unless given one of the reactor's own, with the bundled authorities,
   * whose sessions are gone on with.
   */
  readonly secure?: TransportLayer<SecureConnection, ConnectionBasis> | undefined;
  /** The bound of the response's body, in bytes: 16 MiB unless given, none with a sink. */
  readonly maxBytes?: number | undefined;
  /** The bound of the response's header, in bytes, and of its trailers: 16 KiB unless given. */
  readonly maxHeaderBytes?: number | undefined;
}

/** What the parts of these may be is checked where they are read. @internal */
export const REQUEST_RULES = {
  ...OPERATION_RULES,
  url: required(
    either(
      text,
      thing('a URL', (value) => value instanceof URL),
    ),
  ),
  method: text,
  headers: thing(
    'an object of headers by name',
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && !('then' in value),
  ),
  body: thing('text, bytes, or what gives them when it is iterated', isBody),
  sink: func,
  onProgress: func,
  secure: layerRule,
  maxBytes: number('a number of bytes of at least 0', (value) => value >= 0),
  maxHeaderBytes: count(1),
} satisfies Rules<RequestOptions>;

/** What comes before the body of a response. */
export interface ResponseHead {
  /** Such as 200. */
  readonly status: number;
  /** Such as `'OK'`; may be empty. */
  readonly statusText: string;
  /** Such as `'HTTP/1.1 200 OK'`. */
  readonly statusLine: string;
  /** Such as `'1.1'`. */
  readonly httpVersion: string;
  /** By name in lower case. Repeated ones are joined by a comma; `set-cookie` is a list. */
  readonly headers: IncomingHttpHeaders;
}

/** What the server answered, whatever its status. */
export interface Response extends ResponseHead {
  /** The headers after a chunked body, in the same way. */
  readonly trailers: Readonly<Record<string, string | undefined>>;
  /** As it was sent: not decompressed, not decoded. Empty with a sink. */
  readonly body: Uint8Array;
  /** What was agreed on with the server. */
  readonly tls: TlsInfo;
  /** Whether the handshake went on with the session of an earlier request. */
  readonly resumed: boolean;
}

/** What the server sent is not HTTP/1; `cause` is the parser's error. */
export class HttpError extends WantioError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_WANTIO_HTTP', message, options);
  }

  static {
    this.prototype.name = 'HttpError';
  }
}

/** A body in pieces has not as many bytes as its `content-length` says. */
export class BodyLengthError extends WantioError {
  /** The `content-length`. */
  readonly declared: number;

  constructor(declared: number, sent: number) {
    const [bytes, length] = [`${String(sent)} bytes`, `${String(declared)} bytes that its header content-length says`];
    super(
      'ERR_WANTIO_BODY_LENGTH',
      sent > declared
        ? `the body of the request is longer than the ${length}`
        : `the body of the request has ended after ${bytes} of the ${length}`,
    );
    this.declared = declared;
  }

  static {
    this.prototype.name = 'BodyLengthError';
  }
}

/**
 * Makes a request and takes the response. Redirections are not followed, and a status such as 404 is no failure. The
 * connection is closed behind it. It resolves when the response is complete, even when the server did not want all of
 * the body.
 *
 * A failure, an abort and a timeout break the connection; what had come of the body is the error's `partial`, unless a
 * sink has it. The failures of a source or a sink are thrown as they are.
 * @param body what to post. It stands in the options when there are some.
 * @throws {TypeError} before anything is sent, for an address, a method or a header that cannot be.
 * @throws {SystemError | TlsError | CertificateError} when the connection cannot be made, or breaks.
 * @throws {OperationTimeoutError | AbortError} when a limit passes, or `signal` is aborted.
 * @throws {ClosedError | TruncatedError} when the response ends too early, with a goodbye of the server or without.
 * @throws {HttpError} when it is not HTTP. @throws {BoundsError} when it is larger than it may be.
 * @throws {BodyLengthError} when a body in pieces is shorter or longer than its `content-length`.
 * @example
 * const { status, headers, body } = await https.request(reactor, 'https://example.org/');
 */
export function request(reactor: Reactor, url: string | URL, body?: Body): Promise<Response>;
export function request(reactor: Reactor, options: RequestOptions): Promise<Response>;
export async function request(reactor: Reactor, target: string | URL | RequestOptions, body?: Body): Promise<Response> {
  const options = typeof target === 'string' || target instanceof URL ? { url: target, body } : target;
  const source = new Source((options as RequestOptions | null | undefined)?.body);
  try {
    if (options === target && body !== undefined) {
      new Source(body).close();
      throw new TypeError('https.request takes the body in its options when there are some, and not besides');
    }
    return await exchange(reactor, options, source);
  } finally {
    source.close();
  }
}

async function exchange(reactor: Reactor, options: RequestOptions, source: Source): Promise<Response> {
  checkArgument('https.request', 'the reactor', reactor, reactorRule);
  checkOptions('https.request', options, REQUEST_RULES);
  const url = checkedUrl(options.url);
  const [method, headers, length] = [methodOf(options), headersOf(url, options), declaredLength(options)];
  const [blockMs, totalMs] = [
    limit(options.timeouts?.blockMs ?? BLOCK_MS, 'blockMs'),
    limit(options.timeouts?.totalMs, 'totalMs'),
  ];
  const secure = options.secure ?? (await contextOf(reactor));
  const endsAt = reactor.now() + totalMs;
  const [host, port] = [url.hostname.replace(/^\[(.*)\]$/, '$1'), url.port === '' ? 443 : Number(url.port)];
  const connection = await reactor.connectSecure({
    host,
    port,
    secure,
    signal: options.signal,
    timeouts: { blockMs, totalMs },
  });
  return new Exchange(connection, { ...options, url, method, headers, length, source, blockMs, totalMs, endsAt }).run();
}

/** What was asked for, checked. */
interface Order extends RequestOptions {
  readonly url: URL;
  readonly method: string;
  readonly headers: OutgoingHttpHeaders;
  /** What the headers say of a body that comes in pieces. */
  readonly length: number | undefined;
  readonly source: Source;
  readonly blockMs: number;
  readonly totalMs: number;
  readonly endsAt: number;
}

/** One request and its response, on a connection that it owns. */
class Exchange {
  readonly #connection: SecureConnection;
  readonly #order: Order;
  readonly #chunks: Uint8Array[] = [];
  #answer: IncomingMessage | undefined;
  #sent = 0;
  #received = 0;
  /**
   * How many of the caller's functions are awaited, and when the last was done: meanwhile it is not the server that
   * keeps us waiting.
   */
  #own = 0;
  #ownUntil = 0;
  #over = false;
  #goOn: () => void = () => undefined;
  readonly #loop: Loop;
  readonly #block: IdleWatch;
  #stopListening: () => void = () => undefined;
  readonly #cancelTotal: () => void;
  #fail: (error: unknown) => void = () => undefined;
  readonly #failed = new Promise<never>((_, reject) => {
    this.#fail = reject;
  });

  constructor(connection: SecureConnection, order: Order) {
    this.#connection = connection;
    this.#order = order;
    // It may fail when nobody looks any more.
    this.#failed.catch(() => undefined);
    this.#loop = connection.basis.loop;
    this.#block = new IdleWatch(
      this.#loop,
      order.blockMs,
      () => this.#waitsSince(),
      () => {
        this.#timeOut('block', order.blockMs);
      },
    );
    this.#cancelTotal = this.#loop.after(order.endsAt - this.#loop.now(), () => {
      this.#timeOut('total', order.totalMs);
    });
    if (order.signal?.aborted === false) this.#stopListening = onAbort(order.signal, this.#onAbort);
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
        throw new HttpError(`the server has chosen ${tls.alpn}, and HTTP/1.1 is spoken here: offer http/1.1 alone`);
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
      this.#over = true;
      this.#goOn();
      this.#block.stop();
      this.#cancelTotal();
      this.#stopListening();
      // A body that the server does not want any more cannot be followed by a goodbye.
      if (isComplete && asking?.writableFinished === true) void connection.close();
      else connection.abort();
    }
  }

  /** Begins to send; resolves when the header of the response has come. */
  #ask(asking: ClientRequest): Promise<IncomingMessage> {
    void this.#send(asking).catch(this.#fail);
    return new Promise((resolve) => {
      asking
        .on('error', this.#broken)
        .once('response', (answer) => {
          resolve((this.#answer = answer));
        })
        .once('upgrade', () => {
          this.#fail(new HttpError('the server changes to another protocol, for which nobody has asked'));
        })
        .once('close', () => {
          this.#broken(ended());
        });
    });
  }

  /**
   * Once the response is complete, the sink may still be busy with it, and what becomes of the connection does not
   * matter any more.
   */
  readonly #broken = (error: Error): void => {
    if (this.#answer?.complete !== true) this.#fail(this.#meaningOf(error));
  };

  async #send(asking: ClientRequest): Promise<void> {
    const { source, length } = this.#order;
    for (;;) {
      const piece = await this.#waitForOwn(() => source.next());
      if (this.#over) return;
      // What is declared must be what is sent: the server would take the rest for another request.
      const sent = this.#sent + (piece?.length ?? 0);
      if (length !== undefined && (piece === undefined ? sent < length : sent > length))
        throw new BodyLengthError(length, sent);
      if (piece === undefined) break;
      await new Promise<void>((resolve) => {
        // That a write fails is told by the connection.
        this.#goOn = resolve;
        asking.write(piece, () => {
          resolve();
        });
      });
      if (this.#over) return;
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
        else await this.#waitForOwn(() => sink(chunk, head));
        this.#progressed();
      }
    } catch (error) {
      throw answer.errored === error ? this.#meaningOf(error as Error) : error;
    }
  }

  async #waitForOwn<T>(task: () => T): Promise<Awaited<T>> {
    this.#own++;
    try {
      return await task();
    } finally {
      this.#own--;
      this.#ownUntil = this.#loop.now();
    }
  }

  #progressed(): void {
    this.#order.onProgress?.({ sent: this.#sent, received: this.#received });
  }

  #body(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#chunks));
  }

  /**
   * When the present wait began. While something is sent, the response is not waited for, so that it is the wait that
   * began last which counts.
   */
  #waitsSince(): number {
    const waits = this.#connection.operations.filter(({ want }) => want !== null).map(({ sinceMs }) => sinceMs);
    return this.#own > 0 || waits.length === 0 ? this.#loop.now() : Math.max(this.#ownUntil, ...waits);
  }

  #timeOut(mode: TimeoutMode, limitMs: number): void {
    const [operation] = this.#connection.operations;
    this.#fail(new OperationTimeoutError(operation?.name ?? 'receive', mode, limitMs, operation?.want ?? null));
  }

  readonly #onAbort = (): void => {
    const [operation] = this.#connection.operations;
    this.#fail(new AbortError(operation?.name ?? 'receive', this.#order.signal?.reason));
  };

  /** What an error of Node's HTTP says in our terms. */
  #meaningOf(error: NodeJS.ErrnoException & { readonly reason?: string }): Error {
    if (error instanceof WantioError) return error;
    if (error.code === 'HPE_HEADER_OVERFLOW')
      return new BoundsError(
        'the header of the response',
        'maxHeaderBytes',
        this.#order.maxHeaderBytes ?? MAX_HEADER_BYTES,
      );
    if (error.code?.startsWith('HPE_') === true)
      return new HttpError(`the response is not HTTP: ${error.reason ?? error.message}`, { cause: error });
    // "socket hang up" or "aborted".
    return error.code === 'ECONNRESET' ? ended(error) : error;
  }
}

function ended(cause?: Error): ClosedError {
  return new ClosedError('receive failed: the connection was closed before the response was complete', { cause });
}

function headOf({
  statusCode: status = 0,
  statusMessage: statusText = '',
  httpVersion,
  headers,
}: IncomingMessage): ResponseHead {
  return {
    status,
    statusText,
    statusLine: `HTTP/${httpVersion} ${String(status)} ${statusText}`.trimEnd(),
    httpVersion,
    headers,
  };
}

function checkedUrl(url: string | URL): URL {
  const parsed = new URL(url);
  if (parsed.protocol !== 'https:')
    throw new TypeError(`https.request is for https: addresses, and this one is ${parsed.protocol}`);
  if (parsed.username + parsed.password !== '')
    throw new TypeError(
      'https.request takes no user and password in the address, which is shown in many places: send an authorization header',
    );
  return parsed;
}

function methodOf({ method, body }: RequestOptions): string {
  const name = method ?? (body === undefined ? 'GET' : 'POST');
  if (!TOKEN.test(name) || name.toUpperCase() === 'CONNECT')
    throw new TypeError(`https.request has no method ${JSON.stringify(name)}`);
  return name;
}

/** The context of a reactor's requests that bring none. Later ones go on with the sessions of earlier ones. */
function contextOf(reactor: Reactor): Promise<TlsContext> {
  const known = contexts.get(reactor);
  if (known !== undefined) return known;
  const context = TlsContext.client({ alpn: ['http/1.1'] });
  contexts.set(reactor, context);
  void Promise.all([context, reactor.ended]).then(
    ([made]) => {
      made.close();
    },
    () => {
      // What could not be made now, for want of memory, may be made for the next request.
      contexts.delete(reactor);
    },
  );
  return context;
}

const contexts = new WeakMap<Reactor, Promise<TlsContext>>();

const BLOCK_MS = 30_000;
const MAX_BYTES = 16 * 1024 * 1024;
// Node's own default, which a command line may have changed.
const MAX_HEADER_BYTES = 16 * 1024;
// RFC 9110, section 5.6.2.
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
