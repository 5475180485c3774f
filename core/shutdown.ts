/** The step of a shutdown: half-closes this side, waits for the peer's half-close, or both. */

import type { Inflow } from './inflow.ts';
import type { Step } from './operation.ts';
import type { Outflow } from './outflow.ts';
import { DONE, END } from './want.ts';
import type { StepCode } from './want.ts';

/** A direction of a connection, which can end while the other stays open; or both. */
export type Direction = 'send' | 'receive' | 'both';

/**
 * `'send'` tells the peer that nothing more will be sent. `'receive'` waits until the peer says so, and drops the data
 * that still come, up to a bound. `'both'` does the one, then the other.
 */
export class ShutdownStep implements Step<void> {
  readonly name = 'shutdown';
  readonly #inflow: Inflow;
  readonly #outflow: Outflow;
  readonly #direction: Direction;
  readonly #completesHandshake: boolean;
  #dropped = 0;

  /**
   * @param completesHandshake whether to complete an unfinished handshake first. TLS cannot send a close_notify before
   * the handshake is complete.
   */
  constructor(inflow: Inflow, outflow: Outflow, direction: Direction, completesHandshake = true) {
    this.#inflow = inflow;
    this.#outflow = outflow;
    this.#direction = direction;
    this.#completesHandshake = completesHandshake;
  }

  attempt(): StepCode {
    const { transport } = this.#outflow;
    if (this.#completesHandshake) {
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
    // A shutdown has no result.
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

// Enough for the data that a normal peer has on their way when it learns of the half-close.
const DROPPED_AT_MOST = 256 * 1024;
