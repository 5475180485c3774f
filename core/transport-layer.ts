/** How a protocol above the reactor takes over a connection's transport, without the reactor knowing the protocol. */

import type { Transport } from './transport.ts';

/** What a layer is told about the connection that it is laid over. */
export interface LayerOptions {
  /** The name of the peer, by which a client checks it. */
  readonly serverName?: string | undefined;
  /** Where the peer was connected to, as `host:port` or a path: what a client knows it by. */
  readonly peer?: string | undefined;
  /** Which end began the connection. */
  readonly role: 'client' | 'server';
}

/**
 * Makes a transport over a transport, and a connection of its own type over that. `B` is the reactor's basis for a
 * connection (readiness, deadlines, addresses); the layer passes it on unseen.
 */
export interface TransportLayer<C, B = unknown> {
  /** @returns the transport that carries bytes over `below`, which it owns from now on. */
  transport(below: Transport, options: LayerOptions): Transport;
  /** @returns a connection over that transport. */
  connection(transport: Transport, basis: B, options: LayerOptions): C;
  /**
   * After the handshake of `failed` has ended with `error`.
   * @returns the layer that makes up for it over a new connection; `undefined`, as without this method, when none does.
   */
  redial?(failed: Transport, error: unknown): TransportLayer<C, B> | undefined;
}
