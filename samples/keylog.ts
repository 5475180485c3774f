/**
 * Writes the secrets of a connection to a file, with which Wireshark decrypts a capture.
 *
 *     npm run sample -- keylog --file keys.txt
 *
 * You will see `listening 127.0.0.1:…`, a line that was sent over TLS, and how to read a capture of it: start `tcpdump
 * -i lo -w capture.pcap` before the sample, and pass the file to `wireshark -o tls.keylog_file:keys.txt capture.pcap`.
 * New lines are appended to the file. Use this to debug with data that is not confidential: **anyone who has the file
 * can read everything**. Therefore nothing is logged by default.
 */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, Reactor } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';

const { values } = parseArgs({
  options: { file: { type: 'string', default: join(tmpdir(), `wantio-keys-${String(process.pid)}.txt`) } },
});

const { certificate, key } = selfSigned();
const server = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
// One side is enough, because both have the same secrets.
const client = await TlsContext.client({ ca: { pem: certificate }, dangerouslyLogKeys: { file: values.file } });

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
listener.serve({ secure: server, timeouts: { totalMs: 5_000 } }, async (connection) => {
  await connection.send(`you said ${await connection.receive()}\n`);
});
void closeOnSignal(reactor);
const { port } = listener.address as { port: number };
console.log(`listening ${formatAddress(listener.address)}`);

const connection = await reactor.connectSecure({
  host: 'localhost',
  port,
  secure: client,
  timeouts: { totalMs: 5_000 },
});
await connection.send('nobody else can read this\n');
console.log(await connection.receive());
await connection.close();

await reactor.close();
client.close();
server.close();
console.log(`the secrets are in ${values.file}: wireshark -o tls.keylog_file:${values.file} capture.pcap`);
