import { expect, test } from 'vitest';

import { DONE, END, isWant, WANT_LOOKUP, WANT_READ, WANT_WRITE, wantOf, YIELD } from './want.ts';

test('each want code has its word', () => {
  expect([wantOf(WANT_READ), wantOf(WANT_WRITE), wantOf(WANT_LOOKUP)]).toEqual(['read', 'write', 'lookup']);
});

test('the wants, and nothing else, are wants', () => {
  expect([WANT_READ, WANT_WRITE, WANT_LOOKUP].map(isWant)).toEqual([true, true, true]);
  expect([END, DONE, YIELD, 0, 1, 65_536].map(isWant)).toEqual([false, false, false, false, false, false]);
});

test('no code can be taken for a count or for another code', () => {
  const codes = [END, WANT_READ, WANT_WRITE, WANT_LOOKUP, DONE, YIELD];
  expect(new Set(codes).size).toBe(codes.length);
  expect(Math.max(...codes)).toBeLessThan(0);
});
