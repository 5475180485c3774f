/** Serves connections, from the accept to the close. */

import { AbortError, BusyError, ClosedError, UnsupportedError, WantioError } from '../../core/errors.ts';
import { checkArgument, checkOptions, countOrNone, func, span } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { timeoutsRule } from '../../core/timeouts.ts';
import type { Timeouts } from '../../core/timeouts.ts';
import { layerRule } from '../../core/transport-layer.ts';
import type { TransportLayer } from '../../core/transport-layer.ts';
import { Connection } from '../connections/connection.ts';
import { layered } from '../connections/connection-basis.ts';
import type { ConnectionBasis } from '../connections/connection-basis.ts';
import { closeRule } from '../connections/progress-watch.ts';
import type { ConnectionCloseOptions } from '../connections/progress-watch.ts';
import type { Loop } from '../loop.ts';

/** The options of `listener.serve`. */
export interface ServeOptions<C extends Connection = Connection> {
  /** A layer, such as a `TlsContext`, laid over each connection. */
  readonly secure?: TransportLayer<C, ConnectionBasis> | undefined;
  /** The default limits for the operations of each connection. */
  readonly timeouts?: Timeouts | undefined;
  /** How long a handshake may take in total, in milliseconds; 10 seconds by default. */
  readonly handshakeMs?: number | undefined;
  /**
   * How many connections are served at the same time; more wait in the backlog. No limit by default. A connection whose
   * handler has settled counts until it is closed. But when the limit is reached, a new connection replaces the oldest
   * of these, which is reset.
   */
  readonly maxConnections?: number | undefined;
  /** How long a connection may take to close after its handler has settled; see `connection.close`. */
  readonly close?: ConnectionCloseOptions | undefined;
  /** How many handshakes may be unfinished; 1024 by default. A new one then replaces the oldest, which is reset. */
  readonly maxHandshakes?: number | undefined;
}

export const SERVE_RULES = {
  secure: layerRule,
  timeouts: timeoutsRule,
  handshakeMs: span,
  maxConnections: countOrNone(1),
  maxHandshakes: countOrNone(1),
  close: closeRule,
} satisfies Rules<ServeOptions>;

/** Checks the arguments of `serve`. @throws {TypeError | RangeError} when one is not valid. */
export function checkServing(options: unknown, handler: unknown): void {
  if (typeof options === 'function')
    throw new TypeError('serve takes the options first, then the handler: serve({}, handler)');
  checkOptions('serve', options, SERVE_RULES);
  checkArgument('serve', 'the handler', handler, func);
}

/**
 * Uses one connection. The connection is closed when the returned promise settles. `context.signal` is aborted when the
 * reactor drains: stop at the next good place.
 */
export type Handler<C extends Connection = Connection> = (
  connection: C,
  context: { readonly signal: AbortSignal },
) => Promise<void> | void;

/** The callbacks by which the server of a listener reports to it. */
export interface ServerReports {
  /** A connection failed, or its handler did. @returns whether the failure had a listener. */
  failed(error: Error, connection: Connection): boolean;
  /** {@link Server.hasRoom} has become true. */
  roomAgain(): void;
}

/** Serves the connections of one listener. */
export class Server {
  readonly #loop: Loop;
  readonly #options: ServeOptions;
  readonly #handler: Handler;
  readonly #reports: ServerReports;
  readonly #maxConnections: number;
  readonly #handshaking = new Set<Connection>();
  /** The connections whose handler has settled, the oldest first. */
  readonly #closing = new Set<Connection>();
  #serving = 0;

  constructor(loop: Loop, options: ServeOptions, handler: Handler, reports: ServerReports) {
    this.#loop = loop;
    // A copy, so that the caller cannot change options after they were checked.
    this.#options = { ...options, timeouts: { ...options.timeouts } };
    this.#handler = handler;
    this.#reports = reports;
    this.#maxConnections = options.maxConnections ?? Infinity;
  }

  get hasRoom(): boolean {
    return this.#serving < this.#maxConnections || this.#closing.size > 0;
  }

  /** Serves the connection over `basis` until its handler settles, then closes it. */
  take(basis: ConnectionBasis): void {
    if (this.#serving >= this.#maxConnections) this.#dropOldestClosing();
    this.#serving++;
    void this.#serve(basis);
  }

  async #serve(basis: ConnectionBasis): Promise<void> {
    let connection: Connection | undefined;
    try {
      const { secure } = this.#options;
      connection = secure === undefined ? new Connection(basis.socket, basis) : layered(secure, basis.socket, basis);
      connection.timeouts = this.#options.timeouts ?? {};
      if (secure !== undefined) await this.#handshake(connection);
      await this.#handler(connection, { signal: this.#loop.draining });
    } catch (error) {
      // A layer that fails at once, such as a closed context, has created no connection.
      connection ??= new Connection(basis.socket, basis);
      this.#report(error, connection);
    }
    this.#closing.add(connection);
    if (this.#serving >= this.#maxConnections) this.#reports.roomAgain();
    await connection.close(this.#options.close);
    if (this.#closing.delete(connection) && this.#serving-- >= this.#maxConnections) this.#reports.roomAgain();
  }

  #dropOldestClosing(): void {
    for (const oldest of this.#closing) {
      this.#closing.delete(oldest);
      this.#serving--;
      oldest.abort(
        new ClosedError(
          `the connection was dropped for a new one while it was closing (maxConnections ${String(this.#maxConnections)})`,
        ),
      );
      return;
    }
  }

  async #handshake(connection: Connection): Promise<void> {
    const { handshakeMs = HANDSHAKE_MS, maxHandshakes = HANDSHAKES } = this.#options;
    const handshaking = this.#handshaking;
    if (handshaking.size >= maxHandshakes)
      for (const oldest of handshaking) {
        // Removed at once, because more connections may be accepted before its handshake settles.
        handshaking.delete(oldest);
        oldest.abort(
          new ClosedError(
            `more than ${String(maxHandshakes)} handshakes were unfinished (maxHandshakes), and this was the oldest`,
          ),
        );
        break;
      }
    handshaking.add(connection);
    try {
      const { totalMs } = connection.timeouts;
      const limit = totalMs === undefined || totalMs < 0 ? handshakeMs : Math.min(totalMs, handshakeMs);
      await connection.handshake({ timeouts: { totalMs: limit } });
    } finally {
      handshaking.delete(connection);
    }
  }

  #report(error: unknown, connection: Connection): void {
    if (error instanceof AbortError && this.#loop.draining.aborted) return;
    const known = error instanceof Error ? error : new Error(String(error));
    // Errors of clients may go unreported, but errors of the handler must not.
    if (!this.#reports.failed(known, connection) && !isOfClient(known)) process.emitWarning(known);
  }
}

/** Whether a client can have caused `error`. A call at a wrong moment and a failed connect come from the handler. */
function isOfClient(error: Error): boolean {
  if (!(error instanceof WantioError) || error instanceof BusyError || error instanceof UnsupportedError) return false;
  return error.operation !== 'connect' && error.operation !== 'look-up';
}

const HANDSHAKE_MS = 10_000;
const HANDSHAKES = 1024;
