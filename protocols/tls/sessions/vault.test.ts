import { describe, expect, it } from 'vitest';

import type { TimeSource } from '../../../core/clock.ts';
import { bytes } from '../../testing/stores/check-store.ts';
import { manualTime } from '../../testing/stores/manual-time.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { Sealer } from './sealer.ts';
import { TTL_AT_MOST_MS, VALUE_AT_MOST } from '../../stores/store.ts';
import { Vault } from './vault.ts';

const binding = { scope: bytes(32, 5), serverName: 'localhost' };
const der = bytes(200, 7);
const key = bytes(32, 1);
const time: TimeSource = { now: () => 0, after: () => () => undefined };

async function kept(
  answer?: <T>(value: T) => T | Promise<T>,
): Promise<{ store: MapStore; vault: Vault; id: Uint8Array }> {
  const store = new MapStore(answer);
  const vault = new Vault({ store, key, lookupMs: 100 });
  const id = vault.makeId();
  await vault.save(id, der, binding, 1000, time);
  return { store, vault, id };
}

describe('a vault', () => {
  it('finds what it has saved, also through a foreign thenable', async () => {
    const thenable = <T>(value: T) =>
      ({
        then: (tell: (value: T) => void) => {
          tell(value);
        },
      }) as unknown as Promise<T>;
    for (const answer of [undefined, <T>(value: T) => value, thenable]) {
      const { vault, id } = await kept(answer);
      expect(await vault.find(id, binding, time)).toEqual({ der: Buffer.from(der) });
    }
  });

  it('finds a session while it is still being saved, unless it was revoked since', async () => {
    let land: () => void = () => undefined;
    const store = new MapStore((value) => value);
    const values = {
      get: (name: string) => store.get(name),
      remove: (name: string) => {
        store.remove(name);
      },
      set: (name: string, value: Uint8Array) =>
        new Promise<void>((resolve) => {
          land = () => {
            store.values.set(name, value);
            resolve();
          };
        }),
    };
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

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'text'],
    ['a number', 7],
    ['a list', [1, 2, 3]],
    ['an object', { length: 50 }],
    ['an ArrayBuffer instead of a view', new ArrayBuffer(100)],
  ])('reports %s from a store that lies as corrupted', async (_, lie) => {
    for (const answer of [() => lie, () => Promise.resolve(lie)]) {
      const { vault, id } = await kept(answer as never);
      expect(await vault.find(id, binding, time)).toEqual({ miss: 'corrupted' });
    }
  });

  it('lets a store rest after five failures in a row, but not when successes lie between them', async () => {
    for (const wrap of [<T>(value: T) => value, <T>(value: T) => Promise.resolve(value)]) {
      let fails = false;
      const { vault, id } = await kept((value) => {
        if (fails) throw new Error('down');
        return wrap(value);
      });
      for (let round = 0; round < 10; round++) {
        fails = round % 2 === 0;
        expect(await vault.find(id, binding, time)).toEqual(
          fails ? { miss: 'store failed' } : { der: Buffer.from(der) },
        );
      }
      fails = true;
      for (let round = 0; round < 5; round++)
        expect(await vault.find(id, binding, time)).toEqual({ miss: 'store failed' });
      expect(await vault.find(id, binding, time)).toEqual({ miss: 'store resting' });
    }
  });

  it('counts a late answer as one failure, whatever its result', async () => {
    const clock = manualTime();
    let fail: (error: Error) => void = () => undefined;
    const store = new MapStore((value) => value);
    const vault = new Vault({ store, key, lookupMs: 100 });
    const id = vault.makeId();
    store.get = () =>
      new Promise((_, reject) => {
        fail = reject;
      });
    const found = vault.find(id, binding, clock);
    clock.pass(99);
    clock.pass(1);
    expect(await found).toEqual({ miss: 'store late' });
    fail(new Error('too late as well'));
    await Promise.resolve();
    expect(vault.statistics(0).failures).toBe(1);
  });

  it('lets the store rest longer each time, up to a minute, and asks again after that', async () => {
    const clock = manualTime();
    const { store, vault, id } = await kept((value) => value);
    const get = store.get.bind(store);
    store.get = () => {
      throw new Error('down');
    };
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

  it('finds a session only for its scope and its server name, or for none', async () => {
    const all = [
      { scope: bytes(32, 5), serverName: undefined },
      { scope: bytes(32, 5), serverName: 'a.test' },
      { scope: bytes(32, 5), serverName: 'b.test' },
      { scope: bytes(32, 6), serverName: 'a.test' },
    ];
    for (const saved of all) {
      const vault = new Vault({ store: new MapStore((value) => value), key, lookupMs: 100 });
      const id = vault.makeId();
      await vault.save(id, der, saved, 1000, time);
      const outcomes = all.map((wanted) => vault.find(id, wanted, time));
      expect(outcomes).toEqual(
        all.map((wanted) =>
          wanted === saved
            ? { der: Buffer.from(der) }
            : { miss: wanted.scope[0] === saved.scope[0] ? 'server name' : 'scope' },
        ),
      );
    }
  });

  it('uses a key of its own by default', async () => {
    const store = new MapStore((value) => value);
    const [vault, other] = [1, 2].map(() => new Vault({ store, lookupMs: 100 }));
    const id = vault.makeId();
    await vault.save(id, der, binding, 1000, time);
    expect([vault.isOwn(id), other.isOwn(id)]).toEqual([true, false]);
    expect([await vault.find(id, binding, time), await other.find(id, binding, time)]).toEqual([
      { der: Buffer.from(der) },
      { miss: 'unknown' },
    ]);
    const same = new Vault({ store, key, lookupMs: 100 });
    expect(new Vault({ store, key: Uint8Array.from(key), lookupMs: 100 }).isOwn(same.makeId())).toBe(true);
    expect(() => new Vault({ store, key: bytes(31, 1), lookupMs: 100 })).toThrow(
      'the key of stored sessions must have 32 bytes, not 31',
    );
  });

  it('makes unique ids of 32 bytes, and recognizes only its own', () => {
    const vault = new Vault({ store: new MapStore(), key, lookupMs: 100 });
    const ids = Array.from({ length: 50 }, () => vault.makeId());
    expect(new Set(ids.map((id) => Buffer.from(id).toString('hex'))).size).toBe(50);
    for (const id of ids) {
      expect([id.length, vault.isOwn(id)]).toEqual([32, true]);
      for (let at = 0; at < 32; at++) {
        const changed = Uint8Array.from(id);
        changed[at] ^= 1;
        expect(vault.isOwn(changed)).toBe(false);
      }
      for (const other of [
        id.subarray(0, 31),
        Buffer.concat([id, Buffer.alloc(1)]),
        new Uint8Array(0),
        new Uint8Array(24),
        new Uint8Array(8),
      ])
        expect(vault.isOwn(other)).toBe(false);
    }
  });

  it.each<[string, readonly Uint8Array[]]>([
    ['nothing', []],
    ['a truncated scope', [binding.scope.subarray(0, 31)]],
    ['a missing name length', [binding.scope]],
    ['half a name length', [binding.scope, new Uint8Array(1)]],
    ['a truncated name', [binding.scope, Buffer.from([0, 9]), Buffer.from('localhos')]],
    ['a name length beyond the value', [binding.scope, Buffer.from([255, 255]), Buffer.from('localhost')]],
  ])('reports %s as corrupted although it decrypts: another version may have sealed it', async (_, parts) => {
    const { store, vault, id } = await kept((value) => value);
    const [place] = store.values.keys();
    store.values.set(place, new Sealer(key, 'sessions').seal(id, ...parts));
    expect(vault.find(id, binding, time)).toEqual({ miss: 'corrupted' });
  });

  it('finds an empty session', async () => {
    const { vault, store, id } = await kept((value) => value);
    const [place] = store.values.keys();
    store.values.set(
      place,
      new Sealer(key, 'sessions').seal(id, binding.scope, Buffer.from([0, 9]), Buffer.from('localhost')),
    );
    expect(vault.find(id, binding, time)).toEqual({ der: Buffer.alloc(0) });
    store.values.set(place, new Sealer(key, 'sessions').seal(id, binding.scope, Buffer.from([0, 0])));
    expect(vault.find(id, { ...binding, serverName: undefined }, time)).toEqual({ der: Buffer.alloc(0) });
  });

  it('saves only what the store can keep, at most as long as it can, under a valid key', async () => {
    const sets: [string, number, number][] = [];
    const vault = new Vault({
      store: {
        get: () => undefined,
        remove: () => undefined,
        set: (name, value, ttlMs) => {
          sets.push([name, value.length, ttlMs]);
        },
      },
      key,
      lookupMs: 100,
    });
    const added = 32 + 2 + 'localhost'.length + 29;
    for (const [size, ttlMs] of [
      [VALUE_AT_MOST - added, 1_000],
      [VALUE_AT_MOST - added + 1, 1_000],
      [100, TTL_AT_MOST_MS + 1],
    ]) {
      const id = vault.makeId();
      await vault.save(id, bytes(size, 7), binding, ttlMs, time);
      const last = sets.at(-1)?.[0];
      expect(last).toMatch(/^[\w-]{43}$/);
      if (size + added <= VALUE_AT_MOST) expect(last).toBe(Buffer.from(id).toString('base64url'));
    }
    expect(sets.map(([, ...rest]) => rest)).toEqual([
      [VALUE_AT_MOST, 1_000],
      [100 + added, TTL_AT_MOST_MS],
    ]);
    expect(vault.statistics(0)).toMatchObject({ saved: 2, lost: 1, failures: 0 });
  });

  it('forgets what it could not save, and the end of an older save does not drop a newer one', async () => {
    const clock = manualTime();
    const store = new MapStore((value) => value);
    const vault = new Vault({ store, key, lookupMs: 100 });
    const set = store.set.bind(store);
    store.set = () => {
      throw new Error('down');
    };
    for (let round = 0; round < 5; round++) await vault.save(vault.makeId(), der, binding, 1000, clock);
    const id = vault.makeId();
    await vault.save(id, der, binding, 1000, clock);
    expect(vault.statistics(clock.now())).toMatchObject({ saved: 0, lost: 6, failures: 5, resting: true });
    expect(await vault.find(id, binding, clock)).toEqual({ miss: 'unknown' });

    // Two saves of one id: the end of the first one must not drop the second one.
    clock.pass(2_000);
    const lands: (() => void)[] = [];
    store.set = (name, value) =>
      new Promise<void>((resolve) => {
        lands.push(() => {
          void set(name, value);
          resolve();
        });
      });
    const first = vault.save(id, bytes(10, 1), binding, 1000, clock);
    const second = vault.save(id, bytes(20, 2), binding, 1000, clock);
    lands[0]();
    await first;
    expect(vault.find(id, binding, clock)).toEqual({ der: Buffer.from(bytes(20, 2)) });
    expect(
      await Promise.race([
        vault.idle().then(() => 'idle'),
        new Promise((resolve) => {
          setImmediate(resolve, 'busy');
        }),
      ]),
    ).toBe('busy');
    lands[1]();
    await second;
    await vault.idle();
    expect(vault.find(id, binding, clock)).toEqual({ der: Buffer.from(bytes(20, 2)) });
  });

  // Closing wipes the keys to zeros, which would be a known key.
  it('seals and opens nothing once it is closed, because connections may outlive their context', async () => {
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
