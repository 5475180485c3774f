/** The basis of every connection, and how a layer such as TLS is laid over it. */

import type { LayerOptions, LayingOptions, TransportLayer } from '../../core/transport-layer.ts';
import type { Transport } from '../../core/transport.ts';
import type { Address } from '../addresses/address.ts';
import type { Loop } from '../loop.ts';
import type { ConnectionSocket } from './connection-socket.ts';

/** What every connection needs from the reactor. Each layer passes it on to the one above. */
export interface ConnectionBasis {
  /** @internal */
  readonly loop: Loop;
  /** @internal */
  readonly socket: ConnectionSocket;
  readonly role: 'client' | 'server';
  /** The host name or address that the client connected to, as `hostName` returns it. */
  readonly host?: string | undefined;
}

/** @returns the connection that `layer` makes over `below`. */
export function layered<C>(
  layer: TransportLayer<C, ConnectionBasis>,
  below: Transport,
  basis: ConnectionBasis,
  options: LayingOptions = {},
): C {
  const layerOptions: LayerOptions = {
    role: options.role ?? basis.role,
    serverName: options.serverName ?? (basis.role === 'client' ? basis.host : undefined),
    peer: peerOf(basis, basis.socket.remoteAddress),
  };
  return layer.connection(layer.transport(below, layerOptions), basis, layerOptions);
}

/** The address that identifies the peer of a client. */
function peerOf({ role, host }: ConnectionBasis, address: Address | undefined): string | undefined {
  if (role === 'server' || address === undefined) return undefined;
  return address.family === 'unix' ? address.path : `${host ?? address.host}:${String(address.port)}`;
}
