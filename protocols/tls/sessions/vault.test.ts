import { describe, expect, it } from 'vitest';

import { bytes } from './testing/check-store.ts';
import { manualTime } from './testing/manual-time.ts';
import { MapStore } from './testing/map-store.ts';
import { Vault } from './vault.ts';
import type { TimeSource } from './store-guard.ts';

const binding = { scope: bytes(32, 5), serverName: 'localhost' };
const der = bytes(200, 7);
const key = bytes(32, 1);
const time: TimeSource = { now: () => 0, after: () => () => undefined };

async function kept(answer?: <T>(value: T) => T | Promise<T>): Promise<{ store: MapStore; vault: Vault; id: Uint8Array }> {
  const store = new MapStore(answer);
  const vault = new Vault({ store, key, lookupMs: 100 });
  const id = vault.makeId();
  await vault.save(id, der, binding, 1000, time);
  return { store, vault, id };
}

describe('a vault', () => {
  it('finds what it has saved, also through a promise that is not of this realm', async () => {
    const thenable = <T>(value: T) => ({ then: (tell: (value: T) => void) => { tell(value); } }) as unknown as Promise<T>;
    for (const answer of [undefined, <T>(value: T) => value, thenable]) {
      const { vault, id } = await kept(answer);
      expect(await vault.find(id, binding, time)).toEqual({ der: Buffer.from(der) });
    }
  });

  it('finds a session while it is still being saved, and not one that was revoked meanwhile', async () => {
    let land: () => void = () => undefined;
    const store = new MapStore((value) => value);
    const values = { get: (name: string) => store.get(name), remove: (name: string) => { store.remove(name); }, set: (name: string, value: Uint8Array) => new Promise<void>((resolve) => { land = () => { store.values.set(name, value); resolve(); }; }) };
    const vault = new Vault({ store: values, key, lookupMs: 100 });
    const id = vault.makeId();
    const saved = vault.save(id, der, binding, 1000, time);
    expect(vault.find(id, binding, time)).toEqual({ der: Buffer.from(der) });
    expect(vault.find(id, { ...binding, serverName: 'other' }, time)).toEqual({ miss: 'server name' });
    expect(store.asked).toBe(0);
    const removed = vault.remove(id);
    expect(vault.find(id, binding, time)).toEqual({ miss: 'unknown' });
    land();
    await Promise.all([saved, removed, vault.idle()]);
    expect(vault.find(id, binding, time)).toEqual({ miss: 'unknown' });
    expect(store.values.size).toBe(0);
    expect(store.asked).toBe(1);
  });

  it.each<[string, unknown]>([['null', null], ['a text', 'text'], ['a number', 7], ['a list', [1, 2, 3]], ['an object', { length: 50 }], ['a buffer that is no view', new ArrayBuffer(100)]])('takes %s from a store that lies for a miss', async (_, lie) => {
    for (const answer of [() => lie, () => Promise.resolve(lie)]) {
      const { vault, id } = await kept(answer as never);
      expect(await vault.find(id, binding, time)).toEqual({ miss: 'corrupted' });
    }
  });

  it('leaves a store alone after five failures in a row, and not after five among successes', async () => {
    for (const wrap of [<T>(value: T) => value, <T>(value: T) => Promise.resolve(value)]) {
      let fails = false;
      const { vault, id } = await kept((value) => {
        if (fails) throw new Error('down');
        return wrap(value);
      });
      for (let round = 0; round < 10; round++) {
        fails = round % 2 === 0;
        expect(await vault.find(id, binding, time)).toEqual(fails ? { miss: 'store failed' } : { der: Buffer.from(der) });
      }
      fails = true;
      for (let round = 0; round < 5; round++) expect(await vault.find(id, binding, time)).toEqual({ miss: 'store failed' });
      expect(await vault.find(id, binding, time)).toEqual({ miss: 'store resting' });
    }
  });

  it('counts an answer that is late once, whatever becomes of it', async () => {
    const clock = manualTime();
    let fail: (error: Error) => void = () => undefined;
    const store = new MapStore((value) => value);
    const vault = new Vault({ store, key, lookupMs: 100 });
    const id = vault.makeId();
    store.get = () => new Promise((_, reject) => { fail = reject; });
    const found = vault.find(id, binding, clock);
    clock.pass(99);
    clock.pass(1);
    expect(await found).toEqual({ miss: 'store late' });
    fail(new Error('too late as well'));
    await Promise.resolve();
    expect(vault.statistics(0).failures).toBe(1);
  });

  it('rests longer each time, for a minute at most, and asks again after that', async () => {
    const clock = manualTime();
    const { store, vault, id } = await kept((value) => value);
    const get = store.get.bind(store);
    store.get = () => { throw new Error('down'); };
    for (let round = 0; round < 4; round++) await vault.find(id, binding, clock);
    for (const restMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      expect(vault.find(id, binding, clock)).toEqual({ miss: 'store failed' });
      clock.pass(restMs - 1);
      expect(vault.find(id, binding, clock)).toEqual({ miss: 'store resting' });
      clock.pass(1);
    }
    store.get = get;
    expect(vault.find(id, binding, clock)).toEqual({ der: Buffer.from(der) });
    expect(vault.statistics(clock.now())).toMatchObject({ resting: false });
  });

  // Wiped keys are zeros, which everybody knows.
  it('seals nothing and opens nothing once it is closed, for connections may outlive their context', async () => {
    const { store, vault, id } = await kept();
    const late = vault.find(id, binding, time);
    vault.close();
    expect(await late).toEqual({ miss: 'unknown' });
    expect(vault.find(id, binding, time)).toEqual({ miss: 'unknown' });
    const size = store.values.size;
    const next = vault.makeId();
    await vault.save(next, der, binding, 1000, time);
    expect(store.values.size).toBe(size);
    expect(vault.isOwn(next)).toBe(false);
    expect(vault.statistics(0)).toMatchObject({ saved: 1, lost: 1 });
  });
});
