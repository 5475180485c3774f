/**
 * Bulk on `node:tls`: a client whose first byte is `d` downloads without end. The bytes of other clients are dropped.
 */
import { listen } from './node-listen.ts';

const block = Buffer.alloc(64 * 1024, 'x');

listen((socket) => {
  socket.once('data', (first) => {
    socket.on('data', () => {});
    if (first[0] !== 'd'.charCodeAt(0)) return;
    const pump = (): void => {
      while (socket.writable && socket.write(block));
    };
    socket.on('drain', pump);
    pump();
  });
});
