/** A relay: both directions of a proxied connection in one object. */

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

/** The options of a {@link Relay}. */
export interface RelayOptions {
  /** How long the relay may live while neither side sends anything, in milliseconds; no limit by default. */
  readonly idleMs?: number | undefined;
  /** How long the relay may live, in milliseconds; no limit by default. */
  readonly totalMs?: number | undefined;
  /**
   * After one side has ended or failed: how long the other side may take to receive the bytes that were accepted for
   * it. By default 30 seconds in total and 2 seconds without progress.
   */
  readonly close?: ConnectionCloseOptions | undefined;
  /** Cancels the relay and resets both connections. */
  readonly signal?: AbortSignal | undefined;
}

const connection = partWith('a Connection', 'send', 'receive');
export const RELAY_RULES = {
  idleMs: milliseconds,
  totalMs: milliseconds,
  close: closeRule,
  signal,
} satisfies Rules<RelayOptions>;

/** The statistics of a relay. */
export interface RelayStatistics {
  /** Bytes from the first connection to the second. */
  readonly forward: number;
  /** Bytes from the second connection to the first. */
  readonly backward: number;
  /** How long the relay has lived, in milliseconds. */
  readonly durationMs: number;
}

/**
 * Passes bytes between two connections in both directions, and owns the connections from now on. It reads from one side
 * only as much as the other side accepts, so its memory is bounded. It passes on the end of each side as a half-close.
 * In the end both connections are always closed.
 *
 * When both sides have ended, it closes them gracefully. When one side fails, the other side gets all bytes that
 * arrived before the failure. Then its connection is reset (over TLS: ended without close_notify), so that its peer
 * sees that bytes are missing. When a limit is exceeded or the relay is cancelled, it resets both at once.
 * @example
 * import { Reactor } from 'wantio';
 * import { Relay } from 'wantio/protocols';
 *
 * const reactor = new Reactor();
 * const upstream = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * upstream.serve({}, async (connection) => {
 *   await connection.send(await connection.receive('*a'));
 * });
 * const front = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * front.connections$.subscribe((client) => {
 *   void reactor.connect({ host: '127.0.0.1', port: upstream.port }).then(async (server) => {
 *     const { forward, backward } = await new Relay(client, server, { idleMs: 60_000 }).done;
 *     if (forward !== 5 || backward !== 5) throw new Error('bytes are missing');
 *   });
 * });
 * const client = await reactor.connect({ host: '127.0.0.1', port: front.port });
 * await client.send('hello');
 * await client.shutdown('send');
 * if (Buffer.from(await client.receive('*a')).toString() !== 'hello') throw new Error('the echo is missing');
 * await client.close();
 * await reactor.close();
 */
export class Relay {
  /** Resolves with the statistics when both connections are closed; rejects with the error that ended the relay. */
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

  /** @throws {TypeError | RangeError} when an argument or option is unknown or invalid. */
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
    // If the connections are already closed, the relay has ended by now.
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
        this.#unwritable(this.#otherOf(side), error);
      },
    });
    const side: Side = {
      connection,
      pump,
      hasEnded: false,
      isUnwritable: false,
      onBroken: (error) => {
        this.#unwritable(side, error);
      },
    };
    return side;
  }

  #otherOf(side: Side): Side {
    return side === this.#first ? this.#second : this.#first;
  }

  /** `side` sends nothing more, and the other side's connection is half-closed. */
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

  /** `side` accepts nothing more. Bytes that it has sent are still delivered to the other side. */
  #unwritable(side: Side, error: Error): void {
    if (this.#released) return;
    this.#failure ??= error;
    side.isUnwritable = true;
    const other = this.#otherOf(side);
    other.pump.stop();
    if (other.isUnwritable) this.#reset(this.#failure);
    else if (side.hasEnded) this.#failed(side, this.#failure);
    else this.#watchDelivery(other.connection, this.#failure);
  }

  /**
   * Limits how long the other side may take to receive what the broken side has sent; otherwise the relay could hang.
   */
  #watchDelivery({ basis }: Connection, failure: Error): void {
    this.#delivery ??= new ProgressWatch(this.#loop, basis.socket, closeLimits(this.#close), () => {
      this.#reset(failure);
    });
  }

  /**
   * `side` has failed, and all bytes that it had sent are accepted for the other side. Delivers them, and then resets
   * the other side's connection, unless `side` had ended before.
   */
  #failed(side: Side, error: Error): void {
    if (!this.#release()) return;
    const failure = side.isUnwritable ? failureReason(this.#failure, error) : (this.#failure ?? error);
    const other = this.#otherOf(side).connection;
    // A connection that is closing after its own failure may still be sending an alert: it is not aborted.
    if (!side.connection.closed) side.connection.abort(failure);
    const gone = side.hasEnded ? other.close(this.#close) : other.breakOff(this.#close, failure);
    void gone.then(() => {
      this.#reject(failure);
    });
  }

  /** Resets both connections: a limit was exceeded, the relay was cancelled, or neither side accepts anything. */
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

/** One of the two connections, with the pump that reads from it. */
interface Side {
  readonly connection: Connection;
  readonly pump: Pump;
  readonly onBroken: (error: Error) => void;
  /** Whether it sends nothing more, and the other side's connection is half-closed. */
  hasEnded: boolean;
  /** Whether it accepts nothing more. */
  isUnwritable: boolean;
}

function whenAborted(signal: AbortSignal | undefined, abort: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (!signal.aborted) return onAbort(signal, abort);
  queueMicrotask(abort);
  return () => undefined;
}
