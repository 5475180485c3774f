/** Shutdown as a step: a goodbye said, heard, or both. */

import type { Inflow } from './inflow.ts';
import type { Step } from './operation.ts';
import type { Outflow } from './outflow.ts';
import { DONE, END } from './want.ts';
import type { StepCode } from './want.ts';

/** A side of a connection that can end while the other goes on. */
export type Direction = 'send' | 'receive' | 'both';

/**
 * `'send'` says that nothing more will be sent. `'receive'` waits until the peer has said so and drops what still
 * comes, up to a bound. `'both'` does one after the other.
 */
export class ShutdownStep implements Step<void> {
  readonly name = 'shutdown';
  readonly #inflow: Inflow;
  readonly #outflow: Outflow;
  readonly #direction: Direction;
  readonly #shakesHands: boolean;
  #dropped = 0;

  /**
   * @param shakesHands whether a handshake that is not complete is completed first; without it there is nothing to say
   * goodbye in.
   */
  constructor(inflow: Inflow, outflow: Outflow, direction: Direction, shakesHands = true) {
    this.#inflow = inflow;
    this.#outflow = outflow;
    this.#direction = direction;
    this.#shakesHands = shakesHands;
  }

  attempt(): StepCode {
    const { transport } = this.#outflow;
    if (this.#shakesHands) {
      const code = transport.handshake();
      if (code !== DONE) return code;
    }
    if (this.#direction !== 'receive') {
      const code = transport.shutdown();
      if (code !== DONE) return code;
    }
    return this.#direction === 'send' ? DONE : this.#drop();
  }

  result(): void {
    // There is nothing to tell but that it is done.
  }

  progress(): number {
    return this.#dropped;
  }

  #drop(): StepCode {
    const { input } = this.#inflow;
    while (this.#dropped < DROPPED_AT_MOST) {
      const count = this.#inflow.pull();
      input.clear();
      if (count === END) return DONE;
      if (count < 0) return count as StepCode;
      this.#dropped += count;
    }
    return DONE;
  }
}

// Enough for what a decent peer has on its way when it learns of the goodbye.
const DROPPED_AT_MOST = 256 * 1024;
