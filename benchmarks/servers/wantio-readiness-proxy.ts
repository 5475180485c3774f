/** A TLS-terminating proxy on wantio, by readiness: the relay. */
import { Relay } from '../../protocols/index.ts';
import type { Connection } from '../../reactor/index.ts';
import { serverOptions } from './server-process.ts';
import { listen, secured } from './wantio-listen.ts';

const { upstream } = serverOptions();
const { listener, reactor } = await listen();

listener.connections$.subscribe((accepted) => void relay(secured(accepted)));

async function relay(client: Connection): Promise<void> {
  try {
    await new Relay(client, await reactor.connect(upstream)).done;
  } catch {
    client.abort();
  }
}
