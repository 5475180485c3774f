/** Both directions of a proxied connection, as one object with one life. */

import { ClosedError, OperationTimeoutError } from '../core/errors.ts';
import { checkArgument, checkOptions, milliseconds, partWith, signal } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import { IdleWatch } from '../core/idle-watch.ts';
import { onAbort } from '../core/on-abort.ts';
import type { TimeoutMode } from '../core/timeouts.ts';
import { limit } from '../core/timeouts.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import { failureReason } from '../reactor/connections/failure-reason.ts';
import { closeLimits, closeRule, ProgressWatch } from '../reactor/connections/progress-watch.ts';
import type { ConnectionCloseOptions } from '../reactor/connections/progress-watch.ts';
import type { Loop } from '../reactor/loop.ts';
import { Pump } from './pump.ts';

/** The limits of a relay, in milliseconds; none unless given. */
export interface RelayOptions {
  /** How long neither side may send anything. */
  readonly idleMs?: number | undefined;
  /** How long the relay may live. */
  readonly totalMs?: number | undefined;
  /**
   * How long a side may take what was accepted for it, once the other side has ended or failed: 30 seconds, of which at
   * most 2 without progress, unless given.
   */
  readonly close?: ConnectionCloseOptions | undefined;
  /** Ends the relay, and resets both connections. */
  readonly signal?: AbortSignal | undefined;
}

const connection = partWith('a Connection', 'send', 'receive');
export const RELAY_RULES = {
  idleMs: milliseconds,
  totalMs: milliseconds,
  close: closeRule,
  signal,
} satisfies Rules<RelayOptions>;

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
 * Carries bytes between two connections, which it owns from now on. It reads from one side only what the other side
 * takes, so that its memory is bounded whatever the speeds; it passes on each end as a half-close; and whatever
 * happens, both connections are closed.
 *
 * When both sides have ended, they are closed politely. When one side fails, the other is given all that came before
 * the failure, and is then told that bytes are missing: by a reset, or over TLS by an end without close_notify. When a
 * limit passes or the relay is cancelled, both are reset at once.
 */
export class Relay {
  /** Settles when both connections are closed: with the statistics, or with the error that ended it. */
  readonly done: Promise<RelayStatistics>;

  readonly #loop: Loop;
  readonly #first: Side;
  readonly #second: Side;
  readonly #startedAt: number;
  readonly #idleMs: number;
  readonly #close: ConnectionCloseOptions | undefined;
  #movedAt: number;
  #failure: Error | undefined;
  #delivery: ProgressWatch | undefined;
  #released = false;
  #resolve: (statistics: RelayStatistics) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  readonly #idle: IdleWatch;
  readonly #cancelTotal: () => void;
  readonly #removeAbort: () => void;

