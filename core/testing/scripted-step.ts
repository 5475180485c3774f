/** A step that follows a script and records its calls. */

import type { OperationName, Progress } from '../errors.ts';
import type { Step } from '../operation.ts';
import { WANT_READ } from '../want.ts';
import type { StepCode, YIELD } from '../want.ts';

/** What one attempt does: it returns a code, throws an error, or returns the result of a function. */
export type Attempt = StepCode | typeof YIELD | Error | (() => StepCode | typeof YIELD);

/** A step whose attempts follow a list. After its end, each attempt wants to read. */
export class ScriptedStep implements Step<string> {
  readonly name: OperationName = 'receive';
  /** How many attempts were made. */
  attempts = 0;
  /** The argument of each call of {@link release}. */
  readonly released: boolean[] = [];
  /** How often {@link handOver} was called. */
  handovers = 0;
  /** The result of the step, also when a timeout ends it. If it is undefined, a timeout fails the operation. */
  resultAtTimeout: string | undefined;
  /** The progress of the step. */
  position = 0;
  readonly #attempts: Attempt[];

  constructor(...attempts: Attempt[]) {
    this.#attempts = attempts;
  }

  /** Appends attempts to the list. */
  plan(...attempts: Attempt[]): void {
    this.#attempts.push(...attempts);
  }

  attempt(): StepCode | typeof YIELD {
    this.attempts++;
    const attempt = this.#attempts.shift() ?? WANT_READ;
    if (attempt instanceof Error) throw attempt;
    return typeof attempt === 'function' ? attempt() : attempt;
  }

  result(): string {
    return this.resultAtTimeout ?? 'result';
  }

  progress(): number {
    return this.position;
  }

  handOver(): Progress {
    this.handovers++;
    return { partial: new Uint8Array([1, 2, 3]) };
  }

  timedOut(): boolean {
    return this.resultAtTimeout !== undefined;
  }

  release(failed: boolean): void {
    this.released.push(failed);
  }
}
