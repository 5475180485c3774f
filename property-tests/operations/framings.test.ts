// Law: every framing passes the checks of `checkFraming`.

import fc from 'fast-check';
import { describe, it } from 'vitest';

import { BoundsError, FramingError } from '../../core/errors.ts';
import { Framing } from '../../core/framing.ts';
import type { FramingInput } from '../../core/framing.ts';
import { MORE } from '../../core/pattern.ts';
import {
  delimited,
  fixedRecords,
  lengthPrefixed,
  lines,
  netstrings,
  varintPrefixed,
} from '../../protocols/framing/index.ts';
import { checkFraming } from '../kit/check-framing.ts';

/** A user's framing, which keeps its place in `state`: each message is a list of lines, with an empty line after it. */
class Blocks extends Framing<string[]> {
  measure(input: FramingInput, maxBytes: number): number {
    let at = (input.state as number | undefined) ?? 0;
    for (;;) {
      const end = input.indexOf(10, at);
      if ((end < 0 ? input.length : end) > maxBytes) throw new BoundsError('the block', 'maxBytes', maxBytes);
      if (end < 0) return MORE;
      if (end === at) return end + 1;
      at = end + 1;
      input.state = at;
    }
  }

  decode(frame: Uint8Array): string[] {
    return Buffer.from(frame).toString('latin1').split('\n').slice(0, -2);
  }

  encode(block: string[]): string {
    if (block.some((line) => line === '' || line.includes('\n')))
      throw new FramingError('a line is empty or contains a line feed');
    return block.map((line) => `${line}\n`).join('') + '\n';
  }
}

const body = fc.uint8Array({ maxLength: 90 });
const inputs = 2_000;

function law<In, Out>(
  name: string,
  framing: Framing<In, Out>,
  messages: fc.Arbitrary<Out>,
  options: { readonly equals?: (received: In, sent: Out) => boolean; readonly overhead?: number } = {},
): void {
  describe(`the framing ${name}`, () => {
    for (const check of checkFraming(framing, messages, { inputs, ...options })) it(check.name, check.run, 600_000);
  });
}

const line = fc.string({ unit: 'binary', maxLength: 40 }).map((text) =>
  text
    .replaceAll('\n', '')
    .replace(/\r+$/, '')
    .replace(/\p{Surrogate}/gu, '?'),
);
law('lines', lines(), line);
law('lines that end with CR LF', lines({ ending: '\r\n' }), line);
law('lines of JSON', lines().map(JSON.stringify, JSON.parse), fc.jsonValue({ maxDepth: 1 }), {
  equals: (received, sent) => JSON.stringify(received) === JSON.stringify(sent),
});
for (const delimiter of ['\0', 'aab', 'aa'])
  law(
    `delimited by ${JSON.stringify(delimiter)}`,
    delimited(delimiter),
    fc
      .array(fc.constantFrom(...Buffer.from('\0\r\naabc')), { maxLength: 60 })
      .map((bytes) => Buffer.from(bytes))
      .filter((message) => Buffer.concat([message, Buffer.from(delimiter)]).indexOf(delimiter) === message.length),
  );
for (const [bytes, order] of [
  [1, 'big'],
  [2, 'little'],
  [3, 'big'],
  [4, 'little'],
  [8, 'big'],
] as const)
  law(`with a length of ${String(bytes)} bytes, ${order} endian`, lengthPrefixed({ bytes, order }), body);
law('with a length that counts everything', lengthPrefixed({ bytes: 2, counts: 'all' }), body);
law(
  'with a head, a trailer and a length that counts itself and the body',
  lengthPrefixed({ bytes: 4, head: 1, trailer: 2, counts: ['length', 'body'] }),
  fc.record({
    head: fc.uint8Array({ minLength: 1, maxLength: 1 }),
    body,
    trailer: fc.uint8Array({ minLength: 2, maxLength: 2 }),
  }),
  {
    equals: (received, sent) =>
      (['head', 'body', 'trailer'] as const).every((part) => Buffer.from(received[part]).equals(sent[part])),
  },
);
law('with a varint', varintPrefixed(), fc.oneof(body, fc.uint8Array({ minLength: 120, maxLength: 140 })));
law('of netstrings', netstrings(), body);
law('of fixed records', fixedRecords(7), fc.uint8Array({ minLength: 7, maxLength: 7 }));
law('of blocks of lines', new Blocks(), fc.array(fc.stringMatching(/^[a-z]{1,9}$/), { maxLength: 5 }));
