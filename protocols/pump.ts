/** One direction of a relay. */

import type { Subscription } from 'rxjs';

import { ClosedError } from '../core/errors.ts';
import { END } from '../core/want.ts';
import type { Connection } from '../reactor/connections/connection.ts';

/** The events of a pump. One of the last three is emitted once, and is the last event. */
export interface PumpEvents {
  /** Bytes were passed on. */
  moved(): void;
  /** The source has ended, and the destination is half-closed. */
  ended(): void;
  /** The source has failed; the destination has accepted all bytes that arrived before. */
  sourceFailed(error: Error): void;
  /** The destination accepts nothing more. */
  destinationFailed(error: Error): void;
}

/**
 * Passes the bytes that one connection receives to another connection. While the destination does not accept
 * everything, the rest is buffered (at most one buffer of 64 KiB) and nothing more is read, so the source's peer gets
 * back-pressure.
 */
export class Pump {
  /** How many bytes were passed on. */
  bytes = 0;
  readonly #from: Connection;
  readonly #to: Connection;
  readonly #events: PumpEvents;
  #rest: Uint8Array | undefined;
  #subscription: Subscription | undefined;
  #stopped = false;

  constructor(from: Connection, to: Connection, events: PumpEvents) {
    this.#from = from;
    this.#to = to;
    this.#events = events;
  }

  /** Begins to read at once, because the source may already have data or have ended. */
  start(): void {
    this.#flow();
    if (!this.#stopped && this.#subscription === undefined) this.#wait(this.#from, this.#from.readable$, this.#flow);
  }

  stop(): void {
    this.#stopped = true;
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#rest = undefined;
  }

  readonly #flow = (): void => {
    for (let round = 0; round < ROUNDS && !this.#stopped; round++) {
      let count;
      try {
        count = this.#from.tryReceiveInto(shared);
      } catch (error) {
        this.#fail('sourceFailed', error as Error);
        return;
      }
      if (count === END) this.#end();
      if (count < 0) return;
      const sent = this.#offer(shared.subarray(0, count));
      if (sent < count) {
        if (this.#stopped) return;
        this.#rest = shared.slice(sent, count);
        this.#wait(this.#to, this.#to.writable$, this.#unclog);
        return;
      }
    }
  };

  readonly #unclog = (): void => {
    const rest = this.#rest as Uint8Array;
    const sent = this.#offer(rest);
    if (this.#stopped) return;
    this.#rest = rest.subarray(sent);
    if (sent < rest.length) return;
    this.#rest = undefined;
    this.#wait(this.#from, this.#from.readable$, this.#flow);
  };

  /** @returns how many of `bytes` the destination accepted. */
  #offer(bytes: Uint8Array): number {
    let sent = 0;
    try {
      while (sent < bytes.length) {
        const count = this.#to.trySend(sent === 0 ? bytes : bytes.subarray(sent));
        if (count <= 0) break;
        sent += count;
      }
    } catch (error) {
      this.#fail('destinationFailed', error as Error);
    }
    this.bytes += sent;
    if (sent > 0) this.#events.moved();
    return sent;
  }

  #end(): void {
    this.stop();
    // Only the relay's limits apply: the connection's own timeouts would cut off a slow reader.
    this.#to.shutdown('send', { timeouts: { blockMs: Infinity, totalMs: Infinity } }).then(
      () => {
        this.#events.ended();
      },
      (error: unknown) => {
        this.#events.destinationFailed(error as Error);
      },
    );
  }

  #fail(how: 'sourceFailed' | 'destinationFailed', error: Error): void {
    if (this.#stopped) return;
    this.stop();
    this.#events[how](error);
  }

  /** Waits until `side` is ready. If other code closes the connection, that counts as a failure of `side`. */
  #wait(side: Connection, readiness$: Connection['readable$'], next: () => void): void {
    const previous = this.#subscription;
    this.#subscription = readiness$.subscribe({
      next,
      complete: () => {
        const error = side.closeReason ?? new ClosedError('relay failed: one of its connections was closed');
        this.#fail(side === this.#from ? 'sourceFailed' : 'destinationFailed', error);
      },
    });
    if (this.#stopped) this.#subscription.unsubscribe();
    previous?.unsubscribe();
  }
}

// One buffer for all pumps: what the destination does not accept is copied before any other code runs.
const shared = new Uint8Array(64 * 1024);
// After so many reads other connections get their turn.
const ROUNDS = 16;
