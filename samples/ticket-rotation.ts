/**
 * Ticket keys that rotate by themselves: two servers that share the keys through a store, tickets that are renewed, and
 * one that is too old.
 *
 *     npm run sample -- ticket-rotation
 *
 * You will see what happens to the same ticket, span after span. One server seals it, and the other one opens it. In
 * the next span it still opens, and is replaced. When its key has left the ring, the client makes a full handshake. The
 * sample sets the time instead of waiting.
 */

import { randomBytes } from 'node:crypto';

import { Reactor } from 'wantio';
import { MemorySessionStore, selfSigned, TicketKeys, TlsContext } from 'wantio/tls';
import type { TlsSession } from 'wantio/tls';

const HOUR = 3_600_000;
let now = Date.UTC(2030, 0, 1);
// Servers that share keys have the same store and the same 32 bytes, which encrypt what is stored.
const shared = {
  rotateMs: 12 * HOUR,
  keep: 1,
  store: new MemorySessionStore(),
  storeKey: randomBytes(32),
  now: () => now,
};

const { certificate, key } = selfSigned();
const reactor = new Reactor();
const client = await TlsContext.client({ ca: { pem: certificate }, sessions: 'off' });

async function serve(): Promise<{ port: number; ticketKeys: TicketKeys; context: TlsContext }> {
  const ticketKeys = new TicketKeys(shared);
  await ticketKeys.ready();
  const context = await TlsContext.server({
    certificate: { pem: certificate },
    key: { pem: key },
    resumption: 'stateless',
    ticketKeys,
  });
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  listener.serve({ secure: context }, async (connection) => {
    await connection.send(`${connection.resumption}\n`);
  });
  return { port: (listener.address as { port: number }).port, ticketKeys, context };
}

const [one, other] = [await serve(), await serve()];

/** Offers a session. @returns the server's result, and the newest session of the connection. */
async function visit(port: number, session?: TlsSession): Promise<{ said: string; session: TlsSession | undefined }> {
  const connection = await reactor.connectSecure({ host: 'localhost', port, secure: client.with({ session }) });
  const said = await connection.receive();
  const got = connection.session;
  await connection.close();
  return { said, session: got };
}

async function later(hours: number): Promise<void> {
  now += hours * HOUR;
  // A running server refreshes its keys by itself.
  for (const { ticketKeys } of [one, other]) await ticketKeys.ready();
  console.log(`${String(hours)} hours later`);
}

const first = await visit(one.port);
console.log(`the first visit, at one server: ${first.said}`);
console.log(`its ticket at the other server: ${(await visit(other.port, first.session)).said}`);
await later(12);
const second = await visit(other.port, first.session);
console.log(`the same ticket, of the key before: ${second.said}, and a new one is given`);
await later(12);
console.log(`the same ticket, whose key is gone: ${(await visit(one.port, first.session)).said}`);
console.log(`the ticket that replaced it: ${(await visit(one.port, second.session)).said}`);
const { sealed, renewed, opened, unknown } = other.ticketKeys.statistics;
console.log(
  `the other server: ${String(sealed)} sealed, ${String(renewed)} of them renewed, ${String(opened)} opened, ${String(unknown)} unknown, ${String(other.ticketKeys.size)} keys`,
);

await reactor.close();
for (const { context, ticketKeys } of [one, other]) {
  context.close();
  ticketKeys.close();
}
client.close();
