/** What a connection stands on at the bottom: a transport whose readiness is told, with addresses and options. */

import type { Transport } from '../../core/transport.ts';
import type { Address } from '../addresses/address.ts';
import type { Handle } from '../handle.ts';
import type { SocketOptionName } from './socket-options.ts';
import type { PeerCredentials } from '../system-calls.ts';

/** The lowest transport of a connection: a socket of the system's, or one of Node's own streams. */
export interface ConnectionSocket extends Transport {
  /** Its readiness. Whoever sets a bit gives the handle a place in the reactor's ready queue. */
  readonly handle: Handle;
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** Who is at the other end of a Unix socket, where the system tells. */
  readonly peerCredentials: PeerCredentials | undefined;

  /**
   * @throws {SystemError | UnsupportedError} when the option or its value is refused.
   * @throws {ClosedError} once closed.
   */
  setOption(name: SocketOptionName, value: number): void;

  /** @throws {SystemError | UnsupportedError} when the option cannot be told. @throws {ClosedError} once closed. */
  option(name: SocketOptionName): number;

  /** How many bytes the peer's system has taken of what was sent. */
  readonly acknowledged: number;

  /** How many bytes it has not taken yet; 0 once it never will, because the socket is closed or broken. */
  readonly unacknowledged: number;

  /** What broke it, if anything did. Reading delivers all that came before that, and then fails with it. */
  brokenBy(): Error | undefined;
}
