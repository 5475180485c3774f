/** A store that is asked within a deadline, and not at all while it is out of order. */

import PQueue from 'p-queue';

import { isThenable } from '../thenable.ts';
import type { ResumptionMiss } from './resumption.ts';

/** What time it is, and how to be woken: the reactor's, virtual in a simulation. */
export interface TimeSource {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `wake` after `ms` milliseconds; @returns how to cancel that. */
  after(ms: number, wake: () => void): () => void;
}

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
  readonly #saves = new PQueue({ concurrency: SAVES_AT_ONCE });
  #saved = 0;
  #lost = 0;
  #failures = 0;
  /** Failures since the last success. */
  #failuresInRow = 0;
  #restsUntil = -Infinity;

  /** @param lookupMs how long a question may take, in milliseconds. */
  constructor(lookupMs: number) {
    this.#lookupMs = lookupMs;
  }

  /** Asks; answers at once when the store does. It never fails. @param late gets what comes when nobody waits any more. */
  ask<T>(question: () => T | Promise<T>, time: TimeSource, late?: (value: T) => void): StoreAnswer<T> | Promise<StoreAnswer<T>> {
    if (this.isResting(time.now())) return { miss: 'store resting' };
    let answer;
    try {
      answer = question();
    } catch {
      return this.#failed('store failed', time);
    }
    if (!isThenable(answer)) return this.#answered(answer);
    return new Promise((resolve) => {
      let isLate = false;
      const cancel = time.after(this.#lookupMs, () => {
        isLate = true;
        resolve(this.#failed('store late', time));
      });
      answer.then((value) => {
        if (isLate) {
          late?.(value);
          return;
        }
        cancel();
        resolve(this.#answered(value));
      }, () => {
        if (isLate) return;
        cancel();
        resolve(this.#failed('store failed', time));
      });
    });
  }

  /** Saves, in its own time; @returns when that is done or given up, or `undefined` when it is not even tried. It never fails. */
  save(save: () => Promise<void> | void, time: TimeSource): Promise<void> | undefined {
    if (this.#saves.size >= SAVES_WAITING || this.isResting(time.now())) {
      this.#lost++;
      return undefined;
    }
    return this.#saves.add(async () => {
      try {
        await save();
        this.#saved++;
      } catch {
        this.#lost++;
        this.#failed('store failed', time);
      }
    });
  }

  /** Something was not saved that never came to the store. */
  lose(): void {
    this.#lost++;
  }

  isResting(now: number): boolean {
    return now < this.#restsUntil;
  }

  /** Resolves when nothing is being saved. */
  async idle(): Promise<void> {
    await this.#saves.onIdle();
  }

  statistics(now: number): StoreStatistics {
    return { saved: this.#saved, lost: this.#lost, failures: this.#failures, resting: this.isResting(now) };
  }

  #answered<T>(value: T): StoreAnswer<T> {
    this.#failuresInRow = 0;
    return { value };
  }

  #failed(miss: ResumptionMiss, time: TimeSource): { readonly miss: ResumptionMiss } {
    this.#failures++;
    if (++this.#failuresInRow >= FAILURES_TO_REST) {
      this.#restsUntil = time.now() + Math.min(REST_AT_MOST_MS, REST_MS * 2 ** (this.#failuresInRow - FAILURES_TO_REST));
    }
    return { miss };
  }
}

const SAVES_AT_ONCE = 64;
const SAVES_WAITING = 4096;
const FAILURES_TO_REST = 5;
const REST_MS = 1_000;
const REST_AT_MOST_MS = 60_000;
