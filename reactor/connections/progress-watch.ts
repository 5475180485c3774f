/** Whether a peer still takes what it was sent, and how long it may take its time. */

import { checkOptions, group, milliseconds, number } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { limit } from '../../core/timeouts.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import type { Loop } from '../loop.ts';

/** How long a connection may take to end. It ends by whichever limit passes first; then what is left is given up. */
export interface ConnectionCloseOptions {
  /** The longest that it may take altogether, in milliseconds; 30 seconds unless given. */
  readonly timeoutMs?: number | undefined;
  /** The longest that the peer may take nothing, in milliseconds; 2 seconds unless given. */
  readonly idleMs?: number | undefined;
  /**
   * The lowest rate, in bytes per second since the end began, at which a peer must take what is left; it holds after
   * `idleMs`. 240 unless given, 0 for none.
   */
  readonly minBytesPerSecond?: number | undefined;
}

const rate = number('a number of bytes per second of at least 0', (value) => value >= 0);
export const CLOSE_RULES = {
  timeoutMs: milliseconds,
  idleMs: milliseconds,
  minBytesPerSecond: rate,
} satisfies Rules<ConnectionCloseOptions>;
/** The limits of a close in the place of an option. */
export const closeRule = group(CLOSE_RULES);

/** The same, checked and complete. */
export interface CloseLimits {
  readonly timeoutMs: number;
  readonly idleMs: number;
  readonly minBytesPerSecond: number;
}

/** @throws {TypeError | RangeError} when a limit is no number, or the rate is negative. */
export function closeLimits(options: ConnectionCloseOptions = {}): CloseLimits {
  checkOptions('close', options, CLOSE_RULES);
  const { timeoutMs = CLOSE_MS, idleMs = IDLE_MS, minBytesPerSecond = BYTES_PER_SECOND } = options;
  return { timeoutMs: limit(timeoutMs, 'timeoutMs'), idleMs: limit(idleMs, 'idleMs'), minBytesPerSecond };
}

/**
 * Watches a socket that is ending. Progress is bytes that the peer's system has acknowledged, because a full kernel
 * buffer hides a slow reader: the socket looks idle while megabytes are on their way. What the peer sends is no
 * progress.
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

  /** Calls `expire` from now on, instead of what it was made with. */
  onExpire(expire: () => void): void {
    this.#expire = expire;
  }

  /** Calls `task` once the peer's system has acknowledged all that the socket accepted. */
  whenAcknowledged(task: () => void, afterMs = SHORTEST_POLL_MS): void {
    if (this.#socket.unacknowledged === 0) task();
    // The system does not tell that moment: it is asked again and again, while a connection is broken off and for no
    // others.
    else
      this.#cancelPoll = this.#loop.after(afterMs, () => {
        this.whenAcknowledged(task, Math.min(LONGEST_POLL_MS, afterMs * 2));
      });
  }

  stop(): void {
    this.#cancel();
    this.#cancelPoll();
  }

  /** The moment at which the first of the limits passes, unless the peer takes more until then. */
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
// What Microsoft's Kestrel and IIS ask of a reader; far below any link that somebody waits at.
const BYTES_PER_SECOND = 240;
// So the idle limit is kept to a quarter of itself, at four system calls in it.
const LOOKS_PER_IDLE_LIMIT = 4;
const SHORTEST_POLL_MS = 1;
const LONGEST_POLL_MS = 100;
