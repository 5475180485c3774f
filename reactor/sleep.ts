/** The step of `sleep`. */

import { DONE, WANT_READ } from '../core/want.ts';
import type { StepCode } from '../core/want.ts';
import type { LoopStep } from './loop.ts';

/** Succeeds when the total limit of its operation has passed. */
export class SleepStep implements LoopStep<undefined> {
  readonly name = 'sleep';
  #isOver = false;

  runsIn(): void {
    // Only the deadline ends it, so there is nothing to wake.
  }

  attempt(): StepCode {
    return this.#isOver ? DONE : WANT_READ;
  }

  result(): undefined {
    return undefined;
  }

  progress(): number {
    return 0;
  }

  timedOut(): boolean {
    return (this.#isOver = true);
  }
}
