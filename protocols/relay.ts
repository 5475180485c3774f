/** Both directions of a proxied connection, as one object with one life. */

import { ClosedError, OperationTimeoutError } from '../core/errors.ts';
import type { TimeoutMode } from '../core/timeouts.ts';
import { limit } from '../core/timeouts.ts';
import type { Connection } from '../reactor/connection.ts';
import { Pump } from './pump.ts';

/** The limits of a relay, in milliseconds; none unless given. */
export interface RelayOptions {
  /** How long neither side may send anything. */
  readonly idleMs?: number | undefined;
  /** How long the relay may live. */
  readonly totalMs?: number | undefined;
  /** Ends the relay, and resets both connections. */
  readonly signal?: AbortSignal | undefined;
}

/** How much a relay moved. */
export interface RelayStatistics {
  /** Bytes from the first connection to the second. */
  readonly forward: number;
  /** Bytes from the second connection to the first. */
  readonly backward: number;
  /** How long it has lived, in milliseconds. */
  readonly durationMs: number;
}

/**
 * Carries bytes between two connections, which it owns from now on. It reads from one side only what the other side takes, so
 * that its memory is bounded whatever the speeds; it passes on each end as a half-close; and whatever happens, both
 * connections are closed: politely when both sides have ended, by a reset when either fails or a limit passes.
 */
export class Relay {
  /** Settles when both connections are closed: with the statistics, or with the error that ended it. */
  readonly done: Promise<RelayStatistics>;

  readonly #first: Connection;
  readonly #second: Connection;
  readonly #forward: Pump;
  readonly #backward: Pump;
  readonly #startedAt: number;
  readonly #idleMs: number;
  #movedAt: number;
  #open = 2;
  #settled = false;
  #resolve: (statistics: RelayStatistics) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  #cancelIdle: () => void = () => undefined;
  readonly #cancelTotal: () => void;
  readonly #removeAbort: () => void;

  /** @throws {RangeError} when a limit is NaN. */
  constructor(first: Connection, second: Connection, options: RelayOptions = {}) {
    this.#first = first;
    this.#second = second;
    this.#startedAt = this.#movedAt = first.now();
    this.#idleMs = limit(options.idleMs, 'idleMs');
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const moved = (): void => {
      if (this.#idleMs !== Infinity) this.#movedAt = first.now();
    };
    const ended = (): void => {
      if (--this.#open === 0) void this.#finish();
    };
    const totalMs = limit(options.totalMs, 'totalMs');
    this.#cancelTotal = first.basis.reactor.after(totalMs, () => {
      this.#timeOut('total', totalMs);
    });
    this.#watchIdle(this.#idleMs);
    this.#removeAbort = onAbort(options.signal, () => {
      this.#fail(new ClosedError('relay failed: it was cancelled', { cause: options.signal?.reason }));
    });
    this.#forward = new Pump(first, second, { moved, ended, failed: this.#fail });
    this.#backward = new Pump(second, first, { moved, ended, failed: this.#fail });
    // A side from which nothing is read, because the other takes nothing, would not be missed otherwise.
    first.on('broken', this.#fail);
    second.on('broken', this.#fail);
    this.#forward.start();
    this.#backward.start();
  }

  get statistics(): RelayStatistics {
    return { forward: this.#forward.bytes, backward: this.#backward.bytes, durationMs: this.#first.now() - this.#startedAt };
  }

  /** Both sides have said that they send nothing more, and both were told. */
  async #finish(): Promise<void> {
    if (!this.#release()) return;
    await Promise.all([this.#first.close(), this.#second.close()]);
    this.#resolve(this.statistics);
  }

  readonly #fail = (error: Error): void => {
    if (!this.#release()) return;
    this.#first.abort();
    this.#second.abort();
    this.#reject(error);
  };

  /** @returns whether this was the first call. */
  #release(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#cancelIdle();
    this.#cancelTotal();
    this.#removeAbort();
    this.#first.off('broken', this.#fail);
    this.#second.off('broken', this.#fail);
    this.#forward.stop();
    this.#backward.stop();
    return true;
  }

  /** Looks again when the idle limit could have passed at the earliest, so that moving bytes costs no timer. */
  #watchIdle(ms: number): void {
    this.#cancelIdle = this.#first.basis.reactor.after(ms, () => {
      const left = this.#movedAt + this.#idleMs - this.#first.now();
      if (left > 0) this.#watchIdle(left);
      else this.#timeOut('block', this.#idleMs);
    });
  }

  #timeOut(mode: TimeoutMode, limitMs: number): void {
    this.#fail(new OperationTimeoutError('relay', mode, limitMs, mode === 'block' ? 'read' : null));
  }
}

function onAbort(signal: AbortSignal | undefined, abort: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) queueMicrotask(abort);
  else signal.addEventListener('abort', abort, { once: true });
  return () => {
    signal.removeEventListener('abort', abort);
  };
}
