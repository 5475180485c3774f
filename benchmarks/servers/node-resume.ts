/** Echo on `node:tls` with its default tickets. */
import tls from 'node:tls';
import type { AddressInfo } from 'node:net';
import { announce, nodeTlsOptions, serverOptions } from './server-process.ts';

const { tls: files } = serverOptions();
if (files === undefined) throw new Error('sessions need TLS');
const server = tls.createServer({ ...nodeTlsOptions(files), minVersion: 'TLSv1.2', ciphers: undefined }, (socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy()); // clients come and go
  socket.on('data', (data: Buffer) => socket.write(data));
});
server.on('tlsClientError', () => {});
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
  const { address, port } = server.address() as AddressInfo;
  announce({ host: address, port });
});
