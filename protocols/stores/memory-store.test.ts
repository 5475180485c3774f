import { describe, expect, it } from 'vitest';

import { MemorySessionStore } from './memory-store.ts';
import { VALUE_AT_MOST } from './store.ts';
import { bytes } from '../testing/stores/check-store.ts';
import { checkTakingStore } from '../testing/stores/check-taking-store.ts';
import { ManualClock } from '../testing/stores/manual-clock.ts';

describe('the memory store', () => {
  const make = () => {
    const { now, pass } = new ManualClock();
    return Promise.resolve({ store: new MemorySessionStore({ now }), pass, dispose: () => Promise.resolve() });
  };
  for (const check of checkTakingStore(make)) it(check.name, check.run);

  it('evicts the least recently used session when it is full', () => {
    const store = new MemorySessionStore({ maxSessions: 3 });
    for (const key of ['a', 'b', 'c']) store.set(key, bytes(10, 1), 1_000);
    store.get('a');
    store.set('d', bytes(10, 1), 1_000);
    expect(['a', 'b', 'c', 'd'].map((key) => store.get(key) !== undefined)).toEqual([true, false, true, true]);
    expect(store.statistics).toMatchObject({ size: 3, evictions: 1, expirations: 0 });
  });

  it('never exceeds maxBytes, whatever the sizes', () => {
    const maxBytes = 256 * 1024;
    const store = new MemorySessionStore({ maxBytes });
    for (let index = 0; index < 200; index++) {
      store.set(`key-${String(index)}`, bytes((index * 7_919) % VALUE_AT_MOST, index), 1_000);
      expect(store.statistics.bytes).toBeLessThanOrEqual(maxBytes);
    }
    store.set('largest', bytes(VALUE_AT_MOST, 1), 1_000);
    expect(store.get('largest')).toEqual(bytes(VALUE_AT_MOST, 1));
    for (const key of ['largest', ...Array.from({ length: 200 }, (_, index) => `key-${String(index)}`)])
      store.remove(key);
    expect(store.statistics).toMatchObject({ size: 0, bytes: 0 });
  });

  it('drops expired sessions without a request for them', () => {
    const { now, pass } = new ManualClock();
    const store = new MemorySessionStore({ now });
    for (let index = 0; index < 1_000; index++) store.set(`short-${String(index)}`, bytes(10, 1), 10);
    pass(10);
    for (let index = 0; index < 600; index++) store.set(`long-${String(index)}`, bytes(10, 1), 1_000);
    expect(store.statistics).toMatchObject({ size: 600, expirations: 1_000, evictions: 0 });
  });

  it('drops expired sessions although other sessions are used all the time', () => {
    const { now, pass } = new ManualClock();
    const store = new MemorySessionStore({ now });
    const hot = Array.from({ length: 8 }, (_, index) => `hot-${String(index)}`);
    for (const key of hot) store.set(key, bytes(10, 1), 1_000);
    for (let index = 0; index < 50; index++) store.set(`short-${String(index)}`, bytes(10, 1), 10);
    // The sweep passes the short-lived sessions before they expire.
    for (let index = 0; index < 30; index++) store.set('other', bytes(10, 1), 1_000);
    pass(10);
    for (let index = 0; index < 80; index++) {
      for (const key of hot) store.get(key);
      store.set('other', bytes(10, 1), 1_000);
    }
    expect(store.statistics).toMatchObject({ size: 9, expirations: 50 });
  });

  it('finds the remaining keys after many removals', () => {
    const store = new MemorySessionStore({ maxSessions: 5_000 });
    const key = (index: number): string => `key-${String(index)}`;
    for (let index = 0; index < 5_000; index++) store.set(key(index), bytes(4, index), 1_000);
    for (let index = 0; index < 5_000; index += 3) store.remove(key(index));
    for (let index = 0; index < 5_000; index++)
      expect(store.get(key(index))).toEqual(index % 3 === 0 ? undefined : bytes(4, index));
  });

  it('frees the room of taken sessions', () => {
    const store = new MemorySessionStore({ maxSessions: 2 });
    for (let index = 0; index < 10; index++) {
      store.set('one', bytes(1_000, index), 1_000);
      store.set('two', bytes(1_000, index), 1_000);
      expect(store.take('one')).toEqual(bytes(1_000, index));
      expect(store.take('two')).toEqual(bytes(1_000, index));
      expect(store.statistics).toEqual({ size: 0, bytes: 0, evictions: 0, expirations: 0 });
    }
  });

  it('rejects invalid bounds with a RangeError', () => {
    for (const maxSessions of [0, -1, 1.5, NaN, Infinity, 2 ** 25])
      expect(() => new MemorySessionStore({ maxSessions })).toThrow(RangeError);
    for (const maxBytes of [0, 1_000, NaN, Infinity])
      expect(() => new MemorySessionStore({ maxBytes })).toThrow(RangeError);
  });
});
