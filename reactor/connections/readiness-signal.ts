/** One kind of readiness of one connection, as an observable. */

import { AsyncResource } from 'node:async_hooks';

import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';

/** Whose readiness it is. */
export interface SignalOwner {
  /** Looks whether readiness is there already, for somebody who has just begun to wait for it. */
  armed(): void;
}

/**
 * Hot and shared. Interest is armed while anyone is subscribed; the value is a hint that a try may succeed, and nothing
 * is queued. Emissions that nobody answers with input or output are counted, so that a handler that spins can be told.
 *
 * A server has one for each connection: it keeps the subscribers itself, which takes less memory than a Subject.
 */
export class ReadinessSignal {
  readonly #owner: SignalOwner;
  #listeners: readonly Listener[] = [];
  #unanswered = 0;
  #complete = false;

  constructor(owner: SignalOwner) {
    this.#owner = owner;
  }

  /** What subscribers see. */
  get observable(): Observable<unknown> {
    return new Observable<unknown>((subscriber) => {
      if (this.#complete) {
        subscriber.complete();
        return undefined;
      }
      const listener = new Listener(subscriber);
      this.#listeners = [...this.#listeners, listener];
      this.#unanswered = 0;
      this.#owner.armed();
      return () => {
        this.#listeners = this.#listeners.filter((each) => each !== listener);
      };
    });
  }

  /** Whether readiness is to be told. */
  get armed(): boolean {
    return this.#listeners.length > 0 && this.#unanswered < UNANSWERED_AT_MOST;
  }

  /** Tells subscribers; @returns whether that was once too often without an answer. */
  emit(value: unknown): boolean {
    const spins = ++this.#unanswered === UNANSWERED_AT_MOST;
    // Whoever subscribes or leaves meanwhile makes a new list.
    for (const listener of this.#listeners) listener.tell(value);
    return spins && this.#unanswered === UNANSWERED_AT_MOST;
  }

  /** Input or output was tried. */
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
 * A subscriber, called in the asynchronous context of its subscription and not of whatever made the connection ready.
 */
class Listener extends AsyncResource {
  readonly #subscriber: Subscriber<unknown>;

  constructor(subscriber: Subscriber<unknown>) {
    super('wantio.readiness', { requireManualDestroy: true });
    this.#subscriber = subscriber;
  }

  tell(value: unknown): void {
    this.runInAsyncScope(next, this.#subscriber, value);
  }

  complete(): void {
    this.#subscriber.complete();
  }
}

function next(this: Subscriber<unknown>, value: unknown): void {
  this.next(value);
}

// Well above what a handler that counts, logs or waits for a condition would let pass.
const UNANSWERED_AT_MOST = 64;
