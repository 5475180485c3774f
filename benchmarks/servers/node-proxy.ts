/** A TLS-terminating proxy on `node:tls`, piped both ways. */
import net from 'node:net';
import { listen } from './node-listen.ts';
import { serverOptions } from './server-process.ts';

const { upstream } = serverOptions();

listen((client) => {
  const server = net.connect({ ...upstream, noDelay: true });
  server.on('error', () => client.destroy());
  client.on('close', () => server.destroy());
  client.pipe(server);
  server.pipe(client);
});
