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

describe('the order of bytes', () => {
  test('is the order in which they were appended', () => {
    const buffer = bufferOf('one ', 'two ', 'three');
    expect([take(buffer, 6), take(buffer)]).toEqual(['one tw', 'o three']);
  });

  test('begins with bytes that were put back', () => {
    const buffer = bufferOf('def');
    buffer.prepend(Buffer.from('abc'));
    expect(take(buffer)).toBe('abcdef');
  });

  test('begins with the bytes that were put back last', () => {
    const buffer = bufferOf('c');
    buffer.prepend(Buffer.from('b'));
    buffer.prepend(Buffer.from('a'));
    expect(take(buffer)).toBe('abc');
  });

  test('begins with bytes that were put back into an empty buffer before the append', () => {
    const buffer = new InputBuffer();
    buffer.prepend(Buffer.from('ab'));
    buffer.append(Buffer.from('cd'));
    expect(take(buffer)).toBe('abcd');
  });

  test('is unchanged after bytes were taken and put back', () => {
    const buffer = bufferOf('abcdef');
    buffer.prepend(buffer.take(4));
    expect(take(buffer)).toBe('abcdef');
  });

  test('is right when more bytes are put back than were taken', () => {
    const buffer = bufferOf('xxdef');
    buffer.take(2);
    buffer.prepend(Buffer.alloc(1_000, 'p'));
    expect(take(buffer)).toBe(`${'p'.repeat(1_000)}def`);
  });

  test('is kept for a long stream through a short buffer', () => {
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
  test('counts the bytes in the buffer', () => {
    const buffer = bufferOf('abc', 'de');
    buffer.take(1);
    buffer.prepend(Buffer.from('xyz'));
    expect(buffer.length).toBe(7);
  });

  test('is zero after clear', () => {
    const buffer = bufferOf('abc');
    buffer.clear();
    expect([buffer.length, buffer.indexOf(97)]).toEqual([0, -1]);
  });
});

describe('empty pieces', () => {
  test('change nothing', () => {
    const buffer = bufferOf('', 'a', '');
    buffer.prepend(new Uint8Array(0));
    expect([buffer.take(0).length, take(buffer)]).toEqual([0, 'a']);
  });

  test('can be taken from an empty buffer', () => {
    const buffer = new InputBuffer();
    expect([buffer.take(0).length, buffer.takeInto(new Uint8Array(4)), buffer.length]).toEqual([0, 0, 0]);
  });
});

describe("taking into the caller's memory", () => {
  test('takes as many bytes as fit and keeps the rest', () => {
    const buffer = bufferOf('abcde');
    const into = new Uint8Array(3);
    expect([buffer.takeInto(into), Buffer.from(into).toString(), take(buffer)]).toEqual([3, 'abc', 'de']);
  });

  test('does not touch the memory beyond the bytes', () => {
    const into = new Uint8Array(4).fill(255);
    expect([bufferOf('a').takeInto(into), [...into]]).toEqual([1, [97, 255, 255, 255]]);
  });
});

test('a taken piece is a copy, so later bytes do not change it', () => {
  const buffer = bufferOf('abc');
  const taken = buffer.take(2);
  buffer.append(Buffer.from('zzzz'));
  buffer.prepend(Buffer.from('yy'));
  expect(Buffer.from(taken).toString()).toBe('ab');
});

test('an appended piece is copied, so its memory may be used again at once', () => {
  const buffer = new InputBuffer();
  const piece = Buffer.from('abc');
  buffer.append(piece);
  piece.fill(0);
  expect(take(buffer)).toBe('abc');
});

describe('a search', () => {
  test('finds the first of several matches', () => {
    expect(bufferOf('ab\ncd\n').indexOf(LF)).toBe(2);
  });

  test('returns -1 when there is no match', () => {
    expect([bufferOf('abc').indexOf(LF), new InputBuffer().indexOf(LF)]).toEqual([-1, -1]);
  });

  test('returns the same result again', () => {
    const buffer = bufferOf('ab\n');
    expect([buffer.indexOf(LF), buffer.indexOf(LF)]).toEqual([2, 2]);
  });

  test('finds a match that is appended after it found none', () => {
    const buffer = bufferOf('abc');
    buffer.indexOf(LF);
    buffer.append(Buffer.from('d\n'));
    expect(buffer.indexOf(LF)).toBe(4);
  });

  test('returns the index from the current front', () => {
    const buffer = bufferOf('ab\ncd\n');
    buffer.indexOf(LF);
    buffer.take(3);
    expect(buffer.indexOf(LF)).toBe(2);
  });

  test('still finds its match after bytes before it were taken', () => {
    const buffer = bufferOf('abc\n');
    buffer.indexOf(LF);
    buffer.take(2);
    expect(buffer.indexOf(LF)).toBe(1);
  });

  test('finds a match in bytes that were put back', () => {
    const buffer = bufferOf('abc');
    buffer.take(2);
    buffer.indexOf(LF);
    buffer.prepend(Buffer.from('\n'));
    expect(buffer.indexOf(LF)).toBe(0);
  });

  test('for one byte does not disturb a search for another', () => {
    const buffer = bufferOf('a\rb\n');
    expect([buffer.indexOf(LF), buffer.indexOf(13), buffer.indexOf(LF)]).toEqual([3, 1, 3]);
  });

  test('is right after the bytes moved to other memory', () => {
    const buffer = bufferOf('x'.repeat(200));
    buffer.take(150);
    buffer.indexOf(LF);
    buffer.append(Buffer.from(`${'y'.repeat(400)}\n`));
    expect(buffer.indexOf(LF)).toBe(450);
  });

  test('starts again after all bytes were taken', () => {
    const buffer = bufferOf('abc\n');
    buffer.indexOf(LF);
    buffer.take(4);
    buffer.append(Buffer.from('\nx'));
    expect(buffer.indexOf(LF)).toBe(0);
  });
});

test('a line of 1 MiB that arrives byte by byte is searched in linear time', () => {
  const buffer = new InputBuffer();
  const byte = Buffer.from('x');
  // With quadratic searching or moving this would take an hour.
  for (let at = 0; at < 1_048_576; at++) {
    buffer.append(byte);
    if (buffer.indexOf(LF) >= 0) throw new Error('indexOf found a byte that is not there');
  }
  buffer.append(Buffer.from('\n'));
  expect(buffer.indexOf(LF)).toBe(1_048_576);
});

describe('the memory', () => {
  /**
   * Runs the steps: a positive number appends bytes, a negative number takes them, `['front', n]` puts bytes back.
   * @returns the size of the memory of a final take of all the rest.
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
    ['is handed to the caller of take with many bytes', 80_000, [40_000, 30_000]],
    ['is handed over from 64 KiB on', 80_000, [40_000, 25_536]],
    ['is not handed over with less than 64 KiB', 65_535, [40_000, 25_535]],
    ['is not handed over when most of it is unused', 70_000, [400_000, -330_000]],
    ['is handed over when half of it is unused', 140_000, [140_000, -70_000]],
    ['is not handed over when more than half of it is unused', 70_000, [140_001, -70_001]],
    ['grows by doubling', 100_000, [50_000, 30_000]],
    ['grows to the needed size if doubling is not enough', 150_001, [50_000, 100_001]],
    ['is filled to its end before it grows', 100_000, [50_000, 30_000, 20_000]],
    ['is used again when half of it is free', 100_000, [100_000, -50_000, 50_000]],
    ['grows, instead of moving bytes within it, when less than half is free', 120_000, [100_000, -40_000, 35_000]],
    ['grows when too little of it is free', 100_001, [100_000, -60_000, 60_001]],
    ['has room in front for the bytes that were taken', 100_000, [100_000, -70_000, ['front', 70_000]]],
    ['grows when more bytes are put back than were taken', 100_001, [100_000, -70_000, ['front', 70_001]]],
    [
      'is kept, and its bytes move, to make room in front',
      100_000,
      [100_000, -10_000, -50_000, ['front', 30_000], -30_000, 10_000, ['front', 50_000]],
    ],
  ])('%s', (_, bytes, steps) => {
    expect(memoryAfter(...steps)).toBe(bytes);
  });

  test('of a partial take is a copy that belongs to the caller', () => {
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
] as const)('a search for the byte 1 starts again after bytes were %s', (_, change) => {
  const buffer = new InputBuffer();
  buffer.append(Buffer.from('abc'));
  expect(buffer.indexOf(1)).toBe(-1);
  change(buffer);
  expect(buffer.indexOf(1)).toBe(0);
});
