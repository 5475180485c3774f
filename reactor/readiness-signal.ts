/** One kind of readiness of one connection, as an observable. */

import { AsyncLocalStorage } from 'node:async_hooks';

import { Observable, Subject } from 'rxjs';
import type { Subscriber } from 'rxjs';

/**
 * Hot and shared. Interest is armed while anyone is subscribed; the value is a hint that a try may succeed, and nothing is
 * queued. Emissions that nobody answers with input or output are counted, so that a handler that spins can be told.
 */
export class ReadinessSignal {
  /** What subscribers see. */
  readonly observable: Observable<unknown>;
  readonly #subject = new Subject<unknown>();
  readonly #arm: () => void;
  #unanswered = 0;

  /** @param arm called whenever telling begins, to look whether readiness is there already. */
  constructor(arm: () => void) {
    this.#arm = arm;
    this.observable = new Observable<unknown>((subscriber) => {
      // Handlers see the AsyncLocalStorage of their subscription, not of whatever made the connection ready.
      const inContext = AsyncLocalStorage.snapshot();
      const subscription = this.#subject.subscribe({
        next: (value) => {
          inContext(tell, subscriber, value);
        },
        complete: () => {
          subscriber.complete();
        },
      });
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
    const disarmed = this.#unanswered >= UNANSWERED_AT_MOST;
    this.#unanswered = 0;
    if (disarmed && this.#subject.observed) this.#arm();
  }

  complete(): void {
    this.#subject.complete();
  }
}

function tell(subscriber: Subscriber<unknown>, value: unknown): void {
  subscriber.next(value);
}

// Well above what a handler that counts, logs or waits for a condition would let pass.
const UNANSWERED_AT_MOST = 64;
