/** The conformance checks of framings, for any test runner. Every framing must pass them. */

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';

import { BoundsError, FramingError } from '../../core/errors.ts';
import { patternOfFraming } from '../../core/framing.ts';
import type { Framing } from '../../core/framing.ts';
import { InputBuffer } from '../../core/input-buffer.ts';
import { checkOptions, count, func } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { MORE } from '../../core/pattern.ts';
import type { Sendable } from '../../core/send.ts';
import type { Check } from './check-transport.ts';
import { checkLaw } from './law.ts';

/** How a framing is checked. */
export interface FramingCheckOptions<In, Out> {
  /**
   * Returns whether `received` is the message that was sent. By default strings and bytes must have the same bytes, and
   * other messages must be deeply equal.
   */
  readonly equals?: ((received: In, sent: Out) => boolean) | undefined;
  /** The most bytes that the framing adds to a message, 16 by default. */
  readonly overhead?: number | undefined;
  /** How many random inputs each check tries, 500 by default. */
  readonly inputs?: number | undefined;
}

export const FRAMING_CHECK_RULES = { equals: func, overhead: count(0), inputs: count(1) } satisfies Rules<
  FramingCheckOptions<unknown, unknown>
>;

/**
 * Makes the checks of a framing, each of which runs on random inputs.
 * @param framing the framing to check.
 * @param messages an arbitrary of fast-check for messages that the framing can carry.
 * @returns the checks. `run` rejects when the framing breaks the rule in `name`.
 * @throws {TypeError | RangeError} when an option is unknown or not valid.
 * @example
 * import fc from 'fast-check';
 * import { netstrings } from 'wantio/protocols';
 * import { checkFraming } from 'wantio/testing';
 *
 * for (const { name, run } of checkFraming(netstrings(), fc.uint8Array(), { inputs: 50 })) {
 *   await run(); // With a test runner: test(name, run)
 *   if (name === '') throw new Error('a check without a name');
 * }
 */
export function checkFraming<In, Out>(
  framing: Framing<In, Out>,
  messages: fc.Arbitrary<Out>,
  options: FramingCheckOptions<In, Out> = {},
): Check[] {
  checkOptions('checkFraming', options, FRAMING_CHECK_RULES);
  const { equals = isSame, overhead = 16, inputs = 500 } = options;
  const some = fc.array(messages, { minLength: 1, maxLength: 5 });
  const encoded = some.map((list) => Buffer.concat(list.map((each) => bytesOf(framing.encode(each)))));
  const anyInput = fc.oneof(fc.uint8Array({ maxLength: 80 }), edited(encoded));
  const assertSame = (received: readonly In[], sent: readonly Out[]): void => {
    assert.equal(received.length, sent.length, 'the number of messages');
    for (const [index, message] of received.entries())
      assert(equals(message, sent[index]), `message ${String(index)} is not the one that was sent`);
  };
  const law = (name: string, property: fc.IRawProperty<unknown>): Check => ({
    name,
    run: () => checkLaw(property, inputs),
  });
  return [
    law(
      'returns the messages that were sent, whether their bytes come at once, one by one or in pieces',
      fc.asyncProperty(some, pieces, async (sent, cut) => {
        const all = Buffer.concat(sent.map((each) => bytesOf(framing.encode(each))));
        for (const given of [[all], byteByByte(all), cut(all)]) {
          const { received, failure, left } = receive(framing, given, all.length);
          assert.deepEqual({ failure, left: left.length }, { failure: undefined, left: 0 });
          assertSame(received, sent);
        }
        await Promise.resolve();
      }),
    ),
    law(
      'keeps no reference to its bytes in a message if it sets decodesFromView',
      fc.asyncProperty(messages, async (sent) => {
        const frame = bytesOf(framing.encode(sent));
        const received = framing.decode(frame);
        if (framing.decodesFromView) frame.fill(0xa5);
        assertSame([received], [sent]);
        await Promise.resolve();
      }),
    ),
    law(
      'leaves the bytes after a message to the next message',
      fc.asyncProperty(messages, anyInput, async (sent, rest) => {
        const all = Buffer.concat([bytesOf(framing.encode(sent)), rest]);
        const input = inputOf(all);
        const count = framing.measure(input.lookedAtBy(framing), all.length);
        assert(count > 0 && count <= all.length, `measure returned ${String(count)}`);
        assertSame([framing.decode(input.take(count))], [sent]);
        assert.deepEqual(Buffer.from(input.take(input.length)), Buffer.from(rest));
        await Promise.resolve();
      }),
    ),
    law(
      'returns the same messages and the same error for any bytes, whatever pieces they come in',
      fc.asyncProperty(anyInput, fc.integer({ min: 1, max: 100 }), pieces, async (all, maxBytes, cut) => {
        const whole = receive(framing, [all], maxBytes);
        assert.deepEqual(receive(framing, cut(all), maxBytes), whole);
        assert.deepEqual(receive(framing, byteByByte(all), maxBytes), whole);
        await Promise.resolve();
      }),
    ),
    law(
      'never waits for more bytes than maxBytes and those that the framing adds',
      fc.asyncProperty(fc.oneof(edited(encoded), fc.uint8Array()), fc.nat(255), async (begin, filler) => {
        const endless = Buffer.concat([begin, Buffer.alloc(MAX_BYTES + overhead + 1, filler)]);
        const { left, failure } = receive(framing, byteByByte(endless), MAX_BYTES);
        if (failure === undefined)
          assert(
            left.length <= MAX_BYTES + overhead,
            `it still waits after ${String(left.length)} bytes of one message`,
          );
        await Promise.resolve();
      }),
    ),
    law(
      'accepts a message if maxBytes is at least its length, and refuses it otherwise',
      fc.asyncProperty(messages, async (sent) => {
        const all = bytesOf(framing.encode(sent));
        let least = 1;
        for (let most = all.length; least < most;) {
          const middle = Math.floor((least + most) / 2);
          if (receive(framing, [all], middle).failure === undefined) most = middle;
          else least = middle + 1;
        }
        assert.equal(receive(framing, [all], least).failure, undefined);
        assert(
          all.length - least <= overhead,
          `it adds ${String(all.length - least)} bytes to a message (option overhead)`,
        );
        for (let bound = Math.max(1, least - 20); bound < least; bound++)
          assert.equal(receive(framing, [all], bound).failure?.name, 'BoundsError', `at the bound ${String(bound)}`);
        await Promise.resolve();
      }),
    ),
  ];
}

