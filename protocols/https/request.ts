/** HTTPS requests: Node's own HTTP over connections of ours, one request a connection. */

import { checkArgument, checkOptions } from '../../core/options.ts';
import { limit } from '../../core/timeouts.ts';
import { reactorRule } from '../../reactor/reactor-rule.ts';
import type { Reactor } from '../../reactor/reactor.ts';
import { TlsContext } from '../tls/context/context.ts';
import { Source } from './body.ts';
import type { Body } from './body.ts';
import { Exchange } from './exchange.ts';
import { declaredLength, headersOf } from './headers.ts';
import { REQUEST_RULES } from './options.ts';
import type { RequestOptions, Response } from './options.ts';

/**
 * Sends a request and receives the response, over a connection of its own. It resolves when the response is complete,
 * whatever its status, even if the server did not read the whole body of the request. It does not follow redirections.
 *
 * A failure, an abort and a timeout break the connection. The error's `partial` has the bytes of the body that arrived,
 * unless a sink got them. Errors of a source or a sink are thrown as they are.
 * @param body what to post; with options, give it in the options.
 * @throws {TypeError} before anything is sent, for an invalid URL, method or header.
 * @throws {SystemError | TlsError | CertificateError} when the connection fails or breaks.
 * @throws {OperationTimeoutError | AbortError} when a limit passes, or `signal` is aborted.
 * @throws {ClosedError | TruncatedError} when the response ends too early, with or without close_notify.
 * @throws {HttpError} when the response is not HTTP. @throws {BoundsError} when it is larger than a bound allows.
 * @throws {BodyLengthError} when a body in pieces is shorter or longer than its `content-length`.
 * @example
 * import { createServer } from 'node:http';
 * import { Reactor, toDuplex } from 'wantio';
 * import { https } from 'wantio/protocols';
 * import { selfSigned, TlsContext } from 'wantio/tls';
 *
 * // A server to ask. For one on the web, https.request(reactor, 'https://example.org/') is all.
 * const { certificate, key } = selfSigned();
 * const secure = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
 * const web = createServer((_, response) => response.end('a page\n'));
 * const reactor = new Reactor();
 * const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * listener.connections$.subscribe((connection) => web.emit('connection', toDuplex(connection.secure(secure))));
 *
 * const { status, body } = await https.request(reactor, {
 *   url: `https://localhost:${String(listener.port)}/`,
 *   secure: await TlsContext.client({ ca: { pem: certificate } }),
 *   timeouts: { blockMs: 5_000, totalMs: 20_000 },
 * });
 * if (status !== 200 || Buffer.from(body).toString() !== 'a page\n') throw new Error(`status ${String(status)}`);
 * await reactor.close();
 */
export function request(reactor: Reactor, url: string | URL, body?: Body): Promise<Response>;
export function request(reactor: Reactor, options: RequestOptions): Promise<Response>;
export async function request(reactor: Reactor, target: string | URL | RequestOptions, body?: Body): Promise<Response> {
  const options = typeof target === 'string' || target instanceof URL ? { url: target, body } : target;
  const source = new Source((options as RequestOptions | null | undefined)?.body);
  try {
    if (options === target && body !== undefined) {
      new Source(body).close();
      throw new TypeError(
        'https.request takes the body in its options when there are options, not as a separate argument',
      );
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

function checkedUrl(url: string | URL): URL {
  const parsed = new URL(url);
  if (parsed.protocol !== 'https:') throw new TypeError(`https.request needs an https: URL, not ${parsed.protocol}`);
  if (parsed.username + parsed.password !== '')
    throw new TypeError(
      'https.request takes no user and password in the URL, which logs and errors show: send an authorization header',
    );
  return parsed;
}

function methodOf({ method, body }: RequestOptions): string {
  const name = method ?? (body === undefined ? 'GET' : 'POST');
  if (!TOKEN.test(name) || name.toUpperCase() === 'CONNECT')
    throw new TypeError(`https.request has no method ${JSON.stringify(name)}`);
  return name;
}

/** The context for requests without one; later requests of the reactor resume the sessions of earlier ones. */
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
      // The next request tries again.
      contexts.delete(reactor);
    },
  );
  return context;
}

const contexts = new WeakMap<Reactor, Promise<TlsContext>>();

const BLOCK_MS = 30_000;
// RFC 9110, section 5.6.2.
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
