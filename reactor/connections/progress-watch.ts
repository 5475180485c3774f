/** The limits for the end of a connection, and a watch over them: does the peer still acknowledge the sent bytes? */

import { checkOptions, group, milliseconds, number } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { limit } from '../../core/timeouts.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import type { Loop } from '../loop.ts';

/** How long a connection may take to end. When the first limit passes, the rest of the data is dropped. */
export interface ConnectionCloseOptions {
  /** The longest that the end may take in total, in milliseconds; 30 seconds by default. */
  readonly timeoutMs?: number | undefined;
  /** The longest time in which the peer may acknowledge nothing, in milliseconds; 2 seconds by default. */
  readonly idleMs?: number | undefined;
  /**
   * The lowest average rate at which the peer must acknowledge bytes, in bytes per second since the end began. It
   * applies after the first `idleMs`. 240 by default; 0 for none.
   */
  readonly minBytesPerSecond?: number | undefined;
}

const rate = number('a number of bytes per second of at least 0', (value) => value >= 0);
export const CLOSE_RULES = {
  timeoutMs: milliseconds,
  idleMs: milliseconds,
  minBytesPerSecond: rate,
} satisfies Rules<ConnectionCloseOptions>;
/** The rule for an option that takes the limits of a close. */
export const closeRule = group(CLOSE_RULES);

/** The same limits, checked and with defaults filled in. */
export interface CloseLimits {
  readonly timeoutMs: number;
  readonly idleMs: number;
  readonly minBytesPerSecond: number;
}

/** @throws {TypeError | RangeError} when a limit is not a number, or the rate is negative. */
export function closeLimits(options: ConnectionCloseOptions = {}): CloseLimits {
  checkOptions('close', options, CLOSE_RULES);
  const { timeoutMs = CLOSE_MS, idleMs = IDLE_MS, minBytesPerSecond = BYTES_PER_SECOND } = options;
  return { timeoutMs: limit(timeoutMs, 'timeoutMs'), idleMs: limit(idleMs, 'idleMs'), minBytesPerSecond };
}

/**
 * Watches a socket that is ending. Progress means that the peer's system has acknowledged bytes. Bytes that the kernel
 * accepts would be a wrong measure: while its buffer is full, the socket looks idle although megabytes are on their
 * way. Bytes that the peer sends are no progress.
 */
export class ProgressWatch {
  /** Whether a limit has passed. */
  expired = false;
  readonly #loop: Loop;
  readonly #socket: ConnectionSocket;
  readonly #limits: CloseLimits;
  #expire: () => void;
  readonly #startedAt: number;
  readonly #takenBefore: number;
  #progressAt: number;
  #taken: number;
  #cancel: () => void = () => undefined;
  #cancelPoll: () => void = () => undefined;

  /** @param expire called once, when a limit passes before {@link stop}. */
  constructor(loop: Loop, socket: ConnectionSocket, limits: CloseLimits, expire: () => void) {
    this.#loop = loop;
    this.#socket = socket;
    this.#limits = limits;
    this.#expire = expire;
    this.#startedAt = this.#progressAt = loop.now();
    this.#takenBefore = this.#taken = socket.acknowledged;
    this.#wait();
  }

  /** Replaces the function that is called when a limit passes. */
  onExpire(expire: () => void): void {
    this.#expire = expire;
  }

  /** Calls `task` once the peer's system has acknowledged all that the socket accepted. */
  whenAcknowledged(task: () => void, afterMs = SHORTEST_POLL_MS): void {
    if (this.#socket.unacknowledged === 0) task();
    // The system does not report that moment, so the watch polls for it, with growing pauses. Only connections that are
    // ending do this.
    else
      this.#cancelPoll = this.#loop.after(afterMs, () => {
        this.whenAcknowledged(task, Math.min(LONGEST_POLL_MS, afterMs * 2));
      });
  }

  stop(): void {
    this.#cancel();
    this.#cancelPoll();
  }

  /** The moment at which the first limit passes, unless the peer acknowledges more before. */
  #endsAt(): number {
    const { timeoutMs, idleMs, minBytesPerSecond } = this.#limits;
    const takenMs =
      minBytesPerSecond === 0 ? Infinity : ((this.#taken - this.#takenBefore) / minBytesPerSecond) * 1_000;
    return Math.min(this.#startedAt + timeoutMs, this.#progressAt + idleMs, this.#startedAt + idleMs + takenMs);
  }

  #wait(): void {
    const left = this.#endsAt() - this.#loop.now();
    this.#cancel = this.#loop.after(Math.max(0, Math.min(left, this.#limits.idleMs / LOOKS_PER_IDLE_LIMIT)), () => {
      this.#look();
    });
  }

  #look(): void {
    const now = this.#loop.now();
    const { acknowledged } = this.#socket;
    if (acknowledged > this.#taken) {
      this.#taken = acknowledged;
      this.#progressAt = now;
    }
    if (now < this.#endsAt()) {
      this.#wait();
      return;
    }
    this.stop();
    this.expired = true;
    this.#expire();
  }
}

const CLOSE_MS = 30_000;
const IDLE_MS = 2_000;
// The minimum rate of Microsoft's Kestrel and IIS. It is far below the speed of any link in use.
const BYTES_PER_SECOND = 240;
// The idle limit is exact to a quarter of itself, at the cost of four system calls in that time.
const LOOKS_PER_IDLE_LIMIT = 4;
const SHORTEST_POLL_MS = 1;
const LONGEST_POLL_MS = 100;
