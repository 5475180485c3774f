import { describe, expect, it } from 'vitest';

import { bytes, checkOptions, count, countOrNone, flag, milliseconds, oneOf, secret, signal, text, timeouts, trust } from './options.ts';
import type { Rules } from './options.ts';

interface Sample {
  readonly size?: number | undefined;
  readonly mode?: 'on' | 'off' | undefined;
  readonly protocols?: string | undefined;
  readonly key?: Uint8Array | undefined;
  readonly limitMs?: number | undefined;
  readonly many?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeouts?: object | undefined;
  readonly isOn?: boolean | undefined;
}

const RULES = { size: count(1, 9), mode: oneOf('on', 'off'), protocols: text, key: secret(trust(bytes)), limitMs: milliseconds, many: countOrNone(1), signal, timeouts, isOn: flag } satisfies Rules<Sample>;

const refusal = (given: unknown): string => {
  try {
    checkOptions('call', given, RULES);
    return 'taken';
  } catch (error) {
    return String(error);
  }
};

describe('options', () => {
  it('are taken when all are right or not given', () => {
    expect([{}, { size: 1, mode: 'on', limitMs: -1, many: Infinity, isOn: false, key: new Uint8Array(1), signal: AbortSignal.abort(), timeouts: { blockMs: 1, totalMs: undefined } }, { size: undefined }].map(refusal)).toEqual(['taken', 'taken', 'taken']);
  });

  it('of an unknown name are refused with the name that is meant, or all that are known', () => {
    expect([{ sise: 1 }, { minVersion: 'x' }, { elephant: 1 }].map(refusal)).toEqual([
      'TypeError: call has no option "sise"; did you mean size?',
      'TypeError: call has no option "minVersion"; it is called protocols here',
      'TypeError: call has no option "elephant"; it knows size, mode, protocols, key, limitMs, many, signal, timeouts, isOn',
    ]);
  });

  it('of a wrong type or out of range are refused with what they take and what they were given', () => {
    expect([{ size: '1' }, { size: 10 }, { mode: 'of' }, { limitMs: null }, { limitMs: NaN }, { many: 0.5 }, { signal: new AbortController() }, { timeouts: { totalMs: '1000' } }, { timeouts: { totlMs: 1 } }, { timeouts: null }, { isOn: Promise.resolve(true) }].map(refusal)).toEqual([
      'TypeError: call: size takes a whole number of 1…9, not "1"',
      'RangeError: call: size takes a whole number of 1…9, not 10',
      "RangeError: call: mode takes 'on', 'off', not \"of\"",
      'TypeError: call: limitMs takes a number of milliseconds; negative or Infinity for no limit, not null',
      'RangeError: call: limitMs takes a number of milliseconds; negative or Infinity for no limit, not NaN',
      'RangeError: call: many takes a whole number of at least 1, or Infinity for no limit, not 0.5',
      'TypeError: call: signal takes an AbortSignal (of an AbortController its `signal`), not an object of AbortController',
      expect.stringContaining('TypeError: call: timeouts takes an object with blockMs and totalMs'),
      expect.stringContaining('TypeError: call: timeouts takes an object with blockMs and totalMs'),
      expect.stringContaining('TypeError: call: timeouts takes an object with blockMs and totalMs'),
      'TypeError: call: isOn takes true or false, not a Promise: await it first',
    ]);
  });

  it('that could be secret are not shown, and those that decide about trust are not dropped', () => {
    expect([{ key: 'hunter2' }, { key: undefined }].map(refusal)).toEqual([
      'TypeError: call: key takes bytes (a Uint8Array), not this text (not shown: it may be secret)',
      'TypeError: call: key decides about trust and is there without a value: give it one, or leave it out',
    ]);
  });

  it('are an object', () => {
    expect([8080, null, undefined, [], () => 1].map(refusal)).toEqual(['8080', 'null', 'undefined', 'list', 'function'].map((what) => `TypeError: call takes its options as an object, not ${what}`));
  });
});
