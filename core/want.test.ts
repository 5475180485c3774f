import { expect, test } from 'vitest';

import { DONE, END, isWant, WANT_LOOKUP, WANT_READ, WANT_WRITE, wantOf, YIELD } from './want.ts';

test('wantOf returns the word of each want code', () => {
  expect([wantOf(WANT_READ), wantOf(WANT_WRITE), wantOf(WANT_LOOKUP)]).toEqual(['read', 'write', 'lookup']);
});

test('isWant is true for the want codes and for no others', () => {
  expect([WANT_READ, WANT_WRITE, WANT_LOOKUP].map(isWant)).toEqual([true, true, true]);
  expect([END, DONE, YIELD, 0, 1, 65_536].map(isWant)).toEqual([false, false, false, false, false, false]);
});

test('all codes are different and negative, so that none can be taken for a count', () => {
  const codes = [END, WANT_READ, WANT_WRITE, WANT_LOOKUP, DONE, YIELD];
  expect(new Set(codes).size).toBe(codes.length);
  expect(Math.max(...codes)).toBeLessThan(0);
});
