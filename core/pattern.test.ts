import { describe, expect, test } from 'vitest';

import { BoundsError } from './errors.ts';
import { InputBuffer } from './input-buffer.ts';
import { MORE, patternOf, TOO_EARLY } from './pattern.ts';
import type { PatternName } from './pattern.ts';

interface Look {
  readonly ended?: boolean;
  readonly maxBytes?: number;
}

function measure(name: PatternName, text: string, { ended = false, maxBytes = 1_000 }: Look = {}): number {
  return patternOf(name).measure(bufferOf(text), ended, maxBytes);
}

function bufferOf(text: string): InputBuffer {
  const input = new InputBuffer();
  input.append(Buffer.from(text));
  return input;
}

function line(text: string): string | Uint8Array {
  const input = bufferOf(text);
  const pattern = patternOf('*l');
  return pattern.take(input, pattern.measure(input, false, 1_000));
}

describe('a name', () => {
  test.each(['*x', 'l', '', -1, 1.5, NaN, Infinity, 2 ** 53, null, {}])('cannot be %s', (name) => {
    expect(() => patternOf(name as PatternName)).toThrow(RangeError);
  });

  test('that is wrong is told in the message', () => {
    expect(() => patternOf('*x' as PatternName)).toThrow(
      "receive takes '*l', '*a', '*s' or a number of bytes ≥ 0, not *x",
    );
  });
});

describe('a line', () => {
  test('goes up to its LF, which is taken and not given', () => {
    expect([measure('*l', 'ab\ncd'), line('ab\ncd')]).toEqual([3, 'ab']);
  });

  test('may be empty', () => {
    expect([measure('*l', '\nab'), line('\nab')]).toEqual([1, '']);
  });

  test('loses its CR before the LF', () => {
    expect(line('ab\r\n')).toBe('ab');
  });

  test('loses every CR, wherever it stands', () => {
    expect(line('\r\ra\rb\r\r\n')).toBe('ab');
  });

  test('is not ended by a CR alone', () => {
    expect(measure('*l', 'ab\rcd')).toBe(MORE);
  });

  test('is text, decoded whole', () => {
    expect(line('grüße €😀\n')).toBe('grüße €😀');
  });

  test('shows bytes that are no text as U+FFFD', () => {
    const input = new InputBuffer();
    input.append(new Uint8Array([0x61, 0xff, 0x0a]));
    expect(patternOf('*l').take(input, 3)).toBe('a\ufffd');
  });

  test('is not there before its LF', () => {
    expect([measure('*l', ''), measure('*l', 'abc')]).toEqual([MORE, MORE]);
  });

  test('cannot come any more after the end, even when nothing has come', () => {
    expect([measure('*l', 'abc', { ended: true }), measure('*l', '', { ended: true })]).toEqual([TOO_EARLY, TOO_EARLY]);
  });

  test('may be as long as its bound, which does not count the LF', () => {
    expect([measure('*l', 'abcd\n', { maxBytes: 4 }), measure('*l', 'abcd', { maxBytes: 4 })]).toEqual([5, MORE]);
  });

  test('is refused as soon as more than its bound has come', () => {
    expect(() => measure('*l', 'abcde', { maxBytes: 4 })).toThrow(BoundsError);
  });

  test('is refused for its length although its LF has come too', () => {
    expect(() => measure('*l', 'abcde\n', { maxBytes: 4 })).toThrow(new BoundsError('the line', 'maxBytes', 4));
  });

  test('has a bound of its own', () => {
    expect(patternOf('*l').defaultMaxBytes).toBe(64 * 1024);
  });
});

describe('everything', () => {
  test('is there at the end', () => {
    expect([measure('*a', 'abc'), measure('*a', 'abc', { ended: true })]).toEqual([MORE, 3]);
  });

  test('may be nothing', () => {
    expect(measure('*a', '', { ended: true })).toBe(0);
  });

  test('may be as long as its bound', () => {
    expect(measure('*a', 'abcd', { ended: true, maxBytes: 4 })).toBe(4);
  });

  test('is refused beyond its bound', () => {
    expect(() => measure('*a', 'abcde', { maxBytes: 4 })).toThrow(new BoundsError('the input', 'maxBytes', 4));
  });

  test('has a bound of its own', () => {
    expect(patternOf('*a').defaultMaxBytes).toBe(16 * 1024 * 1024);
  });
});

describe('some bytes', () => {
  test('are what is there', () => {
    expect([measure('*s', ''), measure('*s', 'abc')]).toEqual([MORE, 3]);
  });

  test('are none at the end', () => {
    expect(measure('*s', '', { ended: true })).toBe(0);
  });

  test('are never more than the bound', () => {
    expect(measure('*s', 'abcde', { maxBytes: 4 })).toBe(4);
  });
});

describe('a number of bytes', () => {
  test('is there once so many have come', () => {
    expect([measure(3, 'ab'), measure(3, 'abc'), measure(3, 'abcd')]).toEqual([MORE, 3, 3]);
  });

  test('of zero is there always', () => {
    expect([measure(0, ''), measure(0, 'ab'), measure(0, '', { ended: true })]).toEqual([0, 0, 0]);
  });

  test('that is there is given although the end has come', () => {
    expect(measure(3, 'abc', { ended: true })).toBe(3);
  });

  test('cannot come any more after the end', () => {
    expect(measure(3, 'ab', { ended: true })).toBe(TOO_EARLY);
  });

  test('has no bound unless one is given', () => {
    expect(patternOf(2 ** 40).defaultMaxBytes).toBe(Infinity);
  });

  test('beyond a given bound is refused before anything has come', () => {
    expect(() => measure(5, '', { maxBytes: 4 })).toThrow(
      new BoundsError('the number of bytes asked for', 'maxBytes', 4),
    );
  });
});

describe('of an unfinished input', () => {
  const partial = (name: PatternName, text: string, maxBytes = 1_000): number =>
    patternOf(name).partialOf(bufferOf(text), maxBytes);

  test('all belongs to a line, and to everything, up to the bound', () => {
    expect([partial('*l', 'abc'), partial('*a', 'abc'), partial('*l', 'abcde', 4), partial('*a', 'abcde', 4)]).toEqual([
      3, 3, 4, 4,
    ]);
  });

  test('no more than was asked for belongs to a number', () => {
    expect([partial(3, 'ab'), partial(3, 'abcd')]).toEqual([2, 3]);
  });

  test('nothing belongs to a number that is refused, so that it does not matter how much had come', () => {
    expect(partial(5, 'abcd', 4)).toBe(0);
  });

  test('nothing belongs to some bytes', () => {
    expect(partial('*s', 'abc')).toBe(0);
  });
});
