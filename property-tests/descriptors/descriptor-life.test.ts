// Law: whatever is done to listeners and connections, the open descriptors are those of a simple model, by number and
// by owner; each is closed exactly once, the operations that wait are the model's, and nobody talks to what is closed.

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

/** Harmless ones that take no time: between two commands everything happens that is under way. */
const instantFaults = harmlessFaults().map(({ recv = [], send = [] }) => {
  const atOnce = (faults: readonly Fault[]): Fault[] => faults.filter(({ kind }) => kind !== 'delay');
  return { recv: atOnce(recv), send: atOnce(send) };
});

describe('the life of descriptors', () => {
  it('is that of the model', async () => {
    let reuses = 0;
    let happened = 0;
    const plans = fc.commands(commands(), { size: '+1', maxCommands: 60, ...commandsReplay() });
    await checkLaw(
      fc.asyncProperty(plans, instantFaults, async (plan, faults) => {
        const shortage = new Shortage(ruleOf(faults));
        const { faultsInAll } = await simulate({ faults: shortage.rule }, async (world, { books }) => {
          const machine = world.machine('only');
          const ledger = books.get('only');
          if (ledger === undefined) throw new Error('there is no book');
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
    expect(reuses, 'numbers came again').toBeGreaterThan(1_000);
    expect(happened, 'faults happened').toBeGreaterThan(1_000);
  }, 600_000);
});
