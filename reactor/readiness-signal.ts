/** One kind of readiness of one connection, as an observable. */

import { Observable, Subject } from 'rxjs';

/**
 * Hot and shared. Interest is armed while anyone is subscribed; the value is a hint that a try may succeed, and nothing is
 * queued. Emissions that nobody answers with input or output are counted, so that a handler that spins can be told.
 */
export class ReadinessSignal {
  /** What subscribers see. */
  readonly observable: Observable<unknown>;
  readonly #subject = new Subject<unknown>();
  #unanswered = 0;

  /** @param arm called after each subscription, to look whether readiness is there already. */
  constructor(arm: () => void) {
    this.observable = new Observable<unknown>((subscriber) => {
      const subscription = this.#subject.subscribe(subscriber);
      this.#unanswered = 0;
      arm();
      return subscription;
    });
  }

  /** Whether readiness is to be told. */
  get armed(): boolean {
    return this.#subject.observed && this.#unanswered < UNANSWERED_AT_MOST;
  }

  /** Tells subscribers; @returns whether that was once too often without an answer. */
  emit(value: unknown): boolean {
    const spins = ++this.#unanswered === UNANSWERED_AT_MOST;
    this.#subject.next(value);
    return spins && this.#unanswered === UNANSWERED_AT_MOST;
  }

  /** Input or output was tried. */
  answered(): void {
    this.#unanswered = 0;
  }

  complete(): void {
    this.#subject.complete();
  }
}

// Well above what a handler that counts, logs or waits for a condition would let pass.
const UNANSWERED_AT_MOST = 64;
