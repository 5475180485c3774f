/** One kind of readiness of one connection, as an observable. */

import { AsyncResource } from 'node:async_hooks';

import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';

/** The owner of a readiness signal. */
export interface SignalOwner {
  /** Called when an observer begins to wait: checks whether the readiness is there already. */
  armed(): void;
}

/**
 * Hot and shared by all subscribers. A value is a hint that a try may succeed; values are not queued. The signal is
 * armed while it has a subscriber. It counts the emissions after which no subscriber did input or output: at a limit,
 * a handler spins, and the signal is disarmed until the next input or output.
 *
 * A server has one for each connection. So the class keeps the subscribers itself, which takes less memory than a
 * Subject.
 */
export class ReadinessSignal {
  readonly #owner: SignalOwner;
  #listeners: readonly ReadinessSubscriber[] = [];
  #unanswered = 0;
  #complete = false;

  constructor(owner: SignalOwner) {
    this.#owner = owner;
  }

  /** The observable for subscribers. */
  get observable(): Observable<unknown> {
    return new Observable<unknown>((subscriber) => {
      if (this.#complete) {
        subscriber.complete();
        return undefined;
      }
      const listener = new ReadinessSubscriber(subscriber);
      this.#listeners = [...this.#listeners, listener];
      this.#unanswered = 0;
      this.#owner.armed();
      return () => {
        this.#listeners = this.#listeners.filter((each) => each !== listener);
      };
    });
  }

  /** Whether readiness is to be emitted. */
  get armed(): boolean {
    return this.#listeners.length > 0 && this.#unanswered < UNANSWERED_AT_MOST;
  }

  /** Emits `value`. @returns whether this emission has reached the limit of those without input or output. */
  emit(value: unknown): boolean {
    const spins = ++this.#unanswered === UNANSWERED_AT_MOST;
    // Subscribing and unsubscribing replace the list, so this loop runs over the old one.
    for (const listener of this.#listeners) listener.next(value);
    return spins && this.#unanswered === UNANSWERED_AT_MOST;
  }

  /** Called when input or output was tried. */
  answered(): void {
    const disarmed = this.#unanswered >= UNANSWERED_AT_MOST;
    this.#unanswered = 0;
    if (disarmed && this.#listeners.length > 0) this.#owner.armed();
  }

  complete(): void {
    this.#complete = true;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener.complete();
  }
}

/**
 * A subscriber. It is called in the asynchronous context of its subscription, not in that of the code that made the
 * connection ready.
 */
class ReadinessSubscriber extends AsyncResource {
  readonly #subscriber: Subscriber<unknown>;

  constructor(subscriber: Subscriber<unknown>) {
    super('wantio.readiness', { requireManualDestroy: true });
    this.#subscriber = subscriber;
  }

  next(value: unknown): void {
    this.runInAsyncScope(next, this.#subscriber, value);
  }

  complete(): void {
    this.#subscriber.complete();
  }
}

function next(this: Subscriber<unknown>, value: unknown): void {
  this.next(value);
}

// A handler that only counts, logs or waits for a condition stays below this number.
const UNANSWERED_AT_MOST = 64;
