/**
 * Many clients in a separate process. It connects them all, plain and over TLS, from several addresses, and prints how
 * many are connected. When its standard input ends, each client sends a line, checks the answer, and closes.
 *
 *     node many-clients.ts PLAIN_PORT COUNT TLS_PORT COUNT CA_FILE
 */

import { once } from 'node:events';

import PQueue from 'p-queue';

import type { Connection } from '../../reactor/connections/connection.ts';
import { Reactor } from '../../reactor/reactor.ts';
import { TlsContext } from '../tls/context/context.ts';

const [plainPort, plainCount, tlsPort, tlsCount] = process.argv.slice(2, 6).map(Number);
const secure = await TlsContext.client({ ca: { file: process.argv[6] } });
const reactor = new Reactor();
const queue = new PQueue({ concurrency: 200 });
const clients: Connection[] = [];
const target = (port: number, index: number) => ({
  host: '127.0.0.1',
  port,
  localAddress: `127.0.0.${String(2 + (index % 5))}`,
});

for (let i = 0; i < plainCount; i++)
  void queue.add(async () => clients.push(await reactor.connect(target(plainPort, i))));
for (let i = 0; i < tlsCount; i++)
  void queue.add(async () =>
    clients.push(await reactor.connectSecure({ ...target(tlsPort, i), secure, serverName: 'localhost' })),
  );
await queue.onIdle();
console.log(`connected ${String(clients.length)}`);

process.stdin.resume();
await once(process.stdin, 'end');
let right = 0;
await Promise.all(
  clients.map(async (client, index) => {
    await client.send(`line ${String(index)}\n`);
    if ((await client.receive()) === `line ${String(index)}`) right++;
  }),
);
console.log(`right ${String(right)}`);
for (const client of clients) void client.close();
await reactor.close();
