/**
 * The classic structure: one select loop over the listener and all of its clients.
 *
 *     npm run sample -- select-echo --port 7001
 *     nc 127.0.0.1 7001
 *
 * You will see `listening 127.0.0.1:7001` and the number of clients after each change. In nc each line comes back.
 */

import { parseArgs } from 'node:util';

import { ClosedError, closeOnSignal, END, formatAddress, Listener, parseTarget, Reactor } from 'wantio';
import type { Connection } from 'wantio';

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });
const reactor = new Reactor();
const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port}`));
void closeOnSignal(reactor, { timeoutMs: 1_000 });
console.log(`listening ${formatAddress(listener.address)}`);

/** Every client, with the bytes that it has not taken yet. */
const clients = new Map<Connection, Uint8Array>();

while (!listener.closed) {
  const clogged = [...clients.keys()].filter((client) => clients.get(client)?.length !== 0);
  const flowing = [...clients.keys()].filter((client) => !clogged.includes(client));
  const { readable, writable } = await reactor.select({ read: [listener, ...flowing], write: clogged });
  for (const source of readable) {
    if (source instanceof Listener) accept();
    else use(source, receive);
  }
  for (const client of writable) use(client, send);
}
for (const client of clients.keys()) void client.close();

function accept(): void {
  if (listener.closed) return;
  for (let client = listener.tryAccept(); client !== undefined; client = listener.tryAccept())
    clients.set(client, new Uint8Array());
  console.log(`${String(clients.size)} clients`);
}

function receive(client: Connection): void {
  const bytes = client.tryReceive();
  if (bytes === END) throw new ClosedError('the client has gone');
  if (typeof bytes === 'number') return; // A want: select again.
  clients.set(client, bytes);
  send(client);
}

function send(client: Connection): void {
  const bytes = clients.get(client) ?? new Uint8Array();
  clients.set(client, bytes.subarray(Math.max(0, client.trySend(bytes))));
}

/** Runs a step for a client. A client that ends or fails is removed, and the loop continues with the others. */
function use(client: Connection, step: (client: Connection) => void): void {
  try {
    step(client);
  } catch {
    clients.delete(client);
    void client.close();
    console.log(`${String(clients.size)} clients`);
  }
}
