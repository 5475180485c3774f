/** What every session store must do: a list of checks for any test runner. A new store must pass them. */

import assert from 'node:assert/strict';

import { KEY_AT_MOST, TTL_AT_MOST_MS, VALUE_AT_MOST } from '../../stores/store.ts';
import type { SessionStore } from '../../stores/store.ts';

/** A store for one check. */
export interface StoreSetting {
  readonly store: SessionStore;
  /** Advances the clock that decides about expiry by this many milliseconds. */
  readonly pass: (ms: number) => Promise<void> | void;
  /** Releases everything. The check may have closed the store already. */
  readonly dispose: () => Promise<void>;
}

/** One check. */
export interface StoreCheck {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** @param make makes an empty store with room for a few megabytes. */
export function checkStore(make: () => Promise<StoreSetting>): StoreCheck[] {
  const check = checksOf(make);
  return [
    check('returns undefined for a key that was never set', async ({ store }) => {
      assert.equal(await store.get('absent'), undefined);
    }),
    check('returns the value of each key', async ({ store }) => {
      await store.set('one', bytes(100, 1), LONG);
      await store.set('two', bytes(200, 2), LONG);
      same(await store.get('one'), bytes(100, 1));
      same(await store.get('two'), bytes(200, 2));
    }),
    check('replaces the value of a key that is set again', async ({ store }) => {
      await store.set('key', bytes(3_000, 1), LONG);
      await store.set('key', bytes(10, 2), LONG);
      same(await store.get('key'), bytes(10, 2));
    }),
    check('keeps the last value of several concurrent sets', async ({ store }) => {
      await Promise.all(Array.from({ length: 20 }, async (_, index) => store.set('key', bytes(50, index), LONG)));
      same(await store.get('key'), bytes(50, 19));
    }),
    check('returns undefined for a removed key, and accepts the removal of an absent one', async ({ store }) => {
      await store.set('key', bytes(10, 1), LONG);
      await store.remove('key');
      assert.equal(await store.get('key'), undefined);
      await store.remove('key');
      await store.set('key', bytes(10, 2), LONG);
      same(await store.get('key'), bytes(10, 2));
    }),
    check('returns undefined for an expired key, and keeps the others', async ({ store, pass }) => {
      await store.set('short', bytes(10, 1), SHORT);
      await store.set('long', bytes(10, 2), LONG);
      await pass(SHORT + 1);
      assert.equal(await store.get('short'), undefined);
      same(await store.get('long'), bytes(10, 2));
    }),
    check('replaces the time to live with each set', async ({ store, pass }) => {
      await store.set('longer', bytes(10, 1), SHORT);
      await store.set('longer', bytes(10, 2), LONG);
      await store.set('shorter', bytes(10, 3), LONG);
      await store.set('shorter', bytes(10, 4), SHORT);
      await pass(SHORT + 1);
      same(await store.get('longer'), bytes(10, 2));
      assert.equal(await store.get('shorter'), undefined);
    }),
    check('stores values of every size up to the maximum', async ({ store }) => {
      for (const size of [0, 1, 84, 85, 127, 128, 129, 4_096, VALUE_AT_MOST]) {
        await store.set('sized', bytes(size, size), LONG);
        same(await store.get('sized'), bytes(size, size));
      }
    }),
    check('stores every byte value unchanged', async ({ store }) => {
      const all = Uint8Array.from({ length: 256 }, (_, index) => index);
      await store.set('all', all, LONG);
      same(await store.get('all'), all);
    }),
    check('accepts every valid key', async ({ store }) => {
      const keys = [
        'a',
        '-',
        '_',
        '--',
        '0',
        'A',
        '__proto__',
        'constructor',
        'A'.repeat(KEY_AT_MOST),
        'a'.repeat(KEY_AT_MOST),
        'a'.repeat(KEY_AT_MOST - 1),
      ];
      for (const [index, key] of keys.entries()) await store.set(key, bytes(20, index), LONG);
      for (const [index, key] of keys.entries()) same(await store.get(key), bytes(20, index));
    }),
    check('rejects invalid keys with a RangeError', async ({ store }) => {
      for (const key of [
        '',
        '.',
        '..',
        '../up',
        'a/b',
        'a b',
        'a\0',
        'a\n',
        'ä',
        'a.b',
        'a:b',
        '*',
        'A'.repeat(KEY_AT_MOST + 1),
      ]) {
        await refused(() => store.get(key));
        await refused(() => store.set(key, bytes(1, 1), LONG));
        await refused(() => store.remove(key));
      }
    }),
    check('rejects too large values and invalid times to live with a RangeError', async ({ store }) => {
      await refused(() => store.set('key', new Uint8Array(VALUE_AT_MOST + 1), LONG));
      for (const ttlMs of [0, -1, NaN, Infinity, TTL_AT_MOST_MS + 1])
        await refused(() => store.set('key', bytes(1, 1), ttlMs));
      assert.equal(await store.get('key'), undefined);
      await store.set('key', bytes(1, 1), TTL_AT_MOST_MS);
      same(await store.get('key'), bytes(1, 1));
    }),
    check('copies values on set and on get', async ({ store }) => {
      const value = bytes(100, 1);
      const setting = store.set('key', value, LONG);
      value.fill(0);
      await setting;
      const got = await store.get('key');
      same(got, bytes(100, 1));
      got?.fill(0);
      same(await store.get('key'), bytes(100, 1));
    }),
    check('handles many concurrent requests', async ({ store }) => {
      const keys = Array.from({ length: 200 }, (_, index) => `key-${String(index)}`);
      await Promise.all(keys.map(async (key, index) => store.set(key, bytes(300, index), LONG)));
      const values = await Promise.all(keys.map(async (key) => store.get(key)));
      values.forEach((value, index) => {
        same(value, bytes(300, index));
      });
      await Promise.all(
        keys.map(async (key, index) => (index % 2 === 0 ? store.remove(key) : store.set(key, bytes(10, index), LONG))),
      );
      const after = await Promise.all(keys.map(async (key) => store.get(key)));
      assert.equal(after.filter((value) => value !== undefined).length, 100);
    }),
    check('can be closed more than once', async ({ store }) => {
      await store.set('key', bytes(10, 1), LONG);
      await store.close?.();
      await store.close?.();
    }),
  ];
}

/** @returns a function that makes a check. Each check runs on a store of its own. */
export function checksOf<Setting extends StoreSetting>(
  make: () => Promise<Setting>,
): (name: string, run: (setting: Setting) => Promise<void>) => StoreCheck {
  return (name, run) => ({
    name,
    run: async () => {
      const setting = await make();
      try {
        await run(setting);
      } finally {
        await setting.dispose();
      }
    },
  });
}

/** Checks that a call throws, or rejects with, a `RangeError`. */
export async function refused(call: () => unknown): Promise<void> {
  await assert.rejects(async () => {
    await call();
  }, RangeError);
}

/** Asserts that `actual` is a value and equals `expected`. */
export function same(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assert(actual !== undefined, 'there is a value');
  assert(
    Buffer.from(actual).equals(expected),
    `the value equals the one that was set (${String(actual.length)} bytes, expected ${String(expected.length)})`,
  );
}

/** Test data of `length` bytes; another `salt` gives other bytes. */
export function bytes(length: number, salt: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + salt * 13 + (index >> 8)) & 0xff);
}

const SHORT = 80;
const LONG = 600_000;
