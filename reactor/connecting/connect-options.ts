/** The options of `connect` and `connectSecure`. */

import { OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions } from '../../core/operation.ts';
import { required, text, trust } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { layerRule } from '../../core/transport-layer.ts';
import type { TransportLayer } from '../../core/transport-layer.ts';
import { TARGET_RULES } from '../addresses/address.ts';
import type { Address, Target } from '../addresses/address.ts';
import type { ConnectionBasis } from '../connections/connection-basis.ts';
import { SOCKET_RULES } from '../connections/socket-options.ts';
import type { SocketOptions } from '../connections/socket-options.ts';

/** Where to connect to, and options of the socket and the operation. */
export type ConnectOptions = Target &
  SocketOptions &
  OperationOptions & {
    /** The local IP address to connect from; by default, the system chooses it. */
    readonly localAddress?: string | undefined;
  };

export const CONNECT_RULES = {
  ...TARGET_RULES,
  ...SOCKET_RULES,
  ...OPERATION_RULES,
  localAddress: text,
} satisfies Rules<ConnectOptions | Address>;

/** The options of `connect`, and the layer to lay over the connection. */
export type ConnectSecureOptions<C = unknown> = ConnectOptions & {
  /** The layer, such as a `TlsContext`. */
  readonly secure: TransportLayer<C, ConnectionBasis>;
  /** The name that the certificate of the peer must have; the host by default. */
  readonly serverName?: string;
};

export const CONNECT_SECURE_RULES = {
  ...CONNECT_RULES,
  secure: required(layerRule),
  serverName: trust(text),
} satisfies Rules<ConnectSecureOptions | Address>;
