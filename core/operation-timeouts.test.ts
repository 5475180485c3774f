import { describe, expect, test } from 'vitest';

import { OperationTimeoutError } from './errors.ts';
import { Operation } from './operation.ts';
import { ManualVenue } from './testing/manual-venue.ts';
import { ScriptedStep } from './testing/scripted-step.ts';
import { failureOf, start } from './testing/start-operation.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from './want.ts';

describe('the block limit', () => {
  test('ends a single wait', async () => {
    const { operation, venue } = start([WANT_WRITE], { timeouts: { blockMs: 50 } });
    venue.advance(49);
    const before = operation.settled;
    venue.advance(1);
    expect(before).toBe(false);
    expect(await failureOf(operation)).toMatchObject({
      mode: 'block',
      want: 'write',
      message: 'receive timed out (block 50 ms) waiting to write',
    });
  });

  test('starts afresh with each wait', () => {
    const { operation, venue } = start([], { timeouts: { blockMs: 50 } });
    for (let wait = 0; wait < 10; wait++) {
      venue.advance(49);
      venue.ready();
    }
    expect(operation.settled).toBe(false);
  });

  test('applies to a look-up as well', async () => {
    const { operation, venue } = start([WANT_LOOKUP], { timeouts: { blockMs: 50 } });
    venue.advance(50);
    expect(await failureOf(operation)).toMatchObject({ mode: 'block', want: 'lookup' });
  });

  test('of zero makes one attempt, polls once, makes a second attempt, and does not wait', async () => {
    const { operation, step, venue } = start([WANT_READ, WANT_READ, DONE], { timeouts: { blockMs: 0 } });
    expect([operation.want, venue.deadlines.size]).toEqual([null, 0]);
    venue.turn();
    expect(await failureOf(operation)).toBeInstanceOf(OperationTimeoutError);
    expect([step.attempts, venue.parkings, venue.deadlines.size]).toEqual([2, 1, 0]);
  });

  test('of zero lets the second attempt succeed', async () => {
    const { operation, venue } = start([WANT_READ, DONE], { timeouts: { blockMs: 0 } });
    venue.turn();
    expect(await operation).toBe('result');
  });

  test('of zero polls once for the whole call', async () => {
    const { operation, step, venue } = start([WANT_WRITE, YIELD, WANT_WRITE, DONE], { timeouts: { blockMs: 0 } });
    venue.turn();
    venue.turn();
    expect(await failureOf(operation)).toMatchObject({ mode: 'block', want: 'write' });
    expect(step.attempts).toBe(3);
  });

  test('of zero lets the first attempt succeed', async () => {
    expect(await start([DONE], { timeouts: { blockMs: 0 } }).operation).toBe('result');
  });
});

