/**
 * The secrets of a connection, written to a file: with them Wireshark shows what a capture holds in clear.
 *
 *     npm run sample -- keylog --file keys.txt
 *
 * You will see `listening 127.0.0.1:…`, what was said over TLS, and how to read a capture of it: start `tcpdump -i lo
 * -w capture.pcap` before, and give the file to `wireshark -o tls.keylog_file:keys.txt capture.pcap`. Lines are added
 * to what the file holds. It is for finding faults with data that may be seen: **whoever has the file reads
 * everything**, so nothing of this happens unless it is asked for.
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
// One side is enough: both have the same secrets.
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
