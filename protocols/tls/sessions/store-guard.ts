/** Limits how long handshakes wait for a store, and leaves a failing store alone for a while. */

import PQueue from 'p-queue';

import type { TimeSource } from '../../../core/clock.ts';
import { isThenable } from '../thenable.ts';
import type { ResumptionMiss } from './resumption.ts';

/** The answer of a store, or why there is none. */
export type StoreAnswer<T> = { readonly value: T } | { readonly miss: ResumptionMiss };

/** Counts of a store's successes and failures. */
export interface StoreStatistics {
  /** Values that were saved. */
  readonly saved: number;
  /** Values that were not saved, because the store failed, was resting, or had too many saves under way. */
  readonly lost: number;
  /** Requests that failed or were too late. */
  readonly failures: number;
  /** Whether the store is not used for a while, because it has failed too often. */
  readonly resting: boolean;
}

/** Stands between handshakes and a store, so that a slow or failing store cannot hold up a handshake. */
export class StoreGuard {
  readonly #lookupMs: number;
  /** Reads and writes are judged separately: a store that is full can still answer reads. */
  readonly #asking = new Health();
  readonly #saving = new Health();
  readonly #saves = new PQueue({ concurrency: SAVES_AT_ONCE, timeout: SAVE_MS });
  #saved = 0;
  #lost = 0;
  #failures = 0;

  /** @param lookupMs how long a look-up may take, in milliseconds. */
  constructor(lookupMs: number) {
    this.#lookupMs = lookupMs;
  }

  /**
   * Asks the store. The answer is synchronous when the store's is. It never throws or rejects. An answer after the
   * deadline is ignored.
   */
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
   * Saves in the background. It never throws or rejects.
   * @returns a Promise that resolves when the save has succeeded or failed; `undefined` when it is not tried because
   * the store rests or has too many tasks.
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
   * Removes in the background. It never throws or rejects.
   * @returns whether it succeeded; `undefined` when it is not tried because the store rests or has too many tasks.
   */
  erase(remove: () => Promise<void> | void, time: TimeSource): Promise<boolean> | undefined {
    return this.#later(remove, time);
  }

  /** @returns whether the task succeeds; `undefined` when it is not tried. */
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

  /** Counts a value that was lost before the store was asked. */
  lose(): void {
    this.#lost++;
  }

  /** Resolves when no task is under way. */
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

/** Counts the failures of one kind of request, and decides when the store rests. Times in milliseconds. */
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
    // Requests that began before the rest often fail together; they do not count as further failures.
    if (begunAt <= this.#restsFrom || ++this.#failuresInRow < FAILURES_TO_REST) return;
    this.#restsFrom = now;
    this.#restsUntil = now + Math.min(REST_AT_MOST_MS, REST_MS * 2 ** (this.#failuresInRow - FAILURES_TO_REST));
  }
}

const SAVES_AT_ONCE = 64;
const SAVES_WAITING = 4096;
// By the system's clock: no operation waits for a save. Without a limit, a save that hangs would block those behind it.
const SAVE_MS = 10_000;
const FAILURES_TO_REST = 5;
const REST_MS = 1_000;
const REST_AT_MOST_MS = 60_000;
