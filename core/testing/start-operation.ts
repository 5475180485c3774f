/** Starts an operation over a scripted step in a manual venue. */

import { Operation } from '../operation.ts';
import type { Timeouts } from '../timeouts.ts';
import { ManualVenue } from './manual-venue.ts';
import { ScriptedStep } from './scripted-step.ts';
import type { Attempt } from './scripted-step.ts';

/** A started operation with its step and venue. */
export interface Started {
  readonly operation: Operation<string>;
  readonly step: ScriptedStep;
  readonly venue: ManualVenue;
}

/** The options of {@link start}. */
export interface Start {
  readonly timeouts?: Timeouts;
  readonly signal?: AbortSignal;
  /** Whether the venue allows no more starts in this turn. */
  readonly exhausted?: boolean;
}

/** Starts an operation at the moment 1000. Its step follows `attempts`. */
export function start(attempts: Attempt[], { timeouts = {}, signal, exhausted = false }: Start = {}): Started {
  const venue = new ManualVenue(1_000);
  venue.exhausted = exhausted;
  const step = new ScriptedStep(...attempts);
  return { operation: new Operation(step, venue, timeouts, signal).start(), step, venue };
}

/** @returns the error of `operation`, or `undefined` if it succeeds. */
export function failureOf(operation: Operation<string>): Promise<unknown> {
  return operation.then(
    () => undefined,
    (reason: unknown) => reason,
  );
}
