/** A TLS-terminating proxy on wantio, by readiness. */
import type { Connection } from '../../reactor/index.ts';
import { serverOptions } from './server-process.ts';
import { listen, secured } from './wantio-listen.ts';
import { pump } from './wantio-pump.ts';

const { upstream } = serverOptions();
const { listener, reactor } = await listen();

listener.connections$.subscribe((accepted) => void relay(secured(accepted)));

async function relay(client: Connection): Promise<void> {
  try {
    const server = await reactor.connect(upstream);
    const end = (): void => {
      void client.close();
      void server.close();
    };
    pump(client, server, end);
    pump(server, client, end);
  } catch {
    client.abort();
  }
}
