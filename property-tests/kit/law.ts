/** A law: a property over simulated runs, tried on many plans. */

import fc from 'fast-check';

import type { Simulation } from './simulate.ts';

/** How many plans a law is tried on when it says `count`: as many, or times `WANTIO_LAW_FACTOR`. */
export function plans(count: number): number {
  return count * Number(process.env.WANTIO_LAW_FACTOR ?? 1);
}

/**
 * Tries `run` on random plans. A law about faults that met none proves nothing, so it fails then.
 * @param count how many plans; {@link plans} is applied to it.
 * @param run one run; it returns the simulation, whose faults are counted.
 */
export async function tryLaw<P>(arbitrary: fc.Arbitrary<P>, count: number, run: (plan: P) => Promise<Simulation<unknown>>, needsFaults = true): Promise<void> {
  let faults = 0;
  await fc.assert(fc.asyncProperty(arbitrary, async (plan) => {
    faults += (await run(plan)).faultsInAll;
  }), { numRuns: plans(count) });
  if (needsFaults && faults === 0) throw new Error('not one fault happened: the law was not tried');
}
