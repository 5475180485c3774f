/** How the ends of a connection are reported: the events `'end'` and `'broken'`, and the signal. */

import { setMaxListeners } from 'node:events';

import type { EventEmitter } from 'eventemitter3';

import { guarded } from '../guarded.ts';
import { BROKEN, HANGUP } from '../handle.ts';
import type { ConnectionEvents } from './connection-options.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import type { Slots } from './slots.ts';

/**
 * Reports each end once, even when it came before the first listener. Created for the first listener, because most
 * connections have none.
 */
export class Ends {
  readonly #connection: EventEmitter<ConnectionEvents>;
  readonly #slots: Slots;
  readonly #socket: ConnectionSocket;
  #isEndReported = false;
  /** What broke the connection, once that was reported. */
  #brokenBy: Error | undefined;
  #gone: AbortController | undefined;

  constructor(connection: EventEmitter<ConnectionEvents>, slots: Slots, socket: ConnectionSocket) {
    this.#connection = connection;
    this.#slots = slots;
    this.#socket = socket;
  }

  /** @param closeReason returns the reason of a closed connection, or `undefined` while it is not closed. */
  signal(closeReason: () => Error | undefined): AbortSignal {
    if (this.#gone === undefined) {
      this.#gone = new AbortController();
      // Many parts of a program may depend on one connection.
      setMaxListeners(0, this.#gone.signal);
      const reason = closeReason() ?? this.#brokenBy;
      if (reason !== undefined) this.#gone.abort(reason);
      else this.lookAgain();
    }
    return this.#gone.signal;
  }

  /** Lets the next turn report ends that have happened already. */
  lookAgain(): void {
    const { handle } = this.#socket;
    if (this.#slots.state !== 'closed' && ((handle.readiness & (BROKEN | HANGUP)) !== 0 || this.#slots.inflow.ended))
      this.#slots.enqueue();
  }

  /** Reports an end that was read but that the socket does not show, such as a close_notify. */
  lookForReadEnd(): void {
    if (this.#slots.inflow.ended && !this.#isEndReported && this.#connection.listenerCount('end') > 0) this.lookAgain();
  }

  /** Reports the peer's end, and the error that broke the connection, if there are listeners. */
  report(): void {
    const isBroken = (this.#socket.handle.readiness & BROKEN) !== 0;
    if (!this.#isEndReported && !isBroken && this.#connection.listenerCount('end') > 0) {
      this.#isEndReported = true;
      guarded(() => this.#connection.emit('end'));
    }
    if (!isBroken || (this.#gone === undefined && this.#connection.listenerCount('broken') === 0)) return;
    const broken = this.#socket.brokenBy();
    this.#socket.handle.readiness &= ~BROKEN;
    if (broken === undefined) return;
    // A failure of the transport is more specific: it may be an alert in which the peer gives its reason.
    const error = (this.#brokenBy = this.#slots.transport.failure ?? broken);
    guarded(() => this.#connection.emit('broken', error));
    this.abort(() => error);
  }

  /** Aborts the signal, if it was asked for. */
  abort(reason: () => Error): void {
    const gone = this.#gone;
    if (gone !== undefined)
      guarded(() => {
        gone.abort(reason());
      });
  }
}
