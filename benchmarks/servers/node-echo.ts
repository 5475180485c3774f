/** Echo on `node:net` and `node:tls`. */
import { listen } from './node-listen.ts';

listen((socket) => {
  socket.on('data', (data) => socket.write(data));
});
