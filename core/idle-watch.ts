/** A limit on the time without any activity. */

import type { TimeSource } from './clock.ts';

/**
 * Expires when there was no activity for `idleMs`. Activity costs no timer: the watch only checks again at the earliest
 * moment at which the limit could have passed.
 */
export class IdleWatch {
  readonly #time: TimeSource;
  readonly #idleMs: number;
  readonly #lastAt: () => number;
  readonly #expire: () => void;
  #cancel: () => void = () => undefined;

  /**
   * @param idleMs in milliseconds; `Infinity` for no limit.
   * @param lastAt returns the moment of the last activity, by the clock of `time`.
   * @param expire called once, unless {@link stop} is called before.
   */
  constructor(time: TimeSource, idleMs: number, lastAt: () => number, expire: () => void) {
    this.#time = time;
    this.#idleMs = idleMs;
    this.#lastAt = lastAt;
    this.#expire = expire;
    this.#wait(idleMs);
  }

  stop(): void {
    this.#cancel();
  }

  #wait(ms: number): void {
    this.#cancel = this.#time.after(ms, () => {
      const left = this.#lastAt() + this.#idleMs - this.#time.now();
      if (left > 0) this.#wait(left);
      else this.#expire();
    });
  }
}
