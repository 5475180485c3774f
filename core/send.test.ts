import { describe, expect, test } from 'vitest';

import { Outflow } from './outflow.ts';
import { SendStep } from './send.ts';
import type { Sendable, SendRange } from './send.ts';
import { ScriptedTransport } from './testing/scripted-transport.ts';
import type { Script } from './testing/scripted-transport.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from './want.ts';

/** A send over a transport that follows `script`. */
function sending(data: Sendable, range?: SendRange, script?: Script): { step: SendStep; transport: ScriptedTransport } {
  const transport = new ScriptedTransport(script);
  return { step: new SendStep(new Outflow(transport), data, range), transport };
}

/** @returns the written bytes and the result of a send that succeeds at once. */
function sent(data: Sendable, range?: SendRange): [string, number] {
  const { step, transport } = sending(data, range);
  expect(step.attempt()).toBe(DONE);
  return [transport.written, step.result()];
}

function restOf(step: SendStep): string {
  return Buffer.concat([step.handOver().rest ?? []].flat()).toString('latin1');
}

describe('a send', () => {
  test('resolves with the index of the last byte', () => {
    expect(sent(Buffer.from('hello'))).toEqual(['hello', 4]);
  });

  test('counts text in UTF-8 bytes', () => {
    expect(sent('€😀')).toEqual([Buffer.from('€😀').toString('latin1'), 6]);
  });

  test('may begin after the first byte', () => {
    expect(sent('hello', { first: 2 })).toEqual(['llo', 4]);
  });

  test('may end before the last byte', () => {
    expect(sent('hello', { last: 1 })).toEqual(['he', 1]);
  });

  test('may be one byte', () => {
    expect(sent('hello', { first: 2, last: 2 })).toEqual(['l', 2]);
  });

  test('may cut text between the bytes of a character', () => {
    expect(sent('€', { first: 1, last: 1 })).toEqual(['\x82', 1]);
  });

  test('shows its progress while it runs', () => {
    const { step } = sending('hello', { first: 1 }, { writes: [2, WANT_WRITE] });
    const before = step.progress();
    expect([before, step.attempt(), step.progress()]).toEqual([0, WANT_WRITE, 2]);
  });

  test('continues at the first byte that was not accepted', () => {
    const { step, transport } = sending('hello', undefined, { writes: [1, WANT_WRITE, 3, WANT_WRITE] });
    expect([step.attempt(), step.attempt(), step.attempt(), step.result(), transport.written]).toEqual([
      WANT_WRITE,
      WANT_WRITE,
      DONE,
      4,
      'hello',
    ]);
  });

  test.each([WANT_READ, WANT_WRITE, WANT_LOOKUP] as const)(
    'passes on the want %s of a write and of the flush',
    (code) => {
      const { step } = sending('hello', undefined, { writes: [code], flushes: [code] });
      expect([step.attempt(), step.attempt(), step.attempt()]).toEqual([code, code, DONE]);
    },
  );

  test('yields when a write accepts no bytes, and continues later', () => {
    const { step, transport } = sending('hello', undefined, { writes: [2, 0, 0] });
    expect([step.attempt(), step.attempt(), step.attempt(), transport.written]).toEqual([YIELD, YIELD, DONE, 'hello']);
  });

  test('yields after 1 MiB, so that other operations can run', () => {
    const { step } = sending(new Uint8Array(1_500_000), undefined, { writes: [1024 * 1024] });
    expect([step.attempt(), step.progress(), step.attempt(), step.result()]).toEqual([
      YIELD,
      1_048_575,
      DONE,
      1_499_999,
    ]);
  });

  test('is done only when the transport has flushed everything', () => {
    const { step, transport } = sending('hello', undefined, { flushes: [WANT_WRITE, WANT_WRITE] });
    expect([step.attempt(), step.progress(), step.attempt(), step.attempt()]).toEqual([
      WANT_WRITE,
      4,
      WANT_WRITE,
      DONE,
    ]);
    expect(transport.written).toBe('hello');
  });

  test('throws the error of the transport', () => {
    const failure = new Error('gone');
    expect(() => sending('hello', undefined, { writes: [failure] }).step.attempt()).toThrow(failure);
  });
});

describe('an empty range', () => {
  test.each([
    ['no data', '', undefined, -1],
    ['no pieces', [], undefined, -1],
    ['empty pieces', ['', new Uint8Array(0)], undefined, -1],
    ['first at the length', 'hello', { first: 5 }, 4],
    ['last before first', 'hello', { first: 3, last: 2 }, 2],
    ['last before the data', 'hello', { last: -1 }, -1],
  ] as const)('(%s) sends nothing and resolves with first - 1', (_, data, range, result) => {
    expect(sent(data, range)).toEqual(['', result]);
  });

  test('still waits for the flush', () => {
    const { step, transport } = sending('hello', { first: 5 }, { flushes: [WANT_WRITE] });
    expect([step.attempt(), step.attempt(), transport.calls.write]).toEqual([WANT_WRITE, DONE, 0]);
  });
});

describe('a send refuses a range outside of the data:', () => {
  test.each([-1, 6, 0.5, NaN, Infinity])('first: %s', (first) => {
    expect(() => sending('hello', { first })).toThrow(new RangeError(`first must lie in 0…5, not ${String(first)}`));
  });

  test.each([-2, 5, 0.5, NaN, Infinity])('last: %s', (last) => {
    expect(() => sending('hello', { last })).toThrow(new RangeError(`last must lie in -1…4, not ${String(last)}`));
  });

  test('last before first - 1', () => {
    expect(() => sending('hello', { first: 3, last: 1 })).toThrow(new RangeError('last must lie in 2…4, not 1'));
  });

  test('last beyond the length of text in bytes', () => {
    expect(() => sending('€', { last: 3 })).toThrow('-1…2');
  });

  test('first beyond the length of all pieces together', () => {
    expect(() => sending(['ab', 'cde'], { first: 6 })).toThrow('0…5');
  });
});

