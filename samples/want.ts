/**
 * What Node hides: each time an operation has to wait, and for what.
 *
 *     npm run sample -- want
 *
 * You will see each wait of a client's TLS handshake (`wants to read`, `wants to write`). Then you will see the waits
 * of a send of 1 MiB to a slow reader: `wants to write`, with the index of the last byte sent so far.
 */

import { formatAddress, Reactor } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';

const { certificate, key } = selfSigned();
const server = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
const client = await TlsContext.client({ ca: { pem: certificate } });

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0, receiveBuffer: 64 * 1024 });
console.log(`listening ${formatAddress(listener.address)}`);
listener.serve({ secure: server }, async (connection) => {
  // The slow reader pauses for 10 ms between small pieces.
  for (let left = SIZE; left > 0;) {
    const bytes = await connection.receive('*s');
    left -= bytes.length;
    if (left % 16 === 0) await reactor.select({}, 10);
  }
});

const SIZE = 1024 * 1024;
const { port } = listener.address as { port: number };
const plain = await reactor.connect({ host: '127.0.0.1', port, sendBuffer: 64 * 1024 });
const connection = plain.secure(client, { serverName: 'localhost' });
connection.wants$.subscribe(({ operation, want }) => {
  console.log(`${operation} wants to ${want}`);
});

await connection.handshake();
const { protocol, cipher } = connection.info();
console.log(`the handshake is done: ${protocol}, ${cipher}`);

const sending = connection.send(new Uint8Array(SIZE));
sending.progress$.subscribe((last) => {
  console.log(`sent up to byte ${String(last)}`);
});
console.log(`all is sent; the last byte is ${String(await sending)}`);

await connection.close();
await reactor.close();
server.close();
client.close();
