import { describe, expect, it } from 'vitest';

import {
  bytes,
  checkArgument,
  checkOptions,
  count,
  countOrNone,
  either,
  flag,
  func,
  group,
  listOf,
  milliseconds,
  oneOf,
  partWith,
  required,
  secret,
  signal,
  text,
  trust,
} from './options.ts';
import type { Rules } from './options.ts';
import { timeoutsRule } from './timeouts.ts';

interface Sample {
  readonly size: number;
  readonly mode?: 'on' | 'off' | undefined;
  readonly protocols?: { readonly min?: string } | undefined;
  readonly key?: Uint8Array | undefined;
  readonly limitMs?: number | undefined;
  readonly many?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeouts?: object | undefined;
  readonly isOn?: boolean | undefined;
  readonly names?: readonly string[] | (() => string) | undefined;
  readonly part?: object | undefined;
}

const RULES = {
  size: required(count(1, 9)),
  mode: oneOf('on', 'off'),
  protocols: group({ min: trust(text) }),
  key: secret(trust(bytes)),
  limitMs: milliseconds,
  many: countOrNone(1),
  signal,
  timeouts: timeoutsRule,
  isOn: flag,
  names: either(listOf(text, 1), func),
  part: partWith('a part', 'run'),
} satisfies Rules<Sample>;

const refusal = (given: unknown): string => {
  try {
    checkOptions('call', given, RULES);
    return 'taken';
  } catch (error) {
    return String(error);
  }
};
/** The same, with the required option added. */
const refusalOf = (given: object): string => refusal({ size: 1, ...given });