describe('the total limit', () => {
  test('ends the call however many waits it has', async () => {
    const { operation, step, venue } = start([], { timeouts: { totalMs: 100 } });
    for (let wait = 0; wait < 4; wait++) {
      venue.advance(25);
      venue.ready();
    }
    expect(await failureOf(operation)).toMatchObject({ mode: 'total', want: 'read' });
    expect(step.attempts).toBe(4);
  });

  test('counts from the start of the call, not from its first wait', async () => {
    const venue = new ManualVenue();
    const step = new ScriptedStep(() => {
      venue.advance(60);
      return WANT_READ;
    });
    const operation = new Operation(step, venue, { totalMs: 100 }).start();
    venue.advance(39);
    const before = operation.settled;
    venue.advance(1);
    expect([before, operation.settled]).toEqual([false, true]);
    await failureOf(operation);
  });

  test('that passes during an attempt ends the call before a wait begins', async () => {
    const venue = new ManualVenue();
    const step = new ScriptedStep(() => {
      venue.advance(100);
      return WANT_READ;
    });
    const operation = new Operation(step, venue, { totalMs: 100 }).start();
    expect(await failureOf(operation)).toMatchObject({ mode: 'total' });
    expect(venue.parkings).toBe(0);
  });

  test('that passes during an attempt does not prevent its success', async () => {
    const venue = new ManualVenue();
    const step = new ScriptedStep(() => {
      venue.advance(100);
      return DONE;
    });
    expect(await new Operation(step, venue, { totalMs: 100 }).start()).toBe('result');
  });

  test('of zero makes one attempt, polls once, makes a second attempt, and does not wait', async () => {
    const { operation, step, venue } = start([WANT_READ], { timeouts: { totalMs: 0 } });
    venue.turn();
    expect(await failureOf(operation)).toMatchObject({ mode: 'total' });
    expect(step.attempts).toBe(2);
  });

  test('ends the last wait before the block limit, and the error names it', async () => {
    const { operation, venue } = start([], { timeouts: { blockMs: 60, totalMs: 100 } });
    venue.advance(50);
    venue.ready();
    venue.advance(50);
    expect(await failureOf(operation)).toMatchObject({
      mode: 'total',
      message: 'receive timed out (total 100 ms) waiting to read',
    });
  });

  test('does not end a wait whose block limit is shorter', async () => {
    const { operation, venue } = start([], { timeouts: { blockMs: 30, totalMs: 100 } });
    venue.advance(50);
    expect(await failureOf(operation)).toMatchObject({ mode: 'block' });
  });

  test('ends an operation that yields again and again', async () => {
    const { operation, venue } = start([YIELD, YIELD, YIELD, YIELD], { timeouts: { totalMs: 100 } });
    for (let turn = 0; turn < 2; turn++) {
      venue.advance(50);
      venue.turn();
    }
    expect(await failureOf(operation)).toMatchObject({ mode: 'total', want: null });
  });

  test('of zero does not end an operation that yields, because a yield is no wait', async () => {
    const { operation, step, venue } = start([YIELD, YIELD, DONE], { timeouts: { totalMs: 0 } });
    venue.turn();
    venue.turn();
    expect(await operation).toBe('result');
    expect(step.attempts).toBe(3);
  });
});

describe('a limit', () => {
  test('of NaN is refused', () => {
    expect(() => start([], { timeouts: { blockMs: NaN } })).toThrow(RangeError);
    expect(() => start([], { timeouts: { totalMs: NaN } })).toThrow(RangeError);
  });

  test.each([undefined, Infinity, -1])('of %s means no limit', (ms) => {
    const { operation, venue } = start([], { timeouts: { blockMs: ms, totalMs: ms } });
    venue.advance(1e9);
    expect([operation.settled, venue.deadlines.size]).toEqual([false, 0]);
  });

  test('has no deadline after the operation has settled', () => {
    const { operation, venue } = start([WANT_READ, DONE], { timeouts: { blockMs: 50 } });
    venue.ready();
    expect([operation.settled, venue.deadlines.size]).toEqual([true, 0]);
  });

  test('of a wait has no deadline while the operation yields', () => {
    const { operation, venue } = start([WANT_READ, YIELD, DONE], { timeouts: { blockMs: 50 } });
    venue.ready();
    const deadlines = venue.deadlines.size;
    venue.advance(500);
    venue.turn();
    expect([deadlines, operation.settled]).toEqual([0, true]);
  });

  test('resolves the operation instead of rejecting it, if the step says so', async () => {
    const { operation, step, venue } = start([WANT_READ], { timeouts: { blockMs: 50 } });
    step.resultAtTimeout = 'nothing was ready';
    venue.advance(50);
    expect(await operation).toBe('nothing was ready');
    expect(step.released).toEqual([false]);
  });
});

describe('the remaining time of a wait', () => {
  test('shrinks as time passes, and starts afresh with the next wait', () => {
    const { operation, venue } = start([], { timeouts: { blockMs: 50 } });
    const remaining = [operation.remaining];
    venue.advance(20);
    remaining.push(operation.remaining);
    venue.ready();
    remaining.push(operation.remaining);
    expect(remaining).toEqual([50, 30, 50].map((ms) => ({ ms, mode: 'block' })));
  });

  test('names the limit that will end the wait', () => {
    const { operation, venue } = start([], { timeouts: { blockMs: 60, totalMs: 100 } });
    venue.advance(50);
    venue.ready();
    expect(operation.remaining).toEqual({ ms: 50, mode: 'total' });
  });

  test('is null without a limit, and after the operation has settled', () => {
    expect([start([]).operation.remaining, start([DONE], { timeouts: { blockMs: 5 } }).operation.remaining]).toEqual([
      null,
      null,
    ]);
  });
});
