/**
 * A client certificate for one path only: the server requests it in the middle of the connection, when the client asks
 * for that path.
 *
 *     npm run sample -- client-auth-one-url
 *     npm run sample -- client-auth-one-url --tls12
 *
 * You will see `listening 127.0.0.1:…`, and a client that gets `/`, `/secret` and `/secret` again over one connection.
 * The server requests its certificate once: with post-handshake authentication under TLS 1.3, and with a renegotiation
 * under TLS 1.2 (--tls12). A second client has no certificate and does not get `/secret`.
 *
 * With --ca FILE (PEM) it serves, until Ctrl-C, the clients whose certificates FILE has signed. --port selects the
 * port:
 *
 *     npm run sample -- client-auth-one-url --port 7443 --ca authority.pem
 *     openssl s_client -connect 127.0.0.1:7443 -enable_pha -cert me.pem -key me.key -quiet
 */

import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, parseTarget, Reactor } from 'wantio';
import { selfSigned, TlsContext, TlsError } from 'wantio/tls';
import type { SecureConnection, TlsClientOptions } from 'wantio/tls';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    ca: { type: 'string' },
    tls12: { type: 'boolean', default: false },
  },
});
const [host, alice] = ['localhost', 'alice.test'].map((name) => selfSigned({ names: [name] }));
const protocols = { max: values.tls12 ? 'TLSv1.2' : 'TLSv1.3' } as const;
const server = await TlsContext.server({
  certificate: { pem: host.certificate },
  key: { pem: host.key },
  ca: values.ca === undefined ? { pem: alice.certificate } : { file: values.ca },
  protocols,
});

const reactor = new Reactor();
const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port}`));
listener.on('clientError', (error) => {
  console.log(`  the server: ${error.message}`);
});
listener.serve({ secure: server, timeouts: { totalMs: 60_000 } }, async (connection, { signal }) => {
  for await (const line of connection.lines({ maxBytes: 4096, signal }))
    await connection.send(`${await answer(connection, line)}\n`);
});
const closed = closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);

async function answer(connection: SecureConnection, line: string): Promise<string> {
  const path = /^GET (\/\S*)/.exec(line)?.[1];
  if (path === undefined) return '400 try GET /secret';
  if (path !== '/secret') return `200 everybody may see ${path}`;
  try {
    // Resolves when the client has answered. An untrusted certificate ends the connection.
    if (connection.peerCertificate() === undefined) await connection.requestClientCertificate({ optional: true });
  } catch (error) {
    // A TLS 1.3 client offers post-handshake authentication in its client hello. A client that did not offer it keeps
    // its connection.
    if (!(error instanceof TlsError) || connection.closed) throw error;
    return `403 ${error.reason}`;
  }
  const certificate = connection.peerCertificate();
  return certificate === undefined
    ? '403 a certificate is required'
    : `200 the secret is for ${certificate.subject()[0].value}`;
}

if (values.ca === undefined) {
  await visit('alice', { certificate: { pem: alice.certificate }, key: { pem: alice.key } });
  await visit('a client without a certificate', {});
  await reactor.close();
}
await closed;
server.close();

async function visit(who: string, identity: TlsClientOptions): Promise<void> {
  // Under TLS 1.2 the server starts a new handshake, and the client must allow that many of them.
  const client = await TlsContext.client({
    ca: { pem: host.certificate },
    protocols,
    allowPeerRenegotiations: 2,
    ...identity,
  });
  const { port } = listener.address as { port: number };
  const connection = await reactor.connectSecure({
    host: 'localhost',
    port,
    secure: client,
    timeouts: { totalMs: 5_000 },
  });
  console.log(`${who}, over ${connection.info().protocol}:`);
  for (const path of ['/', '/secret', '/secret']) {
    await connection.send(`GET ${path}\n`);
    console.log(`  GET ${path}: ${await connection.receive()}`);
  }
  await connection.close();
  client.close();
}
