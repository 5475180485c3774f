/** A TLS-terminating proxy on wantio, as a relay. */
import { Relay } from '../../protocols/index.ts';
import { serverOptions } from './server-process.ts';
import { serve } from './wantio-listen.ts';

const { upstream } = serverOptions();

await serve(async (client, reactor) => {
  const server = await reactor.connect(upstream);
  await new Relay(client, server, { idleMs: 30_000 }).done;
});
