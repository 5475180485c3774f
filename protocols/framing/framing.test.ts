import { describe, expect, it } from 'vitest';

import { BoundsError, FramingError } from '../../core/errors.ts';
import { patternOfFraming } from '../../core/framing.ts';
import type { Framing } from '../../core/framing.ts';
import { InputBuffer } from '../../core/input-buffer.ts';
import { MORE } from '../../core/pattern.ts';
import { delimited, fixedRecords, lengthPrefixed, lines, netstrings, varintPrefixed } from './index.ts';
import type { PartedMessage } from './index.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const latin1Of = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** @returns the first message in `text` (a character for each byte), or `MORE`. */
function first<In>(framing: Framing<In, never>, text: string, maxBytes = framing.defaultMaxBytes): In | typeof MORE {
  const input = new InputBuffer();
  input.append(latin1(text));
  const pattern = patternOfFraming(framing);
  const count = pattern.measure(input, false, maxBytes);
  return count === MORE ? MORE : pattern.take(input, count);
}

function failure(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

const FOUR = lengthPrefixed({ bytes: 4 });
const LONG = '\x80'.repeat(10);

describe('bytes that cannot be a message', () => {
  it.each<[string, Framing<unknown, never>, string, number | undefined, string, number?]>([
    ['a line that is too long', lines(), 'x'.repeat(65_537), undefined, 'the line is longer than 65536 bytes'],
    ['a line that is not UTF-8', lines(), 'ab\xffcd\n', 2, 'the line is not valid UTF-8'],
    ['a line with half of a character', lines(), 'ab\xc3\n', 2, 'the line is not valid UTF-8'],
    ['a message without a delimiter', delimited('END'), 'x'.repeat(14), undefined, 'the message is longer than 10', 10],
    ['a length of 2^31', FOUR, '\x80\0\0\0', undefined, 'the message is longer than 1048576 bytes'],
    ['a length of 2^31 without a bound', FOUR, '\x80\0\0\0', 0, 'the announced length, 2147483648 bytes', Infinity],
    [
      'a length of 2^64 - 1 without a bound',
      lengthPrefixed({ bytes: 8 }),
      '\xff'.repeat(8),
      0,
      'is more than the 2147483647 bytes of the longest message',
      Infinity,
    ],
    [
      'a length that is less than what it counts',
      lengthPrefixed({ bytes: 4, head: 1, counts: ['length', 'body'] }),
      'Q\0\0\0\x03',
      1,
      'the length, 3, is less than the 4 bytes that it counts in addition to the body',
    ],
    ['a varint of eleven bytes', varintPrefixed(), `${LONG}\x01`, 9, 'the length is a varint of more than 64 bits'],
    ['a varint of 65 bits', varintPrefixed(), '\x80'.repeat(9) + '\x02', 9, 'a varint of more than 64 bits'],
    ['a varint above the bound', varintPrefixed(), '\xff\x01', undefined, 'the message is longer than 100', 100],
    [
      'a netstring with a sign',
      netstrings(),
      '-1:a,',
      0,
      'byte 45 in the length of a netstring is not a decimal digit',
    ],
    [
      'a netstring without a length',
      netstrings(),
      ':,',
      0,
      'byte 58 in the length of a netstring is not a decimal digit',
    ],
    ['a netstring with a leading zero', netstrings(), '03:abc,', 0, 'has a leading zero'],
    [
      'a netstring with a space',
      netstrings(),
      '3 :abc,',
      1,
      'byte 32 in the length of a netstring is not a decimal digit',
    ],
    ['a netstring without its comma', netstrings(), '3:abcd', 5, 'a netstring ends with a comma, not with byte 100'],
    ['a netstring that announces too much', netstrings(), '99999999999999', undefined, 'longer than 1048576 bytes'],
    ['a netstring of 2^31 bytes without a bound', netstrings(), '2147483648', 0, 'the announced length', Infinity],
    ['a record above the bound', fixedRecords(8), '', undefined, 'the record is longer than 7 bytes', 7],
  ])('are refused: %s', (_, framing, text, offset, message, maxBytes) => {
    const error = failure(() => first(framing, text, maxBytes));
    expect(error).toBeInstanceOf(offset === undefined ? BoundsError : FramingError);
    expect((error as Error).message).toContain(message);
    if (offset !== undefined) expect(error).toMatchObject({ offset, code: 'ERR_WANTIO_FRAMING' });
  });

  it('fail with the error of a decoder as the cause', () => {
    const error = failure(() => first(lines().map<unknown>(JSON.stringify, JSON.parse), 'no JSON\n'));
    expect(error).toMatchObject({ name: 'FramingError', cause: { name: 'SyntaxError' } });
    expect((error as Error).message).toMatch(/^the message cannot be decoded: /);
  });

  it('are not taken when measure returns more than the number of bytes that have come', () => {
    const wrong = fixedRecords(3);
    wrong.measure = () => 4;
    expect(() => first(wrong, 'abc')).toThrow(
      'must return MORE or a number from 1 to 3, the length of its input, not 4',
    );
  });
});

describe('bytes that begin a message', () => {
  it.each<[string, Framing<unknown, never>, string]>([
    ['a line', lines(), 'abc\r'],
    ['a delimiter', delimited('END'), 'abcEN'],
    ['a length', lengthPrefixed({ bytes: 8 }), '\0\0\0\0\0\0\0'],
    ['a body', FOUR, '\0\0\0\x05abcd'],
    ['a varint', varintPrefixed(), '\x80\x80'],
    ['a netstring', netstrings(), '12:abc'],
    ['the comma of a netstring', netstrings(), '3:abc'],
    ['a record', fixedRecords(3), 'ab'],
  ])('wait for the rest of %s', (_, framing, text) => {
    expect(first(framing, text)).toBe(MORE);
  });
});

describe('messages', () => {
  it.each<[string, Framing<string | Uint8Array, never>, string, string]>([
    ['a line', lines(), 'abc\n', 'abc'],
    ['a line that ends with CR LF', lines(), 'abc\r\n', 'abc'],
    ['a line with a CR inside', lines(), 'a\rbc\r\r\n', 'a\rbc\r'],
    ['an empty line', lines(), '\n', ''],
    ['a message with a part of the delimiter', delimited('END'), 'ENEND', 'EN'],
    ['a message that counts everything', lengthPrefixed({ bytes: 2, counts: 'all' }), '\0\x05abc', 'abc'],
    ['a little-endian length', lengthPrefixed({ bytes: 3, order: 'little' }), '\x03\0\0abc', 'abc'],
    ['a varint that is longer than necessary', varintPrefixed(), '\x83\x80\x00abc', 'abc'],
    ['an empty netstring', netstrings(), '0:,', ''],
  ])('are received: %s', (_, framing, text, message) => {
    const received = first(framing, text) as string | Uint8Array;
    expect(Buffer.from(received).toString('latin1')).toBe(message);
  });

  it('are received in parts when they have a head and a trailer', () => {
    const framing = lengthPrefixed({ bytes: 1, head: 2, trailer: 1, counts: 'all' });
    const message = first(framing, 'ab\x07xyz!') as PartedMessage;
    const parts = Object.entries(message as unknown as Record<string, Uint8Array>).map(([part, bytes]) => [
      part,
      latin1Of(bytes),
    ]);
    expect(Object.fromEntries(parts)).toEqual({ head: 'ab', body: 'xyz', trailer: '!' });
  });

  it('wait for the body when a varint announces exactly maxBytes', () => {
    expect(first(varintPrefixed(), '\xac\x02', 300)).toBe(MORE);
  });
});

describe('a message that cannot be sent', () => {
  it.each<[string, () => unknown, string]>([
    ['a line with a line feed', () => lines().encode('a\nb'), 'it contains a line feed'],
    ['a line that ends with a CR', () => lines().encode('a\r'), 'the receiver would drop the carriage return'],
    ['half of a surrogate pair in bytes', () => netstrings().encode('a\udc00'), 'half of a surrogate pair'],
    ['half of a surrogate pair after a length', () => FOUR.encode('\ud800'), 'half of a surrogate pair'],
    ['a number', () => varintPrefixed().encode(3 as never), 'a string or bytes (a Uint8Array), not number'],
    ['nothing', () => lines().map<unknown>(JSON.stringify, JSON.parse).encode(undefined), 'a string, not undefined'],
    ['half of a surrogate pair', () => lines().encode('\ud800'), 'half of a surrogate pair'],
    ['the delimiter', () => delimited('aa').encode('baab'), 'the delimiter would be found inside it'],
    ['the beginning of the delimiter', () => delimited('aa').encode('ba'), 'the delimiter would be found inside it'],
    ['too much for the prefix', () => lengthPrefixed({ bytes: 1 }).encode('x'.repeat(256)), 'does not fit in 1 bytes'],
    [
      'too much with what the length counts',
      () => lengthPrefixed({ bytes: 1, counts: 'all' }).encode('x'.repeat(255)),
      'its length, 256, does not fit in 1 bytes',
    ],
    [
      'a head of another length',
      () => lengthPrefixed({ bytes: 1, head: 2 }).encode({ head: latin1('a'), body: latin1(''), trailer: latin1('') }),
      'its head has 1 bytes instead of 2',
    ],
    ['a record of another length', () => fixedRecords(3).encode(latin1('ab')), 'it has 2 bytes instead of 3'],
  ])('is refused: %s', (_, encode, message) => {
    const error = failure(encode);
    expect(error).toBeInstanceOf(FramingError);
    expect((error as Error).message).toContain(message);
  });
});

describe('options that are not valid', () => {
  it.each<[string, () => unknown, string]>([
    ['lines', () => lines({ ending: '\r' as never }), String.raw`lines: ending takes '\n' or '\r\n', not`],
    ['delimited', () => delimited(''), 'delimited: the delimiter takes'],
    [
      'lengthPrefixed',
      () => lengthPrefixed({ bytes: 5 as never }),
      'lengthPrefixed: bytes takes 1, 2, 3, 4 or 8, not 5',
    ],
    ['lengthPrefixed without a size', () => lengthPrefixed({} as never), 'lengthPrefixed needs bytes: 1, 2, 3, 4 or 8'],
    ['counts without the body', () => lengthPrefixed({ bytes: 1, counts: ['length'] }), 'lengthPrefixed: counts takes'],
    ['fixedRecords', () => fixedRecords(0), 'fixedRecords: the size takes'],
  ])('are refused: %s', (_, make, message) => {
    expect(make).toThrow(message);
  });
});
