/**
 * Bulk on wantio, by readiness: a client whose first byte is `d` downloads without end. The bytes of other clients
 * are dropped.
 */
import { END, type Connection } from '../../reactor/index.ts';
import { listen, secured } from './wantio-listen.ts';

const block = new Uint8Array(64 * 1024).fill('x'.charCodeAt(0));
const buffer = new Uint8Array(64 * 1024);
const STEPS_PER_TURN = 16;

const { listener } = await listen();
listener.connections$.subscribe((accepted) => {
  serve(secured(accepted));
});

function serve(connection: Connection): void {
  let begun = false;
  const receive = (): boolean => {
    const count = connection.tryReceiveInto(buffer);
    if (count === END) void connection.close();
    if (count < 0) return false;
    if (!begun && buffer[0] === 'd'.charCodeAt(0))
      connection.writable$.subscribe(() => {
        repeat(connection, send);
      });
    begun = true;
    return true;
  };
  let sent = 0;
  const send = (): boolean => {
    const count = connection.trySend(block.subarray(sent));
    if (count <= 0) return false;
    sent = (sent + count) % block.length;
    return true;
  };
  connection.readable$.subscribe(() => {
    repeat(connection, receive);
  });
}

function repeat(connection: Connection, step: () => boolean): void {
  try {
    for (let steps = 0; steps < STEPS_PER_TURN; steps++) if (!step()) return;
  } catch {
    connection.abort(); // a client has gone
  }
}
