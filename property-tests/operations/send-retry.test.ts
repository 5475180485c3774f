// Law: however often a send fails, retries from `last + 1` deliver the same bytes as one send: each byte once and in
// order.

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { SystemError, WantioError } from '../../core/errors.ts';
import { Operation } from '../../core/operation.ts';
import { Outflow } from '../../core/outflow.ts';
import { SendStep } from '../../core/send.ts';
import type { Sendable } from '../../core/send.ts';
import { ManualVenue } from '../../core/testing/manual-venue.ts';
import { ScriptedTransport } from '../../core/testing/scripted-transport.ts';
import type { StepEvent, WriteEvent } from '../../core/testing/scripted-transport.ts';
import type { Timeouts } from '../../core/timeouts.ts';
import { WANT_LOOKUP, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import { checkLaw, replaying } from '../kit/law.ts';

/** What happens to a waiting send. */
type Turn = { readonly ready: true } | { readonly pass: number } | { readonly abort: true };

interface Channel {
  readonly writes: readonly WriteEvent[];
  readonly flushes: readonly StepEvent[];
  readonly turns: readonly Turn[];
  readonly timeouts: Timeouts;
}

test('a send that is retried from last + 1 delivers the same bytes as one send', async () => {
  let retries = 0;
  await checkLaw(
    fc.asyncProperty(
      payload,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      channel,
      async ([data, bytes], low, high, clogged) => {
        const first = Math.round(low * bytes.length);
        const last = first - 1 + Math.round(high * (bytes.length - first));
        const transport = new ScriptedTransport(clogged);
        const outflow = new Outflow(transport);
        const venue = new ManualVenue();
        const turns = [...clogged.turns];
        let next = first;
        for (;;) {
          const controller = new AbortController();
          const patient = turns.length === 0;
          const step = new SendStep(outflow, data, { first: next, last });
          const operation = new Operation(step, venue, patient ? {} : clogged.timeouts, controller.signal).start();
          while (!operation.settled) play(turns.shift() ?? { ready: true }, venue, controller);
          const outcome = await operation.catch((error: unknown) => error);
          const accepted = first + outflow.total;
          expect(operation.last).toBe(accepted - 1);
          if (!(outcome instanceof WantioError)) {
            expect(outcome).toBe(last);
            break;
          }
          expect(outcome.last).toBe(accepted - 1);
          expect(
            Buffer.compare(
              Buffer.concat([outcome.rest ?? Buffer.from('no rest')].flat()),
              bytes.subarray(accepted, last + 1),
            ),
          ).toBe(0);
          next = accepted;
          retries++;
        }
        expect(Buffer.compare(Buffer.concat(transport.accepted), bytes.subarray(first, last + 1))).toBe(0);
        expect([venue.parked.size, venue.deadlines.size]).toEqual([0, 0]);
      },
    ),
    2_000,
  );
  if (!replaying()) expect(retries, 'retries').toBeGreaterThan(1_000);
});

function play(turn: Turn, venue: ManualVenue, controller: AbortController): void {
  if ('abort' in turn) controller.abort('enough');
  else if ('pass' in turn) venue.advance(turn.pass);
  else venue.ready();
}

const text = fc.string({ unit: fc.constantFrom('a', 'b', '€', '😀', '\ud800'), maxLength: 20, size: 'max' });
const bytes = fc.uint8Array({ maxLength: 60, size: 'max' });
// Lengths close to 64 KiB, up to which a send gathers small pieces into one.
const big = fc.integer({ min: 65_000, max: 66_000 }).map((length) => Buffer.alloc(length, 'big piece '));
const data: fc.Arbitrary<Sendable> = fc.oneof(
  { weight: 4, arbitrary: fc.oneof(text, bytes) },
  { weight: 4, arbitrary: fc.array(fc.oneof(text, bytes), { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(text, bytes, big), { maxLength: 4 }) },
);
/** The data of a send, and its bytes in one array. */
const payload = data.map((sendable): [Sendable, Uint8Array] => {
  const parts = typeof sendable === 'string' || sendable instanceof Uint8Array ? [sendable] : sendable;
  return [sendable, Buffer.concat(parts.map((part) => Buffer.from(part)))];
});

const want = fc.constantFrom(WANT_READ, WANT_WRITE, WANT_LOOKUP);
const failure = fc.constant('ENOBUFS').map((code) => new SystemError(code, 105, 'send', 'No buffer space available'));
const limit = fc.constantFrom(undefined, 0, 1, 5, 20);
const channel: fc.Arbitrary<Channel> = fc.record({
  writes: fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 40_000 })) },
      { weight: 4, arbitrary: want },
      { weight: 1, arbitrary: failure },
    ),
    { maxLength: 30, size: 'max' },
  ),
  flushes: fc.array(fc.oneof({ weight: 4, arbitrary: want }, { weight: 1, arbitrary: failure }), { maxLength: 4 }),
  turns: fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant({ ready: true as const }) },
      { weight: 3, arbitrary: fc.record({ pass: fc.nat(8) }) },
      { weight: 1, arbitrary: fc.constant({ abort: true as const }) },
    ),
    { maxLength: 60, size: 'max' },
  ),
  timeouts: fc.record({ blockMs: limit, totalMs: limit }),
});
