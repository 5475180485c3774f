/** A store that is asked within a deadline, and not at all while it is out of order. */

import PQueue from 'p-queue';

import type { TimeSource } from '../../../core/clock.ts';
import { isThenable } from '../thenable.ts';
import type { ResumptionMiss } from './resumption.ts';

/** What a store answered, or why it did not. */
export type StoreAnswer<T> = { readonly value: T } | { readonly miss: ResumptionMiss };

/** How the store fared. */
export interface StoreStatistics {
  readonly saved: number;
  /** Values that were not saved, because the store failed or had too much to do. */
  readonly lost: number;
  readonly failures: number;
  /** Whether the store is being left alone. */
  readonly resting: boolean;
}

/** Stands between handshakes and a store: whatever the store does, they go on in time. */
export class StoreGuard {
  readonly #lookupMs: number;
  /** What the store does with questions, and with what it is to keep: one that is full still answers. */
  readonly #asking = new Health();
  readonly #saving = new Health();
  readonly #saves = new PQueue({ concurrency: SAVES_AT_ONCE, timeout: SAVE_MS });
  #saved = 0;
  #lost = 0;
  #failures = 0;

  /** @param lookupMs how long a question may take, in milliseconds. */
  constructor(lookupMs: number) {
    this.#lookupMs = lookupMs;
  }

  /** Asks; answers at once when the store does. It never fails; what comes too late is nobody's. */
  ask<T>(question: () => T | Promise<T>, time: TimeSource): StoreAnswer<T> | Promise<StoreAnswer<T>> {
    const askedAt = time.now();
    if (this.#asking.isResting(askedAt)) return { miss: 'store resting' };
    const answered = (value: T): StoreAnswer<T> => {
      this.#asking.succeeded();
      return { value };
    };
    const failed = (miss: ResumptionMiss): StoreAnswer<T> => {
      this.#failures++;
      this.#asking.failed(askedAt, time.now());
      return { miss };
    };
    let answer;
    try {
      answer = question();
    } catch {
      return failed('store failed');
    }
    if (!isThenable(answer)) return answered(answer);
    return new Promise((resolve) => {
      let isLate = false;
      const cancel = time.after(this.#lookupMs, () => {
        isLate = true;
        resolve(failed('store late'));
      });
      answer.then(
        (value) => {
          if (isLate) return;
          cancel();
          resolve(answered(value));
        },
        () => {
          if (isLate) return;
          cancel();
          resolve(failed('store failed'));
        },
      );
    });
  }

  /**
   * Saves, in its own time;
   * @returns when that is done or given up, or `undefined` when it is not even tried. It never fails.
   */
  save(save: () => Promise<void> | void, time: TimeSource): Promise<void> | undefined {
    const saved = this.#later(save, time);
    if (saved === undefined) this.#lost++;
    return saved?.then((isSaved) => {
      if (isSaved) this.#saved++;
      else this.#lost++;
    });
  }

  /**
   * Removes what is not to be found any more, in its own time; `undefined` when the store has too much to do. It never
   * fails.
   */
  erase(remove: () => Promise<void> | void, time: TimeSource): Promise<boolean> | undefined {
    return this.#later(remove, time);
  }

  /** @returns whether it succeeds, when that is known; `undefined` when it is not even tried. */
  #later(task: () => Promise<void> | void, time: TimeSource): Promise<boolean> | undefined {
    if (this.#saves.size >= SAVES_WAITING || this.#saving.isResting(time.now()) || this.#asking.isResting(time.now()))
      return undefined;
    let begunAt = time.now();
    return this.#saves
      .add(async () => {
        begunAt = time.now();
        await task();
      })
      .then(
        () => {
          this.#saving.succeeded();
          return true;
        },
        () => {
          this.#failures++;
          this.#saving.failed(begunAt, time.now());
          return false;
        },
      );
  }

  /** Something was not saved that never came to the store. */
  lose(): void {
    this.#lost++;
  }

  /** Resolves when nothing is being saved. */
  async idle(): Promise<void> {
    await this.#saves.onIdle();
  }

  statistics(now: number): StoreStatistics {
    return {
      saved: this.#saved,
      lost: this.#lost,
      failures: this.#failures,
      resting: this.#asking.isResting(now) || this.#saving.isResting(now),
    };
  }
}

/** How one kind of request fares, and whether the store is left alone with it for a while. Times in milliseconds. */
class Health {
  /** Failures since the last success. */
  #failuresInRow = 0;
  #restsFrom = -Infinity;
  #restsUntil = -Infinity;

  isResting(now: number): boolean {
    return now < this.#restsUntil;
  }

  succeeded(): void {
    this.#failuresInRow = 0;
  }

  failed(begunAt: number, now: number): void {
    // Many that were under way fail together, and tell no more than one.
    if (begunAt <= this.#restsFrom || ++this.#failuresInRow < FAILURES_TO_REST) return;
    this.#restsFrom = now;
    this.#restsUntil = now + Math.min(REST_AT_MOST_MS, REST_MS * 2 ** (this.#failuresInRow - FAILURES_TO_REST));
  }
}

const SAVES_AT_ONCE = 64;
const SAVES_WAITING = 4096;
// Of the system's clock: a save is nobody's, and what is under way must not hold up those behind it for ever.
const SAVE_MS = 10_000;
const FAILURES_TO_REST = 5;
const REST_MS = 1_000;
const REST_AT_MOST_MS = 60_000;
