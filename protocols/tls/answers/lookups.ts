/** How a handshake waits for an answer of the application or of a session store. */

import type { TimeSource } from '../../../core/clock.ts';

/** The look-ups of one connection: their clock, their timer, and the callback that continues the handshake. */
export class Lookups implements TimeSource {
  /** A transport without a connection uses the process's clock. */
  time: TimeSource = PROCESS_TIME;
  /** Called when an answer has arrived. */
  onAnswered: () => void = () => undefined;
  /** Cancels the timer of the latest look-up. */
  #cancel: (() => void) | undefined;
  #isClosed = false;

  now(): number {
    return this.time.now();
  }

  after(ms: number, task: () => void): () => void {
    return (this.#cancel = this.time.after(ms, task));
  }

  /** Continues the handshake, because an answer has arrived. */
  wake(): void {
    // The connection may have been closed before the answer arrived.
    if (!this.#isClosed) this.onAnswered();
  }

  /** Cancels the timer. Later answers wake nothing. */
  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }
}

const PROCESS_TIME: TimeSource = {
  now: () => performance.now(),
  after: (ms, wake) => {
    const timer = setTimeout(wake, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};
