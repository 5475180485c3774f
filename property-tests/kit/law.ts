/** A law: a property over simulated runs, tried on many plans. */

import fc from 'fast-check';

import { lawFailure, placeOf } from './law-failure.ts';
import type { LawPlace } from './law-failure.ts';
import type { Simulation } from './simulate.ts';

/** A test runner, as laws see it. */
export interface LawRunner {
  /** Where the law stands that is tried now. */
  place(): LawPlace | undefined;
  /** Told when a law was tried: on how many plans, and how long that took. */
  tried(plans: number, ms: number): void;
}

/**
 * Lets laws say where they stand when they fail, and tells how they were tried. A test runner's setup file calls it.
 */
export function watchLaws(watcher: LawRunner): void {
  runner = watcher;
}

/**
 * Tries a property on `count` random plans, times `WANTIO_LAW_FACTOR`. After
 * `WANTIO_LAW_MS` milliseconds, or once `WANTIO_LAW_UNTIL` has passed (a moment as `Date.now` tells it), it begins
 * nothing more, but it never tries fewer than `count`.
 * @throws {Error} for the smallest plan that breaks it: the plan, the trace of its run as text and as a diagram
 * (written to `WANTIO_TRACE_DIR` if that is set), and the command that replays it. The cause is what the run threw.
 */
export async function checkLaw<P>(property: fc.IRawProperty<P>, count: number): Promise<void> {
  const { WANTIO_PATH: path, WANTIO_SEED: wantedSeed } = process.env;
  const { seed = wantedSeed === undefined ? Date.now() % 0x7fffffff : Number(wantedSeed) } = fc.readConfigureGlobal();
  const { stack } = new Error();
  const startedAt = performance.now();
  let plans = 0;
  const batch = async (settings: fc.Parameters<P>): Promise<void> => {
    const details = await fc.check(property, settings);
    plans += details.numRuns;
    if (details.failed) throw lawFailure(details, runner?.place() ?? placeOf(stack));
  };
  if (path !== undefined) await batch({ seed, path, endOnFailure: true, numRuns: 1 });
  else {
    const wanted = Math.max(1, Math.round(count * factor()));
    const untilMs = Number(process.env.WANTIO_LAW_UNTIL ?? Infinity) - Date.now();
    const endsAt = startedAt + Math.min(Number(process.env.WANTIO_LAW_MS ?? Infinity), untilMs);
    await batch({ seed, numRuns: Math.min(wanted, count) });
    // Small batches, so that time is looked at often; each has a seed of its own, so that its failure is replayed by
    // itself.
    const size = Math.ceil(count / 4);
    for (let next = seed + 1; plans < wanted && performance.now() < endsAt; next++)
      await batch({ seed: next, numRuns: Math.min(size, wanted - plans) });
  }
  runner?.tried(plans, performance.now() - startedAt);
}

/**
 * Tries `run` on random plans, as {@link checkLaw} does. A law about faults that met none proves nothing, so it fails
 * then.
 * @param count how many plans.
 * @param run one run; it returns the simulation, whose faults are counted.
 */
export async function tryLaw<P>(
  arbitrary: fc.Arbitrary<P>,
  count: number,
  run: (plan: P) => Promise<Simulation<unknown>>,
  needsFaults = true,
): Promise<void> {
  let faults = 0;
  await checkLaw(
    fc.asyncProperty(arbitrary, async (plan) => {
      faults += (await run(plan)).faultsInAll;
    }),
    count,
  );
  if (needsFaults && faults === 0 && !replaying()) throw new Error('not one fault happened: the law was not tried');
}

/** Whether one failing plan is replayed, and not the whole law: counts over all plans prove nothing then. */
export function replaying(): boolean {
  return process.env.WANTIO_PATH !== undefined;
}

/** What fast-check's `commands` need to replay a failing sequence. */
export function commandsReplay(): { replayPath?: string } {
  const { WANTIO_COMMANDS: replayPath } = process.env;
  return replayPath === undefined ? {} : { replayPath };
}

function factor(): number {
  return Number(process.env.WANTIO_LAW_FACTOR ?? 1);
}

let runner: LawRunner | undefined;
