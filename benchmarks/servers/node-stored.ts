/**
 * Echo on `node:tls` with sessions in a map. The events of Node exist only for TLS 1.2 sessions, so TLS 1.3 clients get
 * tickets.
 */
import tls from 'node:tls';
import type { AddressInfo } from 'node:net';
import { announce, nodeTlsOptions, serverOptions } from './server-process.ts';

const { tls: files } = serverOptions();
if (files === undefined) throw new Error('sessions need TLS');
const sessions = new Map<string, Buffer>();
const server = tls.createServer({ ...nodeTlsOptions(files), minVersion: 'TLSv1.2', ciphers: undefined }, (socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy()); // clients come and go
  socket.on('data', (data: Buffer) => socket.write(data));
});
server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
  sessions.set(id.toString('hex'), data);
  done();
});
server.on('resumeSession', (id: Buffer, done: (error: Error | null, data: Buffer | null) => void) => {
  done(null, sessions.get(id.toString('hex')) ?? null);
});
server.on('tlsClientError', () => {});
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
  const { address, port } = server.address() as AddressInfo;
  announce({ host: address, port });
});
