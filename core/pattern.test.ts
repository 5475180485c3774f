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

describe('the name of a pattern', () => {
  test.each(['*x', 'l', '', -1, 1.5, NaN, Infinity, 2 ** 53, null, {}])('cannot be %s', (name) => {
    expect(() => patternOf(name as PatternName)).toThrow(RangeError);
  });

  test('is shown in the error message when it is wrong', () => {
    expect(() => patternOf('*x' as PatternName)).toThrow(
      "receive takes '*l', '*a', '*s', a number of bytes ≥ 0 or a Framing, not *x",
    );
  });
});

describe('a line', () => {
  test('ends at its LF, which is consumed but not returned', () => {
    expect([measure('*l', 'ab\ncd'), line('ab\ncd')]).toEqual([3, 'ab']);
  });

  test('may be empty', () => {
    expect([measure('*l', '\nab'), line('\nab')]).toEqual([1, '']);
  });

  test('loses its CR before the LF', () => {
    expect(line('ab\r\n')).toBe('ab');
  });

  test('loses every CR, at any position', () => {
    expect(line('\r\ra\rb\r\r\n')).toBe('ab');
  });

  test('is not ended by a CR alone', () => {
    expect(measure('*l', 'ab\rcd')).toBe(MORE);
  });

  test('is decoded as UTF-8 as a whole', () => {
    expect(line('grüße €😀\n')).toBe('grüße €😀');
  });

  test('contains U+FFFD for bytes that are not UTF-8', () => {
    const input = new InputBuffer();
    input.append(new Uint8Array([0x61, 0xff, 0x0a]));
    expect(patternOf('*l').take(input, 3)).toBe('a\ufffd');
  });

  test('is incomplete before its LF', () => {
    expect([measure('*l', ''), measure('*l', 'abc')]).toEqual([MORE, MORE]);
  });

  test('fails at the end without an LF, even when no byte has arrived', () => {
    expect([measure('*l', 'abc', { ended: true }), measure('*l', '', { ended: true })]).toEqual([TOO_EARLY, TOO_EARLY]);
  });

  test('may be as long as its bound, which does not count the LF', () => {
    expect([measure('*l', 'abcd\n', { maxBytes: 4 }), measure('*l', 'abcd', { maxBytes: 4 })]).toEqual([5, MORE]);
  });

  test('is refused as soon as more bytes than its bound have arrived', () => {
    expect(() => measure('*l', 'abcde', { maxBytes: 4 })).toThrow(BoundsError);
  });

  test('is refused for its length although its LF has arrived', () => {
    expect(() => measure('*l', 'abcde\n', { maxBytes: 4 })).toThrow(new BoundsError('the line', 'maxBytes', 4));
  });

  test('has a default bound of 64 KiB', () => {
    expect(patternOf('*l').defaultMaxBytes).toBe(64 * 1024);
  });
});

describe('everything', () => {
  test('is complete at the end', () => {
    expect([measure('*a', 'abc'), measure('*a', 'abc', { ended: true })]).toEqual([MORE, 3]);
  });

  test('may be empty', () => {
    expect(measure('*a', '', { ended: true })).toBe(0);
  });

  test('may be as long as its bound', () => {
    expect(measure('*a', 'abcd', { ended: true, maxBytes: 4 })).toBe(4);
  });

  test('is refused beyond its bound', () => {
    expect(() => measure('*a', 'abcde', { maxBytes: 4 })).toThrow(new BoundsError('the input', 'maxBytes', 4));
  });

  test('has a default bound of 16 MiB', () => {
    expect(patternOf('*a').defaultMaxBytes).toBe(16 * 1024 * 1024);
  });
});

describe('some bytes', () => {
  test('are all bytes that have arrived', () => {
    expect([measure('*s', ''), measure('*s', 'abc')]).toEqual([MORE, 3]);
  });

  test('are empty at the end', () => {
    expect(measure('*s', '', { ended: true })).toBe(0);
  });

  test('are never more than the bound', () => {
    expect(measure('*s', 'abcde', { maxBytes: 4 })).toBe(4);
  });
});

describe('a number of bytes', () => {
  test('is complete when this many bytes have arrived', () => {
    expect([measure(3, 'ab'), measure(3, 'abc'), measure(3, 'abcd')]).toEqual([MORE, 3, 3]);
  });

  test('of zero is always complete', () => {
    expect([measure(0, ''), measure(0, 'ab'), measure(0, '', { ended: true })]).toEqual([0, 0, 0]);
  });

  test('is complete after the end if all bytes have arrived', () => {
    expect(measure(3, 'abc', { ended: true })).toBe(3);
  });

  test('fails at the end if too few bytes have arrived', () => {
    expect(measure(3, 'ab', { ended: true })).toBe(TOO_EARLY);
  });

  test('has no default bound', () => {
    expect(patternOf(2 ** 40).defaultMaxBytes).toBe(Infinity);
  });

  test('beyond a given bound is refused before any byte has arrived', () => {
    expect(() => measure(5, '', { maxBytes: 4 })).toThrow(
      new BoundsError('the number of bytes asked for', 'maxBytes', 4),
    );
  });
});

describe('the partial of an unfinished receive', () => {
  const partial = (name: PatternName, text: string, maxBytes = 1_000): number =>
    patternOf(name).partialOf(bufferOf(text), maxBytes);

  test('is all bytes up to the bound for a line and for everything', () => {
    expect([partial('*l', 'abc'), partial('*a', 'abc'), partial('*l', 'abcde', 4), partial('*a', 'abcde', 4)]).toEqual([
      3, 3, 4, 4,
    ]);
  });

  test('is at most the requested number for a number of bytes', () => {
    expect([partial(3, 'ab'), partial(3, 'abcd')]).toEqual([2, 3]);
  });

  test('is empty for a number beyond the bound, however many bytes have arrived', () => {
    expect(partial(5, 'abcd', 4)).toBe(0);
  });

  test('is empty for some bytes', () => {
    expect(partial('*s', 'abc')).toBe(0);
  });
});
