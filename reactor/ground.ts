/** The platform of a reactor: real descriptors and time, or simulated ones. */

import type { Clock } from '../core/clock.ts';
import { func, partWith, required } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import type { Address } from './addresses/address.ts';
import type { Selector } from './selector.ts';
import type { SystemCalls } from './system-calls.ts';

/** Everything that one reactor needs from its platform. All other code of the reactor is the same on every platform. */
export interface Ground {
  readonly clock: Clock;
  readonly selector: Selector;
  readonly calls: SystemCalls;
  /**
   * Looks up the addresses of a name.
   * @param host in A-labels and lower case. It ends with a dot if the caller gave one.
   * @param signal aborted when the answer is no longer needed.
   * @throws {SystemError} when the name has no address.
   */
  lookUp(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]>;
  /** Runs `task` soon, in a macrotask of its own, so that pending continuations of promises run before it. */
  defer(task: () => void): void;
  /**
   * Runs `task` when the clock has reached `at`. The wait does not keep the process alive.
   * @returns a function that cancels it.
   */
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
