// Law: whatever a program does with listeners and connections, the open descriptors and their owners are those of a
// simple model. Each descriptor is closed exactly once. The pending operations are those of the model. A closed
// connection emits nothing.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ruleOf } from '../../reactor/faults/fault.ts';
import type { Fault } from '../../reactor/faults/fault.ts';
import { commands } from './descriptor-life/commands.ts';
import { Model } from './descriptor-life/model.ts';
import { Real, Shortage } from './descriptor-life/real.ts';
import { harmlessFaults } from '../kit/arbitraries.ts';
import { checkLaw, commandsReplay, replaying } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

/** Harmless faults without delays, so that between two commands everything in flight can arrive. */
const instantFaults = harmlessFaults().map(({ recv = [], send = [] }) => {
  const atOnce = (faults: readonly Fault[]): Fault[] => faults.filter(({ kind }) => kind !== 'delay');
  return { recv: atOnce(recv), send: atOnce(send) };
});

describe('the life of descriptors', () => {
  it('matches the model', async () => {
    let reuses = 0;
    let happened = 0;
    const plans = fc.commands(commands(), { size: '+1', maxCommands: 60, ...commandsReplay() });
    await checkLaw(
      fc.asyncProperty(plans, instantFaults, async (plan, faults) => {
        const shortage = new Shortage(ruleOf(faults));
        const { faultsInAll } = await simulate({ faults: shortage.rule }, async (world, { books }) => {
          const machine = world.machine('only');
          const ledger = books.get('only');
          if (ledger === undefined) throw new Error('the machine has no ledger');
          const model = new Model();
          const real = new Real(world, machine, ledger, shortage);
          await fc.asyncModelRun(() => ({ model, real }), plan);
          real.agree(model);
          reuses += model.reuses;
        });
        happened += faultsInAll;
      }),
      1_000,
    );
    if (replaying()) return;
    // On average there are about 1,200 reuses and 2,400 faults. With far fewer, the plans no longer test the law.
    expect(reuses, 'reused descriptor numbers').toBeGreaterThan(500);
    expect(happened, 'faults that happened').toBeGreaterThan(1_000);
  }, 600_000);
});