interface Outcome<In> {
  readonly received: readonly In[];
  readonly failure:
    { readonly name: string; readonly message: string; readonly offset: number | undefined } | undefined;
  readonly left: Buffer;
}

/** Receives messages until the bytes are used up or receiving fails, as a connection does. */
function receive<In>(framing: Framing<In, never>, pieces: readonly Uint8Array[], maxBytes: number): Outcome<In> {
  const input = new InputBuffer();
  const pattern = patternOfFraming(framing);
  const received: In[] = [];
  let failure: Outcome<In>['failure'];
  for (const piece of [NONE, ...pieces]) {
    input.append(piece);
    while (failure === undefined) {
      try {
        const count = pattern.measure(input, false, maxBytes);
        if (count === MORE) break;
        received.push(pattern.take(input, count));
      } catch (error) {
        if (!(error instanceof BoundsError || error instanceof FramingError)) throw error;
        const { name, message } = error;
        failure = { name, message, offset: error instanceof FramingError ? error.offset : undefined };
      }
    }
  }
  return { received, failure, left: Buffer.from(input.take(input.length)) };
}

const byteByByte = (all: Uint8Array): Uint8Array[] => Array.from(all, (byte) => Uint8Array.of(byte));

const pieces = fc
  .array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 })
  .map((sizes) => (all: Uint8Array) => {
    const cut = [];
    for (let at = 0, index = 0; at < all.length; index++) {
      const size = sizes[index % sizes.length];
      cut.push(all.subarray(at, at + size));
      at += size;
    }
    return cut;
  });

/** Inputs that are nearly valid: some bytes of a valid one are replaced, removed or inserted. */
function edited(encoded: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    at: fc.nat(),
    removes: fc.nat(2),
    inserts: fc.uint8Array({ maxLength: 2 }),
  });
  return fc.tuple(encoded, fc.array(edit, { maxLength: 3 })).map(([bytes, edits]) =>
    edits.reduce((now, { at, removes, inserts }) => {
      const from = at % (now.length + 1);
      return Buffer.concat([now.subarray(0, from), inserts, now.subarray(from + removes)]);
    }, Buffer.from(bytes)),
  );
}

function inputOf(bytes: Uint8Array): InputBuffer {
  const input = new InputBuffer();
  input.append(bytes);
  return input;
}

function bytesOf(data: Sendable): Buffer {
  if (typeof data === 'string') return Buffer.from(data);
  return data instanceof Uint8Array ? Buffer.from(data) : Buffer.concat(data.map((piece) => bytesOf(piece)));
}

function isSame(received: unknown, sent: unknown): boolean {
  if (isText(received) && isText(sent)) return Buffer.from(received).equals(Buffer.from(sent));
  return isDeepStrictEqual(received, sent);
}

const isText = (message: unknown): message is string | Uint8Array =>
  typeof message === 'string' || message instanceof Uint8Array;

const MAX_BYTES = 100;
const NONE = new Uint8Array(0);
