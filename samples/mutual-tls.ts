/**
 * Both sides present a certificate. The server admits the clients that it knows, and reports why it refuses the others.
 *
 *     npm run sample -- mutual-tls
 *
 * You will see `listening 127.0.0.1:…`, then three clients. The server greets the one whose certificate it trusts by
 * name. It refuses a client with an unknown certificate and a client without a certificate; each refusal shows the
 * reason as the server and as the client see it.
 */

import { closeOnSignal, formatAddress, Reactor } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';
import type { TlsClientOptions } from 'wantio/tls';

const [host, alice, mallory] = ['localhost', 'alice.test', 'mallory.test'].map((name) => selfSigned({ names: [name] }));
const server = await TlsContext.server({
  certificate: { pem: host.certificate },
  key: { pem: host.key },
  verify: 'fail_if_no_peer_cert',
  ca: { pem: alice.certificate }, // Usually the certificate of an authority that signs the certificates of all clients.
});

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
listener.on('clientError', (error) => {
  console.log(`  the server: ${error.message}`);
});
listener.serve({ secure: server, timeouts: { totalMs: 5_000 } }, async (connection) => {
  const [name] = connection.peerCertificate()?.subject() ?? [];
  await connection.send(`hello ${name.value}\n`);
});
void closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);

await visit('alice', { certificate: { pem: alice.certificate }, key: { pem: alice.key } });
await visit('a stranger', { certificate: { pem: mallory.certificate }, key: { pem: mallory.key } });
await visit('a client without a certificate', {});
await reactor.close();
server.close();

async function visit(who: string, identity: TlsClientOptions): Promise<void> {
  const client = await TlsContext.client({ ca: { pem: host.certificate }, ...identity });
  const { port } = listener.address as { port: number };
  console.log(`${who}:`);
  try {
    const connection = await reactor.connectSecure({
      host: 'localhost',
      port,
      secure: client,
      timeouts: { totalMs: 5_000 },
    });
    // Under TLS 1.3 the client's handshake is complete before the server checks the client's certificate. A refusal
    // arrives with the first receive.
    console.log(`  the server says "${await connection.receive()}"`);
    await connection.close();
  } catch (error) {
    console.log(`  refused: ${(error as Error).message}`);
  }
  client.close();
}
