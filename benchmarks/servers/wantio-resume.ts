/** Echo on wantio, by operations, for clients that resume their sessions. */
import { TlsContext, type TlsServerOptions } from '../../protocols/tls/index.ts';
import { announce, CIPHER, GROUP, serverOptions } from './server-process.ts';
import { Reactor } from '../../reactor/index.ts';

/** Serves with the given options of resumption. */
export async function serveResuming(options: Partial<TlsServerOptions>, reactor = new Reactor()): Promise<void> {
  const { tls } = serverOptions();
  if (tls === undefined) throw new Error('sessions need TLS');
  const secure = await TlsContext.server({
    certificate: { file: tls.certificate },
    key: { file: tls.key },
    ciphersuites: CIPHER,
    groups: GROUP,
    tickets: 1,
    ...options,
  });
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  const { address } = listener;
  if (address.family === 'unix') throw new Error('listens on a path, not on a port');
  announce(address);
  listener.serve({ secure, timeouts: { blockMs: 30_000 } }, async (connection) => {
    const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    try {
      for (;;) {
        const count = await connection.receiveInto(buffer);
        if (count === 0) return;
        await connection.send(buffer.subarray(0, count));
      }
    } finally {
      spare.push(buffer);
    }
  });
  listener.on('clientError', () => {}); // clients come and go
}

/**
 * Buffers that no connection uses now. To allocate one for each connection would cost more than the rest of its work.
 */
const spare: Buffer[] = [];
const BUFFER_BYTES = 16 * 1024;
