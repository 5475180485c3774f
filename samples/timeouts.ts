/**
 * Block against total: the longest single wait, and the longest whole call.
 *
 *     npm run sample -- timeouts
 *
 * A peer sends one byte every 50 ms. You will see that a block timeout of 200 ms never expires, because each wait is
 * short, and that a total timeout of 500 ms does. The error contains the bytes received so far, and the connection
 * remains usable.
 */

import { formatAddress, OperationTimeoutError, Reactor } from 'wantio';

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
console.log(`listening ${formatAddress(listener.address)}`);
listener.serve({}, async (connection) => {
  for (const letter of 'a peer that types slowly, letter by letter\n') {
    await connection.send(letter);
    await reactor.select({}, 50);
  }
});

const { port } = listener.address as { port: number };
const connection = await reactor.connect({ host: '127.0.0.1', port });
connection.setTimeout(200, 'block');
connection.setTimeout(500, 'total');

for (let prefix: Uint8Array | undefined; ;) {
  try {
    console.log(`the whole line: ${await connection.receive('*l', { prefix })}`);
    break;
  } catch (error) {
    if (!(error instanceof OperationTimeoutError)) throw error;
    prefix = error.partial;
    console.log(`${error.message}; so far: "${Buffer.from(prefix ?? []).toString()}"`);
  }
}

await connection.close();
await reactor.close();
