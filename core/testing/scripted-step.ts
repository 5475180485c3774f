/** A step that answers what it is told to, and keeps account of how it is used. */

import type { OperationName, Progress } from '../errors.ts';
import type { Step } from '../operation.ts';
import { WANT_READ } from '../want.ts';
import type { StepCode, YIELD } from '../want.ts';

/** What one attempt does: it answers with a code, throws, or runs a function that answers. */
export type Attempt = StepCode | typeof YIELD | Error | (() => StepCode | typeof YIELD);

/** A step without work: a list says what its attempts meet; after the last, they want to read. */
export class ScriptedStep implements Step<string> {
  readonly name: OperationName = 'receive';
  /** How many attempts were made. */
  attempts = 0;
  /** What {@link release} was told, each time. */
  readonly released: boolean[] = [];
  /** How often the achievements were handed over. */
  handovers = 0;
  /** The result to give when a limit passes; without one the operation fails. */
  resultAtTimeout: string | undefined;
  /** How far the step has come. */
  position = 0;
  readonly #attempts: Attempt[];

  constructor(...attempts: Attempt[]) {
    this.#attempts = attempts;
  }

  /** Lets the attempts to come meet this. */
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
