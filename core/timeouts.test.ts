import { describe, expect, test } from 'vitest';

import { TimeoutBudget } from './timeouts.ts';

describe('the budget of a wait', () => {
  test('is the block limit while the total leaves more', () => {
    expect(new TimeoutBudget({ blockMs: 10, totalMs: 100 }, 0).waitBudget(50)).toBe(10);
  });

  test('is the rest of the total once that is less than the block limit', () => {
    expect(new TimeoutBudget({ blockMs: 10, totalMs: 100 }, 0).waitBudget(95)).toBe(5);
  });

  test('is the whole block limit at every wait', () => {
    const budget = new TimeoutBudget({ blockMs: 10 }, 0);
    expect([0, 9, 1_000].map((now) => budget.waitBudget(now))).toEqual([10, 10, 10]);
  });

  test('counts the total from the start of the operation', () => {
    const budget = new TimeoutBudget({ totalMs: 10 }, 1_000);
    expect([1_000, 1_004, 1_010].map((now) => budget.waitBudget(now))).toEqual([10, 6, 0]);
  });

  test('is never negative', () => {
    expect(new TimeoutBudget({ totalMs: 10 }, 0).waitBudget(500)).toBe(0);
  });

  test('is zero when a limit is zero', () => {
    expect(new TimeoutBudget({ blockMs: 0 }, 7).waitBudget(7)).toBe(0);
    expect(new TimeoutBudget({ totalMs: 0, blockMs: 10 }, 7).waitBudget(7)).toBe(0);
  });

  test('is infinite without limits', () => {
    expect(new TimeoutBudget({}, 7).waitBudget(1e12)).toBe(Infinity);
  });
});

describe('the limit that ends a wait', () => {
  test('is the block limit while the total leaves more', () => {
    expect(new TimeoutBudget({ blockMs: 10, totalMs: 100 }, 0).mode(50)).toBe('block');
  });

  test('is the total once that leaves less', () => {
    expect(new TimeoutBudget({ blockMs: 10, totalMs: 100 }, 0).mode(95)).toBe('total');
  });

  test('is the total when both limits pass at the same moment', () => {
    expect(new TimeoutBudget({ blockMs: 10, totalMs: 100 }, 0).mode(90)).toBe('total');
  });

  test('is the only one that is set', () => {
    expect(new TimeoutBudget({ blockMs: 10 }, 0).mode(0)).toBe('block');
    expect(new TimeoutBudget({ totalMs: 10 }, 0).mode(0)).toBe('total');
  });
});

describe('the value of a limit', () => {
  test.each([undefined, Infinity, -1, -0.5, -Infinity])('%s means no limit', (ms) => {
    const budget = new TimeoutBudget({ blockMs: ms, totalMs: ms }, 0);
    expect(budget.unlimited).toBe(true);
    expect(budget.waitBudget(1e9)).toBe(Infinity);
  });

  test('zero does not mean no limit', () => {
    expect(new TimeoutBudget({ blockMs: 0 }, 0).unlimited).toBe(false);
    expect(new TimeoutBudget({ totalMs: 0 }, 0).unlimited).toBe(false);
  });
});

test('the limits are copied, so that a change of the options does not affect a running operation', () => {
  const timeouts = { blockMs: 10, totalMs: 100 };
  const budget = new TimeoutBudget(timeouts, 0);
  timeouts.blockMs = timeouts.totalMs = 1;
  expect([budget.limitMs('block'), budget.limitMs('total')]).toEqual([10, 100]);
});

test.each<[unknown, string]>([
  ['1000', '"1000"'],
  [null, 'null'],
  [true, 'true'],
])('a limit of %s is refused, even when no option check has run', (ms, shown) => {
  const timeouts = { totalMs: ms as number };
  expect(() => new TimeoutBudget(timeouts, 0)).toThrow(
    new TypeError(`totalMs must be a number of milliseconds, not ${shown}`),
  );
});

test('a limit of NaN is refused, and the message names the limit', () => {
  expect(() => new TimeoutBudget({ blockMs: NaN }, 0)).toThrow(
    new RangeError('blockMs must be a number of milliseconds, not NaN'),
  );
});
