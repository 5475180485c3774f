/** The lowest transport of a connection. It has a handle for readiness, addresses and options. */

import type { Transport } from '../../core/transport.ts';
import type { Address } from '../addresses/address.ts';
import type { Handle } from '../handle.ts';
import type { SocketOptionName } from './socket-options.ts';
import type { PeerCredentials } from '../system-calls.ts';

/** The lowest transport of a connection: a socket of the system, or a Node.js stream. */
export interface ConnectionSocket extends Transport {
  /** Its readiness. Code that sets a bit must also add the handle to the reactor's ready queue. */
  readonly handle: Handle;
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** The process at the other end of a Unix socket, if the system knows it. */
  readonly peerCredentials: PeerCredentials | undefined;

  /**
   * @throws {SystemError | UnsupportedError} when the socket refuses the option or its value.
   * @throws {ClosedError} once closed.
   */
  setOption(name: SocketOptionName, value: number): void;

  /** @throws {SystemError | UnsupportedError} when the option cannot be read. @throws {ClosedError} once closed. */
  option(name: SocketOptionName): number;

  /** How many of the sent bytes the peer's system has acknowledged. */
  readonly acknowledged: number;

  /**
   * How many of the sent bytes the peer's system has not acknowledged yet; 0 when the socket is closed or broken,
   * because the peer will never acknowledge them.
   */
  readonly unacknowledged: number;

  /** The error that broke the socket, if any did. Reads deliver all bytes that came before it, then fail with it. */
  brokenBy(): Error | undefined;
}
