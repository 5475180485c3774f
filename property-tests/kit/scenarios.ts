/** Parts of scenarios that several laws share. */

import type { Timeouts } from '../../core/timeouts.ts';
import type { TlsContext } from '../../protocols/tls/context/context.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { HostOptions } from '../../reactor/simulated/simulated-host.ts';
import type { SimulatedMachine, World } from '../../reactor/simulated/world.ts';

/** Two machines and one connection between them. */
export interface Pair {
  readonly here: SimulatedMachine;
  readonly there: SimulatedMachine;
  readonly client: Connection;
  readonly server: Connection;
}

/** The contexts of both sides, for a pair over TLS. */
export interface Contexts {
  readonly client: TlsContext;
  readonly server: TlsContext;
}

/**
 * Connects a machine named `here` to one named `there`. With `contexts` both ends are secured with TLS, but
 * this function does not run the handshake.
 */
export async function pairIn(
  world: World,
  hosts: HostOptions = {},
  contexts?: Contexts,
  timeouts: Timeouts = {},
): Promise<Pair> {
  const here = world.machine('here', hosts);
  const there = world.machine('there', hosts);
  const listener = await there.reactor.listen({ host: '0.0.0.0', port: PORT });
  const [client, server] = await Promise.all([
    here.reactor.connect({ host: 'there', port: PORT, timeouts }),
    listener.accept({ timeouts }),
  ]);
  if (contexts === undefined) return { here, there, client, server };
  return {
    here,
    there,
    client: client.secure(contexts.client, { serverName: 'there' }),
    server: server.secure(contexts.server),
  };
}

/** Sends `data` in pieces whose sizes repeat, and then half-closes. */
export async function sendInPieces(connection: Connection, data: Uint8Array, sizes: readonly number[]): Promise<void> {
  for (let at = 0, index = 0; at < data.length; index++) {
    const end = Math.min(data.length, at + (sizes[index % sizes.length] ?? data.length));
    await connection.send(data.subarray(at, end));
    at = end;
  }
  await connection.shutdown('send');
}

const PORT = 7;