describe('options', () => {
  it('are accepted when each is valid or absent', () => {
    const all = {
      mode: 'on',
      limitMs: -1,
      many: Infinity,
      isOn: false,
      key: new Uint8Array(1),
      signal: AbortSignal.abort(),
      timeouts: { blockMs: 1, totalMs: undefined },
      names: ['a'],
      part: { run: () => 1 },
    };
    expect([{}, all, { mode: undefined }, { names: () => 'a' }].map(refusalOf)).toEqual([
      'taken',
      'taken',
      'taken',
      'taken',
    ]);
  });

  it('with an unknown name are refused; the message suggests a name or lists all', () => {
    expect(
      [{ sise: 1 }, { minVersion: 'x' }, { elephant: 1 }, { timeouts: { blokMs: 1 } }, { toString: 1 }].map(refusalOf),
    ).toEqual([
      'TypeError: call has no option "sise"; did you mean size?',
      'TypeError: call has no option "minVersion"; it is called protocols here',
      `TypeError: call has no option "elephant"; the known options are ${Object.keys(RULES).join(', ')}`,
      'TypeError: call has no option "timeouts.blokMs"; did you mean blockMs?',
      `TypeError: call has no option "toString"; the known options are ${Object.keys(RULES).join(', ')}`,
    ]);
  });

  it('of a wrong type or out of range are refused; the message says what they take and what was given', () => {
    const isMilliseconds = 'a number of milliseconds (negative or Infinity: no limit)';
    expect(
      [
        { size: '1' },
        { size: 10 },
        { mode: 'of' },
        { limitMs: null },
        { limitMs: NaN },
        { many: 0.5 },
        { signal: new AbortController() },
        { isOn: Promise.resolve(true) },
        { isOn: 7n },
      ].map(refusalOf),
    ).toEqual([
      'TypeError: call: size takes a whole number of 1…9, not "1"',
      'RangeError: call: size takes a whole number of 1…9, not 10',
      "RangeError: call: mode takes 'on' or 'off', not \"of\"",
      `TypeError: call: limitMs takes ${isMilliseconds}, not null`,
      `RangeError: call: limitMs takes ${isMilliseconds}, not NaN`,
      'RangeError: call: many takes a whole number of at least 1, or Infinity for no limit, not 0.5',
      'TypeError: call: signal takes an AbortSignal (the `signal` of an AbortController), not an object of AbortController',
      'TypeError: call: isOn takes true or false, not a Promise: await it first',
      'TypeError: call: isOn takes true or false, not 7n',
    ]);
    expect(
      [
        { timeouts: { totalMs: '1000' } },
        { timeouts: null },
        { timeouts: 5 },
        { names: [] },
        { names: ['a', 7] },
        { names: new Array(2) },
        { part: { run: 1 } },
      ].map(refusalOf),
    ).toEqual([
      `TypeError: call: timeouts.totalMs takes ${isMilliseconds}, not "1000"`,
      'TypeError: call: timeouts takes { blockMs, totalMs }, not null',
      'TypeError: call: timeouts takes { blockMs, totalMs }, not 5',
      'RangeError: call: names takes a non-empty list, each member a non-empty string, or a function, not a list',
      'TypeError: call: names[1] takes a non-empty string, not 7',
      'TypeError: call: names[0] takes a non-empty string, not undefined',
      'TypeError: call: part takes a part, not an object',
    ]);
  });

  it('that may be secret are not shown in the message, and neither is PEM in any option', () => {
    const pem = '-----BEGIN PRIVATE KEY-----\nsecret';
    for (const given of [{ key: 'hunter2' }, { key: pem }, { mode: pem }, { key: 4711 }])
      expect(refusalOf(given)).toMatch(/not (?:a string|a number) \(not shown\)$/);
    expect(refusal(pem)).toBe('TypeError: call takes its options as an object, not a string (not shown)');
  });

  it('that decide about trust are refused when they are undefined, also inside other options', () => {
    expect([{ key: undefined }, { protocols: { min: undefined } }].map(refusalOf)).toEqual([
      'TypeError: call: key decides about trust and is undefined: give it a value, or leave it out',
      'TypeError: call: protocols.min decides about trust and is undefined: give it a value, or leave it out',
    ]);
  });

  it('that are required are refused when they are absent or undefined', () => {
    expect([{}, { size: undefined }].map(refusal)).toEqual([
      'TypeError: call needs size: a whole number of 1…9',
      'TypeError: call needs size: a whole number of 1…9',
    ]);
  });

  it('must be a plain object, not a promise, a list, a map or another built-in', () => {
    const controller = new AbortController();
    const odd = [
      8080,
      null,
      undefined,
      [],
      () => 1,
      new Map(),
      new Date(),
      Promise.resolve({}),
      controller,
      controller.signal,
      new URL('https://a.test'),
    ];
    for (const given of odd) expect(refusal(given)).toMatch(/^TypeError: call takes its options as an object, not /);
  });

  it('are checked when they are inherited, because the call reads them as well', () => {
    expect(refusal(Object.create({ size: 0 }))).toContain('RangeError: call: size takes');
    expect(refusal(Object.create({ size: 1, sise: 1 }))).toContain('has no option "sise"');
    expect(
      refusal(
        new (class {
          get size() {
            return 'x';
          }
        })(),
      ),
    ).toContain('TypeError: call: size takes');
    // A property that a program has added to Object.prototype is not an option.
    Object.defineProperty(Object.prototype, 'added', {
      value: 1,
      enumerable: true,
      configurable: true,
      writable: true,
    });
    try {
      expect(refusalOf({})).toBe('taken');
    } finally {
      Reflect.deleteProperty(Object.prototype, 'added');
    }
  });
});

it('an argument is refused when it is undefined or of a wrong type', () => {
  expect(() => {
    checkArgument('call', 'the data', undefined, bytes);
  }).toThrow(new TypeError('call: the data takes bytes (a Uint8Array), not undefined'));
  expect(() => {
    checkArgument('call', 'the data', 'x', bytes);
  }).toThrow(new TypeError('call: the data takes bytes (a Uint8Array), not "x"'));
  checkArgument('call', 'the data', new Uint8Array(1), bytes);
});
