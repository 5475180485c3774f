/** What every connection stands on, and how a layer such as TLS is laid over it. */

import type { LayerOptions, LayingOptions, TransportLayer } from '../../core/transport-layer.ts';
import type { Transport } from '../../core/transport.ts';
import type { Address } from '../addresses/address.ts';
import type { Loop } from '../loop.ts';
import type { ConnectionSocket } from './connection-socket.ts';

/** What every connection stands on, handed from layer to layer. */
export interface ConnectionBasis {
  /** @internal */
  readonly loop: Loop;
  /** @internal */
  readonly socket: ConnectionSocket;
  readonly role: 'client' | 'server';
  /** The name or number that was connected to, in the form of `hostName`. */
  readonly host?: string | undefined;
}

/** @returns the connection that `layer` makes over `below`. */
export function layered<C>(
  layer: TransportLayer<C, ConnectionBasis>,
  below: Transport,
  basis: ConnectionBasis,
  options: LayingOptions = {},
): C {
  const told: LayerOptions = {
    role: options.role ?? basis.role,
    serverName: options.serverName ?? (basis.role === 'client' ? basis.host : undefined),
    peer: peerOf(basis, basis.socket.remoteAddress),
  };
  return layer.connection(layer.transport(below, told), basis, told);
}

/** What a client knows its peer by. */
function peerOf({ role, host }: ConnectionBasis, address: Address | undefined): string | undefined {
  if (role === 'server' || address === undefined) return undefined;
  return address.family === 'unix' ? address.path : `${host ?? address.host}:${String(address.port)}`;
}
