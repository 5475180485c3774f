/**
 * One certificate and no other: a client that knows the digest of the server's certificate, or of its key.
 *
 *     npm run sample -- pinned
 *
 * You will see `listening 127.0.0.1:…` and both digests. A client with either of them connects. Then the server
 * presents another certificate, as after a renewal with a new key. These clients reject it, whichever authority signed
 * it. A client that also knows the digest of the next certificate connects.
 */

import { closeOnSignal, formatAddress, Reactor } from 'wantio';
import { Certificate, selfSigned, TlsContext } from 'wantio/tls';
import type { PeerExpectation } from 'wantio/tls';

// Give each certificate another first name: two authorities with the same name are hard to tell apart.
const [first, next] = [
  selfSigned({ names: ['first.test', 'localhost'] }),
  selfSigned({ names: ['next.test', 'localhost'] }),
];
const server = await TlsContext.server({ certificate: { pem: first.certificate }, key: { pem: first.key } });
// The pin is checked in addition to the usual verification, not instead of it.
const client = await TlsContext.client({ ca: { pem: `${first.certificate}${next.certificate}` } });

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
listener.serve({ secure: server, timeouts: { totalMs: 5_000 } }, async (connection) => {
  await connection.send('hello\n');
});
void closeOnSignal(reactor);
const { port } = listener.address as { port: number };
console.log(`listening ${formatAddress(listener.address)}`);

const digest = Certificate.load(first.certificate).digest('sha256');
const publicKeyDigest = Certificate.load(first.certificate).publicKeyDigest();
console.log(`the certificate has the digest ${digest}`);
console.log(`its key has the digest ${publicKeyDigest}`);

await visit('with the digest of the certificate', { digest });
await visit('with the digest of the key', { publicKeyDigest });

await server.replaceCertificate({ certificate: { pem: next.certificate }, key: { pem: next.key } });
console.log('the server shows another certificate now');
await visit('with the digest of the certificate', { digest });
await visit('with the digest of the key', { publicKeyDigest });
await visit('with the digest of the next one as well', {
  digest: [digest, Certificate.load(next.certificate).digest()],
});

await reactor.close();
client.close();
server.close();

async function visit(how: string, expect: PeerExpectation): Promise<void> {
  try {
    const connection = await reactor.connectSecure({
      host: 'localhost',
      port,
      secure: client.with({ expect }),
      timeouts: { totalMs: 5_000 },
    });
    console.log(`${how}: the server says "${await connection.receive()}"`);
    await connection.close();
  } catch (error) {
    console.log(`${how}: ${(error as Error).message}`);
  }
}