  /** @throws {TypeError | RangeError} for an option that is unknown or wrong. */
  constructor(first: Connection, second: Connection, options: RelayOptions = {}) {
    checkArgument('new Relay', 'the first connection', first, connection);
    checkArgument('new Relay', 'the second connection', second, connection);
    checkOptions('new Relay', options, RELAY_RULES);
    this.#close = options.close;
    this.#loop = first.basis.loop;
    this.#startedAt = this.#movedAt = this.#loop.now();
    this.#idleMs = limit(options.idleMs, 'idleMs');
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const totalMs = limit(options.totalMs, 'totalMs');
    this.#cancelTotal = this.#loop.after(totalMs, () => {
      this.#timeOut('total', totalMs);
    });
    this.#idle = new IdleWatch(
      this.#loop,
      this.#idleMs,
      () => this.#movedAt,
      () => {
        this.#timeOut('block', this.#idleMs);
      },
    );
    this.#removeAbort = whenAborted(options.signal, () => {
      this.#reset(new ClosedError('relay failed: it was cancelled', { cause: options.signal?.reason }));
    });
    this.#first = this.#side(first, second);
    this.#second = this.#side(second, first);
    for (const side of [this.#first, this.#second]) side.connection.on('broken', side.onBroken);
    this.#first.pump.start();
    // Both may be closed already, and so the relay by now.
    if (!this.#released) this.#second.pump.start();
  }

  get statistics(): RelayStatistics {
    return {
      forward: this.#first.pump.bytes,
      backward: this.#second.pump.bytes,
      durationMs: this.#loop.now() - this.#startedAt,
    };
  }

  #side(connection: Connection, other: Connection): Side {
    const pump = new Pump(connection, other, {
      moved: () => {
        if (this.#idleMs !== Infinity) this.#movedAt = this.#loop.now();
      },
      ended: () => {
        this.#ended(side);
      },
      sourceFailed: (error) => {
        this.#failed(side, error);
      },
      destinationFailed: (error) => {
        this.#deaf(this.#otherOf(side), error);
      },
    });
    const side: Side = {
      connection,
      pump,
      hasEnded: false,
      isDeaf: false,
      onBroken: (error) => {
        this.#deaf(side, error);
      },
    };
    return side;
  }

  #otherOf(side: Side): Side {
    return side === this.#first ? this.#second : this.#first;
  }

  /** `side` has said that it sends nothing more, and the other was told. */
  #ended(side: Side): void {
    side.hasEnded = true;
    if (this.#failure !== undefined) this.#failed(side, this.#failure);
    else if (this.#otherOf(side).hasEnded) void this.#finish();
  }

  async #finish(): Promise<void> {
    if (!this.#release()) return;
    await Promise.all([this.#first.connection.close(this.#close), this.#second.connection.close(this.#close)]);
    this.#resolve(this.statistics);
  }

  /** `side` takes nothing any more. What it had sent before still goes to the other side. */
  #deaf(side: Side, error: Error): void {
    if (this.#released) return;
    this.#failure ??= error;
    side.isDeaf = true;
    const other = this.#otherOf(side);
    other.pump.stop();
    if (other.isDeaf) this.#reset(this.#failure);
    else if (side.hasEnded) this.#failed(side, this.#failure);
    else this.#watchDelivery(other.connection, this.#failure);
  }

  /** A side that takes nothing must not keep what the broken one has sent, and both connections with it, for ever. */
  #watchDelivery({ basis }: Connection, failure: Error): void {
    this.#delivery ??= new ProgressWatch(this.#loop, basis.socket, closeLimits(this.#close), () => {
      this.#reset(failure);
    });
  }

  /**
   * All that `side` had sent before it failed was accepted for the other side, which gets it and is told that there
   * should be more.
   */
  #failed(side: Side, error: Error): void {
    if (!this.#release()) return;
    const failure = side.isDeaf ? failureReason(this.#failure, error) : (this.#failure ?? error);
    const other = this.#otherOf(side).connection;
    // One that has failed by itself may still have an alert on its way.
    if (!side.connection.closed) side.connection.abort(failure);
    const gone = side.hasEnded ? other.close(this.#close) : other.breakOff(this.#close, failure);
    void gone.then(() => {
      this.#reject(failure);
    });
  }

  /** A limit has passed, or the relay was cancelled. */
  #reset(error: Error): void {
    if (!this.#release()) return;
    this.#first.connection.abort(error);
    this.#second.connection.abort(error);
    this.#reject(this.#failure ?? error);
  }

  /** @returns whether this was the first call. */
  #release(): boolean {
    if (this.#released) return false;
    this.#released = true;
    this.#idle.stop();
    this.#cancelTotal();
    this.#removeAbort();
    this.#delivery?.stop();
    for (const { connection, pump, onBroken } of [this.#first, this.#second]) {
      connection.off('broken', onBroken);
      pump.stop();
    }
    return true;
  }

  #timeOut(mode: TimeoutMode, limitMs: number): void {
    this.#reset(new OperationTimeoutError('relay', mode, limitMs, mode === 'block' ? 'read' : null));
  }
}

/** One of the two connections, with the pump that takes what it sends. */
interface Side {
  readonly connection: Connection;
  readonly pump: Pump;
  readonly onBroken: (error: Error) => void;
  /** Whether it has said that it sends nothing more, and the other side was told. */
  hasEnded: boolean;
  /** Whether it takes nothing any more. */
  isDeaf: boolean;
}

function whenAborted(signal: AbortSignal | undefined, abort: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (!signal.aborted) return onAbort(signal, abort);
  queueMicrotask(abort);
  return () => undefined;
}
