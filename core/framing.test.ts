import { describe, expect, it } from 'vitest';

import { FramingError } from './errors.ts';
import { Framing, patternOfFraming } from './framing.ts';
import type { FramingInput } from './framing.ts';
import { InputBuffer } from './input-buffer.ts';
import { MORE } from './pattern.ts';

/** Messages of two bytes. Records the state that it finds at each call, and counts its calls there. */
class Pairs extends Framing<string> {
  readonly states: unknown[] = [];
  override readonly decodesFromView: boolean;

  constructor(decodesFromView = false) {
    super();
    this.decodesFromView = decodesFromView;
  }

  measure(input: FramingInput): number {
    this.states.push(input.state);
    input.state = ((input.state as number | undefined) ?? 0) + 1;
    return input.length < 2 ? MORE : 2;
  }

  decode(frame: Uint8Array): string {
    const text = Buffer.from(frame).toString();
    if (text === '!!') throw new Error('no exclamation marks');
    return text;
  }

  encode(message: string): string {
    return message;
  }
}

const inputOf = (text: string): InputBuffer => {
  const input = new InputBuffer();
  input.append(Buffer.from(text));
  return input;
};

describe('the state of a framing', () => {
  it('is kept while a message is unfinished, and no longer', () => {
    const framing = new Pairs();
    const pattern = patternOfFraming(framing);
    const input = inputOf('a');
    expect(pattern.measure(input, false, 10)).toBe(MORE);
    input.append(Buffer.from('bc'));
    expect(pattern.take(input, pattern.measure(input, false, 10))).toBe('ab');
    expect(pattern.measure(input, false, 10)).toBe(MORE);
    expect(framing.states).toEqual([undefined, 1, undefined]);
  });

  it('is dropped when bytes are put back', () => {
    const framing = new Pairs();
    const input = inputOf('b');
    patternOfFraming(framing).measure(input, false, 10);
    input.prepend(Buffer.from('a'));
    patternOfFraming(framing).measure(input, false, 10);
    expect(framing.states).toEqual([undefined, undefined]);
  });

  it('is not seen by another framing', () => {
    const [one, other] = [new Pairs(), new Pairs()];
    const input = inputOf('a');
    for (const framing of [one, other, one]) patternOfFraming(framing).measure(input, false, 10);
    expect([one.states, other.states]).toEqual([[undefined, undefined], [undefined]]);
  });
});

describe.each([false, true])('a message that cannot be decoded (from a view: %s)', (isView) => {
  it('stays in the input', () => {
    const pattern = patternOfFraming(new Pairs(isView));
    const input = inputOf('!!ab');
    expect(() => pattern.take(input, 2)).toThrow(FramingError);
    expect(() => pattern.take(input, 2)).toThrow('the message cannot be decoded: no exclamation marks');
    expect(Buffer.from(input.take(4)).toString()).toBe('!!ab');
  });
});

describe('the input of a framing', () => {
  it('refuses to show bytes that have not come', () => {
    const input = inputOf('abcd');
    input.skip(1);
    expect(input.at(2)).toBe(100);
    for (const index of [-1, 3, NaN]) expect(() => input.at(index)).toThrow(RangeError);
    for (const [from, to] of [
      [0, 4],
      [2, 1],
      [-1, 2],
    ])
      expect(() => input.view(from, to)).toThrow(RangeError);
    expect(Buffer.from(input.view(1, 3)).toString()).toBe('cd');
  });

  it('finds bytes from an index on, whatever was searched before', () => {
    const input = inputOf('a.b.c.');
    const dot = Buffer.from('.');
    expect([0, 2, 1, 4, 0, 6, 7].map((from) => input.indexOf(dot, from))).toEqual([1, 3, 1, 5, 1, -1, -1]);
    input.skip(2);
    expect([0, 2].map((from) => input.indexOf(dot, from))).toEqual([1, 3]);
  });
});
