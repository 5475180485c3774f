/**
 * Bulk on wantio, by operations: a client whose first byte is `d` downloads without end. The bytes of other clients
 * are dropped.
 */
import { serve } from './wantio-listen.ts';

const block = new Uint8Array(64 * 1024).fill('x'.charCodeAt(0));

await serve(async (connection) => {
  const buffer = new Uint8Array(64 * 1024);
  if ((await connection.receiveInto(buffer)) > 0 && buffer[0] === 'd'.charCodeAt(0))
    for (;;) await connection.send(block);
  while ((await connection.receiveInto(buffer)) > 0);
});
