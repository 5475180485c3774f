/** How a protocol above the reactor takes over a connection's transport, without the reactor knowing the protocol. */

import { oneOf, partWith, text, trust } from './options.ts';
import type { Rules } from './options.ts';
import type { Transport } from './transport.ts';

/** Facts about a connection, for the layer that is laid over it. */
export interface LayerOptions {
  /** The name of the peer. A client checks the certificate of the server against it. */
  readonly serverName?: string | undefined;
  /**
   * The address that a client connected to, as `host:port` or a path. It identifies the peer, for example for sessions.
   */
  readonly peer?: string | undefined;
  /** Whether this side is the client or the server. */
  readonly role: 'client' | 'server';
}

/** The facts that a caller may give when it lays a layer over a connection. The rest comes from the connection. */
export type LayingOptions = Partial<Pick<LayerOptions, 'role' | 'serverName'>>;

export const LAYING_RULES = { role: oneOf('client', 'server'), serverName: trust(text) } satisfies Rules<LayingOptions>;

/** The rule for an option that takes a layer. */
export const layerRule = trust(partWith('a layer, such as a TlsContext', 'transport', 'connection'));

/**
 * Makes a transport over a transport, and a connection of its own type over that. `B` is what the reactor provides for
 * a connection (readiness, deadlines, addresses). The layer passes it on without using it.
 */
export interface TransportLayer<C, B = unknown> {
  /** @returns the transport that carries bytes over `below`, which it owns from now on. */
  transport(below: Transport, options: LayerOptions): Transport;
  /** @returns a connection over that transport. */
  connection(transport: Transport, basis: B, options: LayerOptions): C;
  /**
   * Called after the handshake of `failed` has failed with `error`.
   * @returns the layer to retry with, over a new connection; `undefined` for no retry.
   */
  redial?(failed: Transport, error: unknown): TransportLayer<C, B> | undefined;
}
