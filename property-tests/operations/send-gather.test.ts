// Law: to send several pieces is the same as to send their concatenation. For every range the bytes, the result and the
// RangeError are the same.

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { Outflow } from '../../core/outflow.ts';
import { SendStep } from '../../core/send.ts';
import type { Sendable, SendRange } from '../../core/send.ts';
import { ScriptedTransport } from '../../core/testing/scripted-transport.ts';
import { DONE, YIELD } from '../../core/want.ts';
import { checkLaw } from '../kit/law.ts';

/** The outcome of a send: its bytes and its result, or the message of the RangeError. */
type Outcome = { readonly sent: string; readonly result: number } | { readonly refused: string };

test('a send of several pieces equals a send of their concatenation', async () => {
  await checkLaw(
    fc.property(pieces, range, room, (parts, given, writes) => {
      const whole = Buffer.concat(parts.map((part) => Buffer.from(part)));
      const expected = send(whole, given, []);
      expect(send(parts, given, writes)).toEqual(expected);
      if ('sent' in expected)
        expect(expected.sent).toBe(whole.toString('latin1', given.first ?? 0, (given.last ?? whole.length - 1) + 1));
    }),
    2_000,
  );
});

function send(data: Sendable, given: SendRange, writes: readonly number[]): Outcome {
  const transport = new ScriptedTransport({ writes });
  let step;
  try {
    step = new SendStep(new Outflow(transport), data, given);
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return { refused: (error as RangeError).message };
  }
  let code;
  do code = step.attempt();
  while (code === YIELD);
  expect(code).toBe(DONE);
  return { sent: transport.written, result: step.result() };
}

const small = fc.oneof(
  fc.uint8Array({ maxLength: 6 }),
  fc.string({ unit: fc.constantFrom('a', '€', '😀'), maxLength: 3 }),
);
// Lengths close to 64 KiB, up to which a send gathers small pieces into one.
const big = fc.constantFrom(30_000, 65_535, 65_536, 65_537).map((length) => Buffer.alloc(length, 'big piece '));
const pieces = fc.oneof(
  { weight: 6, arbitrary: fc.array(small, { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(small, big), { maxLength: 5 }) },
);
const index = fc.option(
  fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: -2, max: 16 }) },
    { weight: 1, arbitrary: fc.constantFrom(0.5, 29_999, 65_536, 70_000) },
  ),
  { nil: undefined },
);
const range: fc.Arbitrary<SendRange> = fc.record({ first: index, last: index });
const room = fc.array(fc.oneof(fc.nat(8), fc.nat(70_000)), { maxLength: 8 });
