/** A law: a property over simulated runs, tried on many plans. */

import fc from 'fast-check';

import type { Simulation } from './simulate.ts';

/**
 * How a law is tried that asks for `count` plans: on as many, or times `WANTIO_LAW_FACTOR`; for `WANTIO_LAW_MS` milliseconds at most
 * when that is set, and then on as many as that allows.
 */
export function effort(count: number): { numRuns: number; interruptAfterTimeLimit?: number } {
  const numRuns = count * Number(process.env.WANTIO_LAW_FACTOR ?? 1);
  const ms = Number(process.env.WANTIO_LAW_MS ?? 0);
  return ms > 0 ? { numRuns, interruptAfterTimeLimit: ms } : { numRuns };
}

/**
 * Tries `run` on random plans. A law about faults that met none proves nothing, so it fails then.
 * @param count how many plans; {@link effort} is applied to it.
 * @param run one run; it returns the simulation, whose faults are counted.
 */
export async function tryLaw<P>(arbitrary: fc.Arbitrary<P>, count: number, run: (plan: P) => Promise<Simulation<unknown>>, needsFaults = true): Promise<void> {
  let faults = 0;
  await fc.assert(fc.asyncProperty(arbitrary, async (plan) => {
    faults += (await run(plan)).faultsInAll;
  }), effort(count));
  if (needsFaults && faults === 0) throw new Error('not one fault happened: the law was not tried');
}
