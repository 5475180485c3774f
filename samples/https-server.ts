/**
 * Node's own web server over TLS of ours: each secure connection becomes a stream, which node:http takes for a socket.
 *
 *     npm run sample -- https-server --port 7443
 *     curl --insecure https://127.0.0.1:7443/hello https://127.0.0.1:7443/again
 *
 * You will see `listening 127.0.0.1:7443`, and from curl what it asked for and over which TLS, twice over one connection. The certificate
 * is made on the spot. Ctrl-C drains: what was asked is answered, and idle connections end after two seconds.
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, Reactor, toDuplex } from 'wantio';
import type { ConnectionStream } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';
import type { SecureConnection } from 'wantio/tls';

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });
const { certificate, key } = selfSigned();
const context = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key }, alpn: ['http/1.1'] });

const http = createServer({ keepAliveTimeout: 1_000 }, (request, response) => {
  // The socket of the request is our stream, with the connection below it.
  const { connection } = request.socket as unknown as ConnectionStream<SecureConnection>;
  const { protocol, cipher } = connection.info();
  response.end(`${String(request.method)} ${String(request.url)} over ${protocol}, ${cipher}\n`);
});

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: Number(values.port) });
listener.on('clientError', (error) => {
  console.error(error.message);
});
listener.serve({ secure: context, timeouts: { blockMs: 60_000 } }, async (connection) => {
  const stream = toDuplex(connection);
  http.emit('connection', stream);
  await once(stream, 'close');
});
const closed = closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);

await closed;
context.close();
