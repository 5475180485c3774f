/** A server on Node's own modules, plain or with TLS. */
import net from 'node:net';
import tls from 'node:tls';
import { announce, nodeTlsOptions, serverOptions } from './server-process.ts';

export function listen(handle: (socket: net.Socket) => void): void {
  const { tls: files } = serverOptions();
  const accept = (socket: net.Socket): void => {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy()); // clients come and go
    handle(socket);
  };
  const server = files ? tls.createServer(nodeTlsOptions(files), accept) : net.createServer(accept);
  server.on('tlsClientError', () => {});
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
    const { address, port } = server.address() as net.AddressInfo;
    announce({ host: address, port });
  });
}
