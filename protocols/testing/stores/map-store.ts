/** The simplest store: a `Map` whose answers the test can delay or change. */

import type { TakingSessionStore } from '../../stores/store.ts';

/** Answers a turn later, at once, or wrongly, as the test chooses. */
export class MapStore implements TakingSessionStore {
  readonly values = new Map<string, Uint8Array>();
  readonly #answer: <T>(value: T) => T | Promise<T>;
  asked = 0;

  /** @param answer wraps each answer; by default the answer comes a turn later. */
  constructor(
    answer: <T>(value: T) => T | Promise<T> = (value) =>
      new Promise((resolve) => {
        setImmediate(resolve, value);
      }),
  ) {
    this.#answer = answer;
  }

  get(key: string): Promise<Uint8Array | undefined> | Uint8Array | undefined {
    this.asked++;
    return this.#answer(this.values.get(key));
  }

  take(key: string): Promise<Uint8Array | undefined> | Uint8Array | undefined {
    this.asked++;
    const value = this.values.get(key);
    this.values.delete(key);
    return this.#answer(value);
  }

  set(key: string, value: Uint8Array): Promise<void> | void {
    this.values.set(key, value);
    return this.#answer(undefined);
  }

  remove(key: string): void {
    this.values.delete(key);
  }
}
