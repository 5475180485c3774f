/** What every session store with `take` must do, in addition to the checks of `check-store.ts`. */

import assert from 'node:assert/strict';

import { KEY_AT_MOST, VALUE_AT_MOST } from '../../stores/store.ts';
import type { TakingSessionStore } from '../../stores/store.ts';
import { bytes, checksOf, checkStore, refused, same } from './check-store.ts';
import type { StoreCheck, StoreSetting } from './check-store.ts';

/** A store for one check. */
export interface TakingStoreSetting extends StoreSetting {
  readonly store: TakingSessionStore;
}

/** @param make makes an empty store with room for a few megabytes. @returns these checks, and those of `checkStore`. */
export function checkTakingStore(make: () => Promise<TakingStoreSetting>): StoreCheck[] {
  const check = checksOf(make);
  return [
    ...checkStore(make),
    check('takes a value once, removes it, and keeps the others', async ({ store }) => {
      await store.set('taken', bytes(100, 1), LONG);
      await store.set('other', bytes(100, 2), LONG);
      same(await store.take('taken'), bytes(100, 1));
      assert.equal(await store.take('taken'), undefined);
      assert.equal(await store.get('taken'), undefined);
      same(await store.get('other'), bytes(100, 2));
    }),
    check('takes nothing for a key that was never set or was removed', async ({ store }) => {
      assert.equal(await store.take('absent'), undefined);
      await store.set('key', bytes(10, 1), LONG);
      await store.remove('key');
      assert.equal(await store.take('key'), undefined);
    }),
    check('takes nothing that has expired', async ({ store, pass }) => {
      await store.set('key', bytes(10, 1), SHORT);
      await pass(SHORT + 1);
      assert.equal(await store.take('key'), undefined);
      await store.set('key', bytes(10, 2), LONG);
      same(await store.take('key'), bytes(10, 2));
    }),
    check('takes the last value of a key, also when the key is set again after a take', async ({ store }) => {
      for (let round = 0; round < 5; round++) {
        await store.set('key', bytes(50, 100), LONG);
        await store.set('key', bytes(50, round), LONG);
        same(await store.take('key'), bytes(50, round));
        assert.equal(await store.take('key'), undefined);
      }
    }),
    check('gives a value to one of many concurrent takes', async ({ store }) => {
      const keys = Array.from({ length: 10 }, (_, index) => `key-${String(index)}`);
      for (const [index, key] of keys.entries()) await store.set(key, bytes(300, index), LONG);
      const takes = Array.from({ length: 20 }, () => keys.map(async (key) => store.take(key))).flat();
      const values = await Promise.all(takes);
      keys.forEach((_, index) => {
        const given = values.filter((value, at) => at % keys.length === index && value !== undefined);
        assert.equal(given.length, 1);
        same(given[0], bytes(300, index));
      });
    }),
    check('gives each value at most once while the same key is set and taken concurrently', async ({ store }) => {
      const given: number[] = [];
      let isSetting = true;
      const take = async (): Promise<void> => {
        const value = await store.take('key');
        if (value !== undefined) given.push(value[0] ?? -1);
      };
      const takers = Promise.all(
        Array.from({ length: 4 }, async () => {
          while (isSetting) {
            await take();
            await new Promise((resolve) => setImmediate(resolve));
          }
        }),
      );
      for (let index = 0; index < 100; index++) await store.set('key', Uint8Array.of(index), LONG);
      isSetting = false;
      await takers;
      await take();
      assert.equal(new Set(given).size, given.length);
      // No set replaced the last value, so one of the takes must have got it.
      assert(given.includes(99));
    }),
    check('takes values of every size under every kind of key', async ({ store }) => {
      for (const size of [0, 1, 128, 4_096, VALUE_AT_MOST]) {
        for (const key of ['a', '-', '__proto__', 'A'.repeat(KEY_AT_MOST)]) {
          await store.set(key, bytes(size, size), LONG);
          same(await store.take(key), bytes(size, size));
        }
      }
    }),
    check('rejects the take of an invalid key with a RangeError', async ({ store }) => {
      for (const key of ['', '..', '../up', 'a/b', 'a\0', 'ä', 'A'.repeat(KEY_AT_MOST + 1)])
        await refused(() => store.take(key));
    }),
  ];
}

const SHORT = 80;
const LONG = 600_000;
