import { expect, test } from 'vitest';

import { Operation } from './operation.ts';
import { ManualVenue } from './testing/manual-venue.ts';
import { ScriptedStep } from './testing/scripted-step.ts';
import type { Attempt } from './testing/scripted-step.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from './want.ts';

/** An operation after its first attempt. */
function driven(...attempts: Attempt[]): { operation: Operation<string>; step: ScriptedStep; venue: ManualVenue } {
  const venue = new ManualVenue();
  const step = new ScriptedStep(...attempts);
  const operation = new Operation(step, venue, {});
  void operation.start();
  return { operation, step, venue };
}

test('a start is one attempt', () => {
  expect(driven(WANT_READ, DONE).step.attempts).toBe(1);
});

test.each([
  [WANT_READ, 'read'],
  [WANT_WRITE, 'write'],
  [WANT_LOOKUP, 'lookup'],
] as const)('the code %s makes the operation wait for %s', (code, want) => {
  const { operation, venue } = driven(code);
  expect([operation.want, venue.parked.size]).toEqual([want, 1]);
});

test('a step that is done resolves the operation with its result', async () => {
  const { operation, venue } = driven(DONE);
  expect([await operation, venue.parked.size]).toEqual(['result', 0]);
});

test('a step that yields waits only for the next turn', () => {
  const { operation, venue } = driven(YIELD);
  expect([operation.want, venue.parked.size]).toEqual([null, 1]);
});

test('a step that throws an Error rejects the operation with it', async () => {
  const failure = new Error('no');
  await expect(driven(failure).operation).rejects.toBe(failure);
});

test('a step that throws another value rejects the operation with an Error', async () => {
  const { operation } = driven(() => {
    throw 'no';
  });
  await expect(operation).rejects.toThrow(new Error('no'));
});

test.each([
  ['is done', DONE],
  ['wants to read', WANT_READ],
  ['yields', YIELD],
] as const)('an attempt that has failed its own operation changes nothing when it %s', async (_, code) => {
  const failure = new Error('the connection went');
  const { operation, venue } = (() => {
    const venue = new ManualVenue();
    const step = new ScriptedStep(() => {
      operation.fail(failure);
      return code;
    });
    const operation = new Operation(step, venue, { blockMs: 5 });
    void operation.start();
    return { operation, venue };
  })();
  expect([venue.parked.size, venue.deadlines.size, operation.want]).toEqual([0, 0, null]);
  await expect(operation).rejects.toBe(failure);
});
