// Law: the budget of a wait is the block limit or the rest of the total limit, whichever is less. It is never negative,
// and the rest of the total limit never grows.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { TimeoutBudget } from '../../core/timeouts.ts';
import { checkLaw } from '../kit/law.ts';

const RUNS = 2_000;

describe('the budget of a wait', () => {
  test('is the block limit or the rest of the total limit, whichever is less, and never negative', async () => {
    await checkLaw(
      fc.property(limit, limit, moment, moment, (blockMs, totalMs, startedAt, passed) => {
        const now = startedAt + passed;
        const left = startedAt + lasting(totalMs) - now;
        expect(new TimeoutBudget({ blockMs, totalMs }, startedAt).waitBudget(now)).toBe(
          Math.max(0, Math.min(lasting(blockMs), left)),
        );
      }),
      RUNS,
    );
  });

  test('names the shorter limit, and the total when both are equal', async () => {
    await checkLaw(
      fc.property(limit, limit, moment, moment, (blockMs, totalMs, startedAt, passed) => {
        const now = startedAt + passed;
        const mode = new TimeoutBudget({ blockMs, totalMs }, startedAt).mode(now);
        expect(mode).toBe(lasting(blockMs) < startedAt + lasting(totalMs) - now ? 'block' : 'total');
      }),
      RUNS,
    );
  });

  test('never grows when only the total limit is set, and is zero after that limit', async () => {
    await checkLaw(
      fc.property(moment, moment, fc.array(moment, { minLength: 2, maxLength: 10 }), (totalMs, startedAt, spans) => {
        const budget = new TimeoutBudget({ totalMs }, startedAt);
        let now = startedAt;
        let before = Infinity;
        for (const span of spans) {
          now += span;
          const left = budget.waitBudget(now);
          expect(left).toBeLessThanOrEqual(before);
          if (now >= startedAt + totalMs) expect(left).toBe(0);
          before = left;
        }
      }),
      RUNS,
    );
  });

  test('is the same for every wait when only the block limit is set', async () => {
    await checkLaw(
      fc.property(moment, moment, moment, (blockMs, startedAt, passed) => {
        expect(new TimeoutBudget({ blockMs }, startedAt).waitBudget(startedAt + passed)).toBe(blockMs);
      }),
      RUNS,
    );
  });

  test('is infinite if and only if neither limit is set', async () => {
    await checkLaw(
      fc.property(limit, limit, moment, (blockMs, totalMs, now) => {
        const budget = new TimeoutBudget({ blockMs, totalMs }, now);
        const unlimited = lasting(blockMs) === Infinity && lasting(totalMs) === Infinity;
        expect([budget.unlimited, budget.waitBudget(now) === Infinity]).toEqual([unlimited, unlimited]);
      }),
      RUNS,
    );
  });

  test('is always zero when a limit is zero', async () => {
    await checkLaw(
      fc.property(limit, moment, moment, fc.boolean(), (other, startedAt, passed, which) => {
        const timeouts = which ? { blockMs: 0, totalMs: other } : { blockMs: other, totalMs: 0 };
        expect(new TimeoutBudget(timeouts, startedAt).waitBudget(startedAt + passed)).toBe(0);
      }),
      RUNS,
    );
  });
});

/** The limit in milliseconds, or Infinity if the value means no limit. */
function lasting(ms: number | undefined): number {
  return ms === undefined || ms < 0 ? Infinity : ms;
}

const moment = fc.oneof(fc.nat(1_000), fc.double({ min: 0, max: 1e7, noNaN: true }));
const limit = fc.oneof(
  { weight: 4, arbitrary: moment },
  { weight: 1, arbitrary: fc.constantFrom(undefined, Infinity, -1, -0.001, 0) },
);
