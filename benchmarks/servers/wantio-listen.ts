/** The common part of the wantio servers. */
import { TlsContext } from '../../protocols/tls/index.ts';
import { Reactor, type Connection, type Listener } from '../../reactor/index.ts';
import { announce, CIPHER, GROUP, serverOptions } from './server-process.ts';

const { tls } = serverOptions();
const context =
  tls &&
  (await TlsContext.server({
    certificate: { file: tls.certificate },
    key: { file: tls.key },
    protocols: { min: 'TLSv1.3' },
    ciphersuites: CIPHER,
    groups: GROUP,
  }));

export async function listen(): Promise<{ reactor: Reactor; listener: Listener }> {
  const reactor = new Reactor();
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  const { address } = listener;
  if (address.family === 'unix') throw new Error('listens on a path, not on a port');
  announce(address);
  return { reactor, listener };
}

/** Puts TLS over `connection` if the server has a certificate. */
export function secured(connection: Connection): Connection {
  return context ? connection.secure(context) : connection;
}

/** Serves by operations. Every wait has a limit, as in a real server. */
export async function serve(handler: (connection: Connection, reactor: Reactor) => Promise<void>): Promise<void> {
  const { reactor, listener } = await listen();
  listener.serve({ ...(context && { secure: context }), timeouts: { blockMs: 30_000 } }, async (connection) =>
    handler(connection, reactor),
  );
  listener.on('clientError', () => {}); // clients come and go
}

/** The size of the receive buffer of a connection. */
export const BUFFER_BYTES = 16 * 1024;
