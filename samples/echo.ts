/**
 * Readiness style: the reactor reports when a connection is readable or writable, and calls that never wait do the
 * rest.
 *
 *     npm run sample -- echo --port 7000
 *     nc 127.0.0.1 7000
 *
 * You will see `listening 127.0.0.1:7000`, and in nc each line comes back. Without --port the system chooses one.
 */

import { parseArgs } from 'node:util';

import { closeOnSignal, END, formatAddress, parseTarget, Reactor } from 'wantio';
import type { Connection } from 'wantio';

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });
const reactor = new Reactor();
const listener = await reactor.listen(parseTarget(`127.0.0.1:${values.port}`));
const closed = closeOnSignal(reactor, {
  onDrain: () => {
    for (const connection of reactor.connections) void connection.close();
  },
});
console.log(`listening ${formatAddress(listener.address)}`);

const buffer = new Uint8Array(64 * 1024);
listener.connections$.subscribe(read);

/** Echoes what it reads, as long as the connection takes all of it. */
function read(connection: Connection): void {
  const subscription = connection.readable$.subscribe(() => {
    try {
      const count = connection.tryReceiveInto(buffer);
      if (count === END) void connection.close();
      if (count < 0) return; // A want: the next emission comes when there is more.
      const sent = Math.max(0, connection.trySend(buffer.subarray(0, count)));
      if (sent === count) return;
      subscription.unsubscribe();
      write(connection, buffer.slice(sent, count));
    } catch (error) {
      abort(connection, error);
    }
  });
}

/** Sends the rest as the connection takes it. It does not read until then, so a slow reader delays only itself. */
function write(connection: Connection, rest: Uint8Array): void {
  const subscription = connection.writable$.subscribe(() => {
    try {
      rest = rest.subarray(Math.max(0, connection.trySend(rest)));
      if (rest.length > 0) return;
      subscription.unsubscribe();
      read(connection);
    } catch (error) {
      abort(connection, error);
    }
  });
}

function abort(connection: Connection, error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  connection.abort();
}

await closed;