describe('several pieces', () => {
  test('of text and bytes are sent in order', () => {
    expect(sent(['ab', Buffer.from('cd'), '', '€'])).toEqual([Buffer.from('abcd€').toString('latin1'), 6]);
  });

  test('that are small are sent in one write', () => {
    const { step, transport } = sending(['ab', 'cd', Buffer.from('ef')]);
    step.attempt();
    expect(transport.calls.write).toBe(1);
  });

  test('that are large are not copied', () => {
    const big = new Uint8Array(100_000).fill(65);
    const { step, transport } = sending(['ab', big, 'cd'], undefined, { writes: [2, 0] });
    step.attempt();
    big.fill(66);
    step.attempt();
    expect(transport.written).toBe(`ab${'B'.repeat(100_000)}cd`);
  });

  test('are sent in one write up to 64 KiB', () => {
    for (const [sizes, writes] of [
      [[65_535, 1], [65_536]],
      [
        [65_535, 1, 1],
        [65_536, 1],
      ],
      [
        [65_536, 1],
        [65_536, 1],
      ],
      [
        [1, 65_537],
        [1, 65_537],
      ],
    ]) {
      const { step, transport } = sending(sizes.map((size) => new Uint8Array(size)));
      step.attempt();
      expect(transport.accepted.map(({ length }) => length)).toEqual(writes);
    }
  });

  test('stay in order around a large one', () => {
    const { step, transport } = sending([
      'a',
      'b',
      new Uint8Array(70_000).fill(65),
      'c',
      new Uint8Array(65_536).fill(66),
      'd',
    ]);
    expect([step.attempt(), step.result(), transport.written]).toEqual([
      DONE,
      135_539,
      `ab${'A'.repeat(70_000)}c${'B'.repeat(65_536)}d`,
    ]);
  });

  test('have one range over all of them', () => {
    const big = new Uint8Array(70_000).fill(65);
    expect(sent(['ab', big, 'cd'], { first: 1, last: 70_002 })).toEqual([`b${'A'.repeat(70_000)}c`, 70_002]);
  });

  test('may be skipped entirely', () => {
    expect(sent([new Uint8Array(70_000), 'cd'], { first: 70_001 })).toEqual(['d', 70_001]);
  });
});

describe('a send that fails returns', () => {
  test('the index of the last accepted byte and a view of the rest', () => {
    const data = Buffer.from('hello');
    const { step } = sending(data, undefined, { writes: [2, WANT_WRITE] });
    step.attempt();
    const { last, rest } = step.handOver();
    expect([last, Buffer.from(rest as Uint8Array).toString(), (rest as Uint8Array).buffer === data.buffer]).toEqual([
      1,
      'llo',
      true,
    ]);
  });

  test('first - 1 and the whole range when nothing was accepted', () => {
    const { step } = sending('hello', { first: 2, last: 3 });
    expect([step.handOver().last, restOf(step)]).toEqual([1, 'll']);
  });

  test('an empty rest when only the flush was missing', () => {
    const { step } = sending('hello', undefined, { flushes: [WANT_WRITE] });
    step.attempt();
    expect(step.handOver()).toMatchObject({ last: 4, rest: { length: 0 } });
  });

  test('an empty rest of an empty range', () => {
    expect(sending('hello', { first: 5 }).step.handOver()).toMatchObject({ last: 4, rest: { length: 0 } });
  });

  test('the rest of all pieces as views, without a copy, however many bytes that is', () => {
    // 65 times the same 64 MiB, which is more than one buffer can hold.
    const block = Buffer.alloc(64 << 20);
    const { step } = sending(new Array<Uint8Array>(65).fill(block), undefined, { writes: [5, WANT_WRITE] });
    step.attempt();
    const { last, rest } = step.handOver();
    expect(last).toBe(4);
    expect(
      (rest as Uint8Array[]).map(({ buffer, byteOffset, length }) => [
        buffer === block.buffer,
        byteOffset - block.byteOffset,
        length,
      ]),
    ).toEqual([[true, 5, block.length - 5], ...Array.from({ length: 64 }, () => [true, 0, block.length])]);
  });

  test('the same objects for pieces of which no byte was sent', () => {
    const [one, other] = [new Uint8Array(65_536), new Uint8Array(65_537)];
    const { rest } = sending([one, other]).step.handOver();
    expect((rest as Uint8Array[]).map((piece, index) => piece === [one, other][index])).toEqual([true, true]);
  });

  test('an empty rest of no pieces', () => {
    expect(sending([]).step.handOver()).toEqual({ last: -1, rest: [] });
  });

  test('the rest of all pieces', () => {
    const { step } = sending(
      ['ab', new Uint8Array(70_000).fill(65), 'cd'],
      { last: 70_002 },
      { writes: [1, WANT_WRITE] },
    );
    step.attempt();
    expect(restOf(step)).toBe(`b${'A'.repeat(70_000)}c`);
  });

  test('a rest that ends where the range ends inside a piece', () => {
    const { step } = sending(
      [new Uint8Array(70_000).fill(65), 'cdef'],
      { last: 70_001 },
      { writes: [69_999, WANT_WRITE] },
    );
    step.attempt();
    expect(restOf(step)).toBe('Acd');
  });
});
