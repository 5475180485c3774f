/** What a connection stands on at the bottom: a transport whose readiness is told, with addresses and options. */

import type { Transport } from '../core/transport.ts';
import type { Address } from './address.ts';
import type { Handle } from './handle.ts';
import type { SocketOptionName } from './socket-options.ts';
import type { PeerCredentials } from './system-calls.ts';

/** The lowest transport of a connection: a socket of the system's, or one of Node's own streams. */
export interface ConnectionSocket extends Transport {
  /** Its readiness. Whoever sets a bit gives the handle a place in the reactor's ready queue. */
  readonly handle: Handle;
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** Who is at the other end of a Unix socket, where the system tells. */
  readonly peerCredentials: PeerCredentials | undefined;

  /** @throws {SystemError | UnsupportedError} when the option or its value is refused. @throws {ClosedError} once closed. */
  setOption(name: SocketOptionName, value: number): void;

  /** @throws {SystemError | UnsupportedError} when the option cannot be told. @throws {ClosedError} once closed. */
  option(name: SocketOptionName): number;

  /** What broke it while nobody was reading, if anything did; reading fails with it from then on. */
  takeError(): Error | undefined;
}
