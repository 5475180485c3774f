import { describe, expect, test } from 'vitest';

import { InputBuffer } from './input-buffer.ts';

const LF = 10;

function bufferOf(...pieces: string[]): InputBuffer {
  const buffer = new InputBuffer();
  for (const piece of pieces) buffer.append(Buffer.from(piece));
  return buffer;
}

function take(buffer: InputBuffer, count = buffer.length): string {
  return Buffer.from(buffer.take(count)).toString('latin1');
}

describe('order', () => {
  test('bytes come out as they went in', () => {
    const buffer = bufferOf('one ', 'two ', 'three');
    expect([take(buffer, 6), take(buffer)]).toEqual(['one tw', 'o three']);
  });

  test('bytes put back come out first', () => {
    const buffer = bufferOf('def');
    buffer.prepend(Buffer.from('abc'));
    expect(take(buffer)).toBe('abcdef');
  });

  test('bytes put back twice come out in reverse order of putting back', () => {
    const buffer = bufferOf('c');
    buffer.prepend(Buffer.from('b'));
    buffer.prepend(Buffer.from('a'));
    expect(take(buffer)).toBe('abc');
  });

  test('bytes put back into an empty buffer stand before those that come later', () => {
    const buffer = new InputBuffer();
    buffer.prepend(Buffer.from('ab'));
    buffer.append(Buffer.from('cd'));
    expect(take(buffer)).toBe('abcd');
  });

  test('what was taken can be put back', () => {
    const buffer = bufferOf('abcdef');
    buffer.prepend(buffer.take(4));
    expect(take(buffer)).toBe('abcdef');
  });

  test('putting back more than was taken moves what is there', () => {
    const buffer = bufferOf('xxdef');
    buffer.take(2);
    buffer.prepend(Buffer.alloc(1_000, 'p'));
    expect(take(buffer)).toBe(`${'p'.repeat(1_000)}def`);
  });

  test('a long stream through a short buffer stays in order', () => {
    const buffer = new InputBuffer();
    let got = '';
    let given = '';
    for (let at = 0; at < 2_000; at++) {
      const piece = String(at).repeat(1 + (at % 7));
      given += piece;
      buffer.append(Buffer.from(piece));
      got += take(buffer, Math.max(0, buffer.length - (at % 300)));
    }
    expect(got + take(buffer)).toBe(given);
  });
});

describe('length', () => {
  test('counts what is there', () => {
    const buffer = bufferOf('abc', 'de');
    buffer.take(1);
    buffer.prepend(Buffer.from('xyz'));
    expect(buffer.length).toBe(7);
  });

  test('is zero once everything is forgotten', () => {
    const buffer = bufferOf('abc');
    buffer.clear();
    expect([buffer.length, buffer.indexOf(97)]).toEqual([0, -1]);
  });
});

describe('pieces of no length', () => {
  test('change nothing', () => {
    const buffer = bufferOf('', 'a', '');
    buffer.prepend(new Uint8Array(0));
    expect([buffer.take(0).length, take(buffer)]).toEqual([0, 'a']);
  });

  test('may be taken from an empty buffer', () => {
    const buffer = new InputBuffer();
    expect([buffer.take(0).length, buffer.takeInto(new Uint8Array(4)), buffer.length]).toEqual([0, 0, 0]);
  });
});

describe("taking into the caller's memory", () => {
  test('fills what fits and keeps the rest', () => {
    const buffer = bufferOf('abcde');
    const into = new Uint8Array(3);
    expect([buffer.takeInto(into), Buffer.from(into).toString(), take(buffer)]).toEqual([3, 'abc', 'de']);
  });

  test('leaves memory alone beyond what there is', () => {
    const into = new Uint8Array(4).fill(255);
    expect([bufferOf('a').takeInto(into), [...into]]).toEqual([1, [97, 255, 255, 255]]);
  });
});

test('a taken piece is a copy: what comes later does not change it', () => {
  const buffer = bufferOf('abc');
  const taken = buffer.take(2);
  buffer.append(Buffer.from('zzzz'));
  buffer.prepend(Buffer.from('yy'));
  expect(Buffer.from(taken).toString()).toBe('ab');
});

test('an appended piece is copied: its memory may be used again at once', () => {
  const buffer = new InputBuffer();
  const piece = Buffer.from('abc');
  buffer.append(piece);
  piece.fill(0);
  expect(take(buffer)).toBe('abc');
});

