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

describe('taking into the caller\'s memory', () => {
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
