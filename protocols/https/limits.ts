/** The limits of one exchange: a timeout for each wait for the server, a timeout for the whole exchange, the signal. */

import { AbortError, OperationTimeoutError } from '../../core/errors.ts';
import { IdleWatch } from '../../core/idle-watch.ts';
import { onAbort } from '../../core/on-abort.ts';
import type { TimeoutMode } from '../../core/timeouts.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { Loop } from '../../reactor/loop.ts';

/** What bounds an exchange. */
export interface ExchangeLimits {
  readonly blockMs: number;
  readonly totalMs: number;
  /** When `totalMs` has passed, by the reactor's clock. */
  readonly endsAt: number;
  readonly signal?: AbortSignal | undefined;
}

/** Watches the waits of one exchange. */
export class Limits {
  readonly #connection: Connection;
  readonly #loop: Loop;
  readonly #fail: (error: Error) => void;
  readonly #block: IdleWatch;
  readonly #cancelTotal: () => void;
  #stopListening: () => void = () => undefined;
  /** How many functions of the caller are being awaited. The block limit does not count that time. */
  #callersOwn = 0;
  #callersOwnUntil = 0;

  /** @param fail called at most once, with the error for the limit that has passed. */
  constructor(connection: Connection, limits: ExchangeLimits, fail: (error: Error) => void) {
    this.#connection = connection;
    this.#loop = connection.basis.loop;
    this.#fail = fail;
    const { blockMs, totalMs, endsAt, signal } = limits;
    this.#block = new IdleWatch(
      this.#loop,
      blockMs,
      () => this.#waitsSince(),
      () => {
        this.#timeOut('block', blockMs);
      },
    );
    this.#cancelTotal = this.#loop.after(endsAt - this.#loop.now(), () => {
      this.#timeOut('total', totalMs);
    });
    if (signal?.aborted === false)
      this.#stopListening = onAbort(signal, () => {
        const [operation] = this.#connection.operations;
        this.#fail(new AbortError(operation?.name ?? 'receive', signal.reason));
      });
  }

  /** Awaits a function of the caller; the block limit does not count that time. */
  async waitForCaller<T>(task: () => T): Promise<Awaited<T>> {
    this.#callersOwn++;
    try {
      return await task();
    } finally {
      this.#callersOwn--;
      this.#callersOwnUntil = this.#loop.now();
    }
  }

  stop(): void {
    this.#block.stop();
    this.#cancelTotal();
    this.#stopListening();
  }

  /** When the present wait for the server began. A send and a receive may both wait: the later one counts. */
  #waitsSince(): number {
    const waits = this.#connection.operations.filter(({ want }) => want !== null).map(({ sinceMs }) => sinceMs);
    return this.#callersOwn > 0 || waits.length === 0 ? this.#loop.now() : Math.max(this.#callersOwnUntil, ...waits);
  }

  #timeOut(mode: TimeoutMode, limitMs: number): void {
    const [operation] = this.#connection.operations;
    this.#fail(new OperationTimeoutError(operation?.name ?? 'receive', mode, limitMs, operation?.want ?? null));
  }
}