describe('search', () => {
  test('finds the first of several', () => {
    expect(bufferOf('ab\ncd\n').indexOf(LF)).toBe(2);
  });

  test('tells when there is none', () => {
    expect([bufferOf('abc').indexOf(LF), new InputBuffer().indexOf(LF)]).toEqual([-1, -1]);
  });

  test('gives the same when asked again', () => {
    const buffer = bufferOf('ab\n');
    expect([buffer.indexOf(LF), buffer.indexOf(LF)]).toEqual([2, 2]);
  });

  test('goes on in what comes after it found none', () => {
    const buffer = bufferOf('abc');
    buffer.indexOf(LF);
    buffer.append(Buffer.from('d\n'));
    expect(buffer.indexOf(LF)).toBe(4);
  });

  test('is counted from the front, which moves', () => {
    const buffer = bufferOf('ab\ncd\n');
    buffer.indexOf(LF);
    buffer.take(3);
    expect(buffer.indexOf(LF)).toBe(2);
  });

  test('forgets nothing when the byte that it found stays', () => {
    const buffer = bufferOf('abc\n');
    buffer.indexOf(LF);
    buffer.take(2);
    expect(buffer.indexOf(LF)).toBe(1);
  });

  test('sees bytes put back before the place that it had reached', () => {
    const buffer = bufferOf('abc');
    buffer.take(2);
    buffer.indexOf(LF);
    buffer.prepend(Buffer.from('\n'));
    expect(buffer.indexOf(LF)).toBe(0);
  });

  test('for one byte does not disturb that for another', () => {
    const buffer = bufferOf('a\rb\n');
    expect([buffer.indexOf(LF), buffer.indexOf(13), buffer.indexOf(LF)]).toEqual([3, 1, 3]);
  });

  test('keeps its place when the content moves to other memory', () => {
    const buffer = bufferOf('x'.repeat(200));
    buffer.take(150);
    buffer.indexOf(LF);
    buffer.append(Buffer.from(`${'y'.repeat(400)}\n`));
    expect(buffer.indexOf(LF)).toBe(450);
  });

  test('begins anew after everything was taken', () => {
    const buffer = bufferOf('abc\n');
    buffer.indexOf(LF);
    buffer.take(4);
    buffer.append(Buffer.from('\nx'));
    expect(buffer.indexOf(LF)).toBe(0);
  });
});

test('a byte at a time up to a megabyte is one line of a megabyte', () => {
  const buffer = new InputBuffer();
  const byte = Buffer.from('x');
  // Quadratic searching or moving would make this the work of an hour.
  for (let at = 0; at < 1_048_576; at++) {
    buffer.append(byte);
    if (buffer.indexOf(LF) >= 0) throw new Error('found what is not there');
  }
  buffer.append(Buffer.from('\n'));
  expect(buffer.indexOf(LF)).toBe(1_048_576);
});

describe('memory', () => {
  /**
   * Does the steps: adds bytes behind, or (in front) `['front', n]`, or takes them for less than 0;
   * @returns the size of the memory in which all the rest is given away.
   */
  function memoryAfter(...steps: readonly (number | readonly ['front', number])[]): number {
    const buffer = new InputBuffer();
    for (const step of steps) {
      if (typeof step !== 'number') buffer.prepend(new Uint8Array(step[1]));
      else if (step < 0) buffer.take(-step);
      else buffer.append(new Uint8Array(step));
    }
    return buffer.take(buffer.length).buffer.byteLength;
  }

  test.each<[string, number, readonly (number | readonly ['front', number])[]]>([
    ['is given away with all of much', 80_000, [40_000, 30_000]],
    ['is given away from 64 KiB on', 80_000, [40_000, 25_536]],
    ['is not given away with less than 64 KiB', 65_535, [40_000, 25_535]],
    ['is not given away when most of it would be for nothing', 70_000, [400_000, -330_000]],
    ['is given away when half of it is for nothing', 140_000, [140_000, -70_000]],
    ['is not given away when more than half of it is for nothing', 70_000, [140_001, -70_001]],
    ['grows by doubling', 100_000, [50_000, 30_000]],
    ['grows to what is needed', 150_001, [50_000, 100_001]],
    ['is filled to its end before it grows', 100_000, [50_000, 30_000, 20_000]],
    ['is used again when half of it is free', 100_000, [100_000, -50_000, 50_000]],
    ['is not moved in itself when less than half of it is free', 120_000, [100_000, -40_000, 35_000]],
    ['grows when too little of it is free', 100_001, [100_000, -60_000, 60_001]],
    ['has room in front for what was taken', 100_000, [100_000, -70_000, ['front', 70_000]]],
    ['grows for more in front than was taken', 100_001, [100_000, -70_000, ['front', 70_001]]],
    [
      'is moved in itself for room in front',
      100_000,
      [100_000, -10_000, -50_000, ['front', 30_000], -30_000, 10_000, ['front', 50_000]],
    ],
  ])('%s', (_, bytes, steps) => {
    expect(memoryAfter(...steps)).toBe(bytes);
  });

  test("of what is taken in part is the taker's own", () => {
    const buffer = new InputBuffer();
    buffer.append(new Uint8Array(100_000).fill(7));
    const taken = buffer.take(99_999);
    expect(taken.buffer.byteLength).toBe(99_999);
    taken.fill(8);
    expect([...buffer.take(1)]).toEqual([7]);
  });
});

test.each([
  [
    'taken',
    (buffer: InputBuffer) => {
      buffer.take(3);
      buffer.append(Buffer.from([1]));
    },
  ],
  [
    'put back',
    (buffer: InputBuffer) => {
      buffer.prepend(Buffer.from([1]));
    },
  ],
] as const)('a search for the byte 1 begins anew after bytes were %s', (_, change) => {
  const buffer = new InputBuffer();
  buffer.append(Buffer.from('abc'));
  expect(buffer.indexOf(1)).toBe(-1);
  change(buffer);
  expect(buffer.indexOf(1)).toBe(0);
});
