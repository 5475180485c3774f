/** Laws: properties of simulated runs that are tried on many random plans. */

import fc from 'fast-check';

import { lawFailure, placeOf } from './law-failure.ts';
import type { LawPlace } from './law-failure.ts';
import type { Simulation } from './simulate.ts';

/** What laws need from a test runner. */
export interface LawRunner {
  /** @returns the place of the law that is being tried. */
  place(): LawPlace | undefined;
  /** Called after a law held, with the number of plans and the time that they took. */
  tried(plans: number, ms: number): void;
}

/**
 * Connects laws to the test runner: a failing law names its place, and the runner gets the number of plans and the time
 * of each law. The setup file of a test runner calls this.
 */
export function watchLaws(watcher: LawRunner): void {
  runner = watcher;
}

/**
 * Tries a property on `count` random plans, times `WANTIO_LAW_FACTOR`. A factor above 1 adds plans to the first `count`
 * plans: none of the added plans starts after `WANTIO_LAW_MS` milliseconds, or after the moment `WANTIO_LAW_UNTIL` (a
 * value of `Date.now`). These two limits never stop the first `count` plans.
 * @throws {Error} when a plan breaks the property. The message contains the smallest such plan, the trace of its run as
 * text and as a diagram (written to `WANTIO_TRACE_DIR` if that is set), and the command that replays it. The cause is
 * the error that the run threw.
 * @example
 * import fc from 'fast-check';
 * import { checkLaw, simulate } from 'wantio/testing';
 *
 * const lines = fc.array(fc.stringMatching(/^[a-z]{0,20}$/), { minLength: 1, maxLength: 5 });
 * await checkLaw(
 *   fc.asyncProperty(lines, fc.integer({ min: 1, max: 9 }), async (sent, segment) => {
 *     await simulate({ link: { segment } }, async (world) => {
 *       const [here, there] = [world.machine('here'), world.machine('there')];
 *       const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
 *       const client = await here.reactor.connect({ host: 'there', port: 7 });
 *       const server = await listener.accept();
 *       await client.send(sent.map((line) => `${line}\n`));
 *       for (const line of sent) if ((await server.receive()) !== line) throw new Error(`${line} is another line`);
 *     });
 *   }),
 *   20,
 * );
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
    // Batches are small so that the time is checked often. Each has its own seed, so that its failure can be replayed
    // alone.
    const size = Math.ceil(count / 4);
    for (let next = seed + 1; plans < wanted && performance.now() < endsAt; next++)
      await batch({ seed: next, numRuns: Math.min(size, wanted - plans) });
  }
  runner?.tried(plans, performance.now() - startedAt);
}

/**
 * Tries `run` on random plans, as {@link checkLaw} does, and counts the faults that happened. A law about faults proves
 * nothing if none happened, so it fails then.
 * @param arbitrary the plans.
 * @param count the number of plans.
 * @param run runs one plan and returns its simulation.
 * @param needsFaults whether the law fails if no fault happened in any run.
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

/** Whether only one failing plan is replayed. Then a law must not assert counts over all plans. */
export function replaying(): boolean {
  return process.env.WANTIO_PATH !== undefined;
}

/** The options that fast-check's `commands` need to replay a failing sequence. */
export function commandsReplay(): { replayPath?: string } {
  const { WANTIO_COMMANDS: replayPath } = process.env;
  return replayPath === undefined ? {} : { replayPath };
}

function factor(): number {
  return Number(process.env.WANTIO_LAW_FACTOR ?? 1);
}

let runner: LawRunner | undefined;
