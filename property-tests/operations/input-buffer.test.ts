// Law: the input buffer is a queue of bytes. After any calls it holds the same bytes as a string model.

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { InputBuffer } from '../../core/input-buffer.ts';
import { checkLaw } from '../kit/law.ts';

type Action =
  | { readonly do: 'append' | 'prepend'; readonly text: string }
  | { readonly do: 'take' | 'takeInto'; readonly share: number }
  | { readonly do: 'indexOf'; readonly byte: string }
  | { readonly do: 'indexOfSequence'; readonly sequence: Buffer }
  | { readonly do: 'skip'; readonly share: number }
  | { readonly do: 'clear' };

test('the input buffer holds the same bytes as a string model', async () => {
  await checkLaw(
    fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
      const buffer = new InputBuffer();
      let model = '';
      for (const action of actions) {
        model = check(buffer, model, action);
        expect(buffer.length).toBe(model.length);
      }
      expect(textOf(buffer.take(buffer.length))).toBe(model);
    }),
    2_000,
  );
});

/** Runs `action` on the buffer and on the model. @returns the new model. */
function check(buffer: InputBuffer, model: string, action: Action): string {
  switch (action.do) {
    case 'append':
      buffer.append(Buffer.from(action.text));
      return model + action.text;
    case 'prepend':
      buffer.prepend(Buffer.from(action.text));
      return action.text + model;
    case 'take': {
      const count = Math.round(action.share * model.length);
      expect(textOf(buffer.take(count))).toBe(model.slice(0, count));
      return model.slice(count);
    }
    case 'takeInto': {
      const into = new Uint8Array(Math.round(action.share * 300));
      const count = buffer.takeInto(into);
      expect(textOf(into.subarray(0, count))).toBe(model.slice(0, into.length));
      return model.slice(into.length);
    }
    case 'indexOf':
      expect(buffer.indexOf(action.byte.charCodeAt(0))).toBe(model.indexOf(action.byte));
      return model;
    case 'indexOfSequence':
      expect(buffer.indexOf(action.sequence)).toBe(model.indexOf(textOf(action.sequence)));
      return model;
    case 'skip': {
      const count = Math.round(action.share * 300);
      expect(buffer.skip(count)).toBe(Math.min(count, model.length));
      return model.slice(count);
    }
    case 'clear':
      buffer.clear();
      return '';
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

const SEQUENCES = ['ab', 'aa', 'aab', '\n'].map((sequence) => Buffer.from(sequence));
// The texts contain the bytes that `indexOf` searches for, and some lengths are close to those at which the buffer
// grows.
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', 'x', 'y', '\n'), maxLength: 8 }),
  fc
    .tuple(fc.constantFrom('a', 'b', 'z'), fc.integer({ min: 100, max: 600 }))
    .map(([unit, length]) => unit.repeat(length)),
);
const share = fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(1));
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('append' as const), text }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('prepend' as const), text }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('take' as const, 'takeInto' as const), share }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('indexOf' as const), byte: fc.constantFrom('a', 'b', '\n') }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('indexOfSequence' as const),
      // The same object each time: the search continues where it stopped.
      sequence: fc.constantFrom(...SEQUENCES),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('skip' as const), share }) },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
);
