/** One direction of a relay. */

import type { Subscription } from 'rxjs';

import { ClosedError } from '../core/errors.ts';
import { END } from '../core/want.ts';
import type { Connection } from '../reactor/connection.ts';

/** What a pump tells. */
export interface PumpEvents {
  /** Bytes were passed on. */
  moved(): void;
  /** The source has ended and the destination was told. */
  ended(): void;
  failed(error: Error): void;
}

/**
 * Passes on what one connection receives to another. While the destination does not take everything, the rest is kept (at
 * most one buffer) and nothing more is read; the source's peer then feels the back-pressure through its own socket.
 */
export class Pump {
  /** How many bytes were passed on. */
  bytes = 0;
  readonly #from: Connection;
  readonly #to: Connection;
  readonly #events: PumpEvents;
  #rest: Uint8Array | undefined;
  #subscription: Subscription | undefined;

  constructor(from: Connection, to: Connection, events: PumpEvents) {
    this.#from = from;
    this.#to = to;
    this.#events = events;
  }

  start(): void {
    this.#wait(this.#from.readable$, this.#flow);
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#rest = undefined;
  }

  readonly #flow = (): void => {
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const count = this.#from.tryReceiveInto(shared);
        if (count === END) {
          this.#end();
          return;
        }
        if (count < 0) return;
        const sent = this.#offer(shared.subarray(0, count));
        if (sent < count) {
          this.#rest = shared.slice(sent, count);
          this.#wait(this.#to.writable$, this.#unclog);
          return;
        }
      }
    } catch (error) {
      this.#events.failed(error as Error);
    }
  };

  readonly #unclog = (): void => {
    try {
      const rest = this.#rest as Uint8Array;
      const sent = this.#offer(rest);
      this.#rest = rest.subarray(sent);
      if (sent < rest.length) return;
      this.#rest = undefined;
      this.#wait(this.#from.readable$, this.#flow);
    } catch (error) {
      this.#events.failed(error as Error);
    }
  };

  /** @returns how many of `bytes` the destination took. */
  #offer(bytes: Uint8Array): number {
    let sent = 0;
    while (sent < bytes.length) {
      const count = this.#to.trySend(sent === 0 ? bytes : bytes.subarray(sent));
      if (count <= 0) break;
      sent += count;
    }
    if (sent > 0) {
      this.bytes += sent;
      this.#events.moved();
    }
    return sent;
  }

  #end(): void {
    this.stop();
    // The relay's own limits hold: those of the connection's operations would cut off a reader that takes its time.
    this.#to.shutdown('send', { timeouts: { blockMs: undefined, totalMs: undefined } }).then(
      () => {
        this.#events.ended();
      },
      (error: unknown) => {
        this.#events.failed(error as Error);
      },
    );
  }

  #wait(readiness$: Connection['readable$'], next: () => void): void {
    const previous = this.#subscription;
    this.#subscription = readiness$.subscribe({
      next,
      complete: () => {
        this.#events.failed(this.#from.closeReason ?? this.#to.closeReason ?? new ClosedError('relay failed: one of its connections was closed'));
      },
    });
    previous?.unsubscribe();
  }
}

// One for all pumps: what the destination does not take is copied before anyone else can run.
const shared = new Uint8Array(64 * 1024);
// After as many reads the other connections have their turn.
const ROUNDS = 16;
