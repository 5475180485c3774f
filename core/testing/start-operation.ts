/** Starts an operation over a scripted step in a manual venue. */

import { Operation } from '../operation.ts';
import type { Timeouts } from '../timeouts.ts';
import { ManualVenue } from './manual-venue.ts';
import { ScriptedStep } from './scripted-step.ts';
import type { Attempt } from './scripted-step.ts';

/** An operation and what it stands on. */
export interface Started {
  readonly operation: Operation<string>;
  readonly step: ScriptedStep;
  readonly venue: ManualVenue;
}

/** How it starts. */
export interface Start {
  readonly timeouts?: Timeouts;
  readonly signal?: AbortSignal;
  /** Whether its venue has done enough for this turn. */
  readonly exhausted?: boolean;
}

/** Starts an operation at the moment 1000 whose attempts meet `attempts`. */
export function start(attempts: Attempt[], { timeouts = {}, signal, exhausted = false }: Start = {}): Started {
  const venue = new ManualVenue(1_000);
  venue.exhausted = exhausted;
  const step = new ScriptedStep(...attempts);
  return { operation: new Operation(step, venue, timeouts, signal).start(), step, venue };
}

/** @returns why `operation` failed; `undefined` when it succeeded. */
export function failureOf(operation: Operation<string>): Promise<unknown> {
  return operation.then(
    () => undefined,
    (reason: unknown) => reason,
  );
}
