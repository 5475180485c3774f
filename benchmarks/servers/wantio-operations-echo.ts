/** Echo on wantio, by operations. */
import { BUFFER_BYTES, serve } from './wantio-listen.ts';

await serve(async (connection) => {
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  for (;;) {
    const count = await connection.receiveInto(buffer);
    if (count === 0) return;
    await connection.send(buffer.subarray(0, count));
  }
});
