// Law: an operation times out in the millisecond in which a limit of its current wait passes, neither earlier nor
// later. The block limit starts afresh with each wait, the total limit never does.

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { OperationTimeoutError } from '../../core/errors.ts';
import { Operation } from '../../core/operation.ts';
import { ManualVenue } from '../../core/testing/manual-venue.ts';
import { ScriptedStep } from '../../core/testing/scripted-step.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from '../../core/want.ts';
import { checkLaw, replaying } from '../kit/law.ts';

/** When the operation must time out, and by which limit. `dueAt` is Infinity while the operation yields. */
interface Demand {
  readonly dueAt: number;
  readonly mode: 'block' | 'total';
}

test('an operation times out exactly at its limits', async () => {
  const ends = { block: 0, total: 0, done: 0, none: 0 };
  await checkLaw(
    fc.asyncProperty(
      limit,
      limit,
      moment,
      answers,
      happenings,
      async (blockMs = Infinity, totalMs = Infinity, startedAt, codes, story) => {
        const venue = new ManualVenue(startedAt);
        let demand: Demand = { dueAt: Infinity, mode: 'total' };
        // With a limit of zero, the first wait lasts one turn of the reactor, and a yield does not time out.
        const isZero = blockMs === 0 || totalMs === 0;
        let hasLooked = !isZero;
        const step = new ScriptedStep(
          ...codes.map((code) => () => {
            if (code !== YIELD && code !== DONE && !hasLooked) {
              hasLooked = true;
              demand = { dueAt: Infinity, mode: 'total' };
            } else
              demand = demandOf(code, venue.now(), blockMs, isZero && code === YIELD ? Infinity : startedAt + totalMs);
            return code;
          }),
        );
        const operation = new Operation(step, venue, { blockMs, totalMs }).start();
        let done = step.attempts > 0 && codes[0] === DONE;
        // A wait does not begin if its limit has already passed. A limit that passes later expires at a whole
        // millisecond.
        let ended = done || demand.dueAt <= venue.now();
        for (const { pass, wake } of story) {
          expect(operation.settled).toBe(ended);
          if (ended) break;
          expect(operation.remaining).toEqual(
            demand.dueAt === Infinity ? null : { ms: Math.max(0, demand.dueAt - venue.now()), mode: demand.mode },
          );
          venue.advance(pass);
          ended = demand.dueAt <= Math.floor(venue.now());
          expect(operation.settled).toBe(ended);
          if (ended || !wake || step.attempts === codes.length) continue;
          done = codes[step.attempts] === DONE;
          venue.ready();
          ended = done || demand.dueAt <= venue.now();
        }
        if (!operation.settled) {
          ends.none++;
          return;
        }
        const outcome = await operation.catch((error: unknown) => error);
        if (done) expect(outcome).toBe('result');
        else {
          expect(outcome).toBeInstanceOf(OperationTimeoutError);
          expect(outcome).toMatchObject({ mode: demand.mode });
        }
        expect(venue.deadlines.size).toBe(0);
        ends[done ? 'done' : demand.mode]++;
      },
    ),
    3_000,
  );
  if (!replaying())
    expect(Math.min(...Object.values(ends)), `every kind of end occurs: ${JSON.stringify(ends)}`).toBeGreaterThan(50);
});

/** The demand after an attempt at `now` that returned `code`. */
function demandOf(code: number, now: number, blockMs: number, totalEndsAt: number): Demand {
  // A yield is no wait. Only a total limit that has already passed ends it.
  if (code === YIELD || code === DONE)
    return { dueAt: code === YIELD && totalEndsAt <= now ? now : Infinity, mode: 'total' };
  return now + blockMs < totalEndsAt ? { dueAt: now + blockMs, mode: 'block' } : { dueAt: totalEndsAt, mode: 'total' };
}

/** Moments are eighths of a millisecond, so that sums of them are exact. */
const eighths = (most: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.nat(most),
    fc.nat(most * 8).map((count) => count / 8),
  );

const moment = eighths(100_000);
const limit = fc.oneof(
  { weight: 6, arbitrary: eighths(60) },
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constant(0) },
);
const answers = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(WANT_READ, WANT_WRITE, WANT_LOOKUP) },
    { weight: 2, arbitrary: fc.constant(YIELD) },
    { weight: 1, arbitrary: fc.constant(DONE) },
  ),
  { minLength: 1, maxLength: 12, size: 'max' },
);
const happenings = fc.array(fc.record({ pass: eighths(20), wake: fc.boolean() }), {
  minLength: 1,
  maxLength: 30,
  size: 'max',
});
