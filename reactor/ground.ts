/** What a reactor stands on: real descriptors and time, or simulated ones. */

import type { Clock } from '../core/clock.ts';
import { func, partWith, required } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import type { Address } from './addresses/address.ts';
import type { Selector } from './selector.ts';
import type { SystemCalls } from './system-calls.ts';

/** The seams of one reactor, bundled. Everything above is the same code on every ground. */
export interface Ground {
  readonly clock: Clock;
  readonly selector: Selector;
  readonly calls: SystemCalls;
  /**
   * Finds the addresses of a name.
   * @param host in A-labels and lower case, with a dot at its end where one was given.
   * @param signal when it is aborted nobody waits for the answer any more.
   * @throws {SystemError} when there is none.
   */
  lookUp(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]>;
  /** Runs `task` soon, outside of any handler, after the continuations of whatever runs now. */
  defer(task: () => void): void;
  /** Runs `task` once the clock has reached `at`; @returns how to cancel it. It does not keep the process alive. */
  wakeAt(at: number, task: () => void): () => void;
}

export const GROUND_RULES = {
  clock: required(partWith('a clock', 'now')),
  selector: required(partWith('a selector', 'register', 'poll')),
  calls: required(partWith('system calls', 'recv', 'send')),
  lookUp: required(func),
  defer: required(func),
  wakeAt: required(func),
} satisfies Rules<Ground>;
