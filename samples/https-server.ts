/**
 * Node's own web server over wantio's TLS: each secure connection becomes a stream, which node:http uses like a socket.
 *
 *     npm run sample -- https-server --port 7443
 *     curl --insecure https://127.0.0.1:7443/hello https://127.0.0.1:7443/again
 *
 * You will see `listening 127.0.0.1:7443`. curl prints its request and the TLS parameters, twice over one connection.
 * The server creates its certificate when it starts. A client has 20 seconds (--request-ms) for each request, from the
 * start of the connection or the previous answer until the last byte of the request. An idle connection ends after
 * about a second. Ctrl-C drains: the server answers complete requests, and ends connections without a complete request
 * after one second.
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, parseTarget, Reactor, toDuplex } from 'wantio';
import type { ConnectionStream } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';
import type { SecureConnection } from 'wantio/tls';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' }, 'request-ms': { type: 'string', default: '20000' } },
});
const requestMs = Number(values['request-ms']);
if (!(requestMs > 0))
  throw new RangeError(`--request-ms must be a number of milliseconds, not ${values['request-ms']}`);
const { certificate, key } = selfSigned();
const context = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key }, alpn: ['http/1.1'] });

const http = createServer({ keepAliveTimeout: 1_000 }, (request, response) => {
  // The socket of the request is our stream, and the stream has the connection.
  const { connection } = request.socket as unknown as ConnectionStream<SecureConnection>;
  const { protocol, cipher } = connection.info();
  request.resume().once('end', () => {
    endWait(request.socket);
    if (reactor.draining.aborted) response.shouldKeepAlive = false;
    response.end(`${String(request.method)} ${String(request.url)} over ${protocol}, ${cipher}\n`);
  });
  response.once('finish', () => {
    beginWait(request.socket);
  });
});

// Node applies its own request timeouts only to connections that it has accepted itself.
const waits = new Map<object, NodeJS.Timeout>();

/** What a `ConnectionStream` and a Node socket have in common. */
interface Waiting {
  readonly destroyed: boolean;
  destroy(): unknown;
}

/** Starts the time limit for the client's next request. */
function beginWait(stream: Waiting): void {
  endWait(stream);
  if (!stream.destroyed)
    waits.set(
      stream,
      setTimeout(() => stream.destroy(), reactor.draining.aborted ? DRAIN_MS : requestMs),
    );
}

function endWait(stream: object): void {
  clearTimeout(waits.get(stream));
  waits.delete(stream);
}

const DRAIN_MS = 1_000;
const reactor = new Reactor();
const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port}`));
listener.on('clientError', (error) => {
  console.error(error.message);
});
listener.serve({ secure: context, timeouts: { blockMs: 60_000 } }, async (connection, { signal }) => {
  const stream = toDuplex(connection);
  const hurry = (): void => {
    if (waits.has(stream)) beginWait(stream);
  };
  signal.addEventListener('abort', hurry);
  beginWait(stream);
  http.emit('connection', stream);
  try {
    await once(stream, 'close');
  } finally {
    signal.removeEventListener('abort', hurry);
    endWait(stream);
  }
});
const closed = closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);

await closed;
context.close();
