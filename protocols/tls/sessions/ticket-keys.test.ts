import { getEventListeners } from 'node:events';

import { describe, expect, it } from 'vitest';

import { bytes } from '../../testing/stores/check-store.ts';
import { ManualClock } from '../../testing/stores/manual-clock.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { TicketKeys } from './ticket-keys.ts';
import type { TicketKey, TicketKeysOptions } from './ticket-keys.ts';

const rotateMs = 60_000;
const storeKey = bytes(32, 1);

function ring(options: TicketKeysOptions = {}): { keys: TicketKeys; clock: ManualClock } {
  // Start in the middle of a span.
  const clock = new ManualClock(1_000_000 * rotateMs + rotateMs / 2);
  return { clock, keys: new TicketKeys({ rotateMs, now: clock.now, ...options }) };
}

const nameOf = (key: TicketKey): string => Buffer.from(key.name).toString('hex');
const copyOf = (key: TicketKey): TicketKey => ({
  name: Uint8Array.from(key.name),
  cipherKey: Uint8Array.from(key.cipherKey),
  macKey: Uint8Array.from(key.macKey),
});
const isWiped = ({ name, cipherKey, macKey }: TicketKey): boolean =>
  [name, cipherKey, macKey].every((part) => part.every((byte) => byte === 0));

/** Rings that share a store and a clock, and have fetched their keys. */
async function shared(
  count: number,
  options: TicketKeysOptions = {},
): Promise<{ rings: TicketKeys[]; clock: ManualClock; store: MapStore }> {
  const clock = new ManualClock(1_000_000 * rotateMs + rotateMs / 2);
  const store = new MapStore();
  const rings = Array.from(
    { length: count },
    () => new TicketKeys({ rotateMs, now: clock.now, store, storeKey, ...options }),
  );
  for (const each of rings) await each.ready();
  return { rings, clock, store };
}

describe('a ring of ticket keys', () => {
  it('resolves ready() with whether the store has answered, and waits no longer than the signal allows', async () => {
    expect(await ring().keys.ready()).toBe(true);
    expect(await ring({ store: new MapStore(), storeKey }).keys.ready(new AbortController().signal)).toBe(true);
    expect(await ring({ store: new MapStore(() => Promise.reject(new Error('down'))), storeKey }).keys.ready()).toBe(
      false,
    );
    const { keys } = ring({ store: new MapStore(() => new Promise(() => undefined)), storeKey });
    const patience = new AbortController();
    const waiting = keys.ready(patience.signal);
    patience.abort();
    expect(await waiting).toBe(false);
    expect(await keys.ready(AbortSignal.abort())).toBe(false);
    await expect(keys.ready({} as never)).rejects.toThrow(/^ready: the signal takes an AbortSignal/);
    const patient = new AbortController();
    expect(await ring({ store: new MapStore(), storeKey }).keys.ready(patient.signal)).toBe(true);
    expect(getEventListeners(patient.signal, 'abort')).toEqual([]);
    // Tickets are still sealed, with a key that only this process has.
    expect(keys.opening(keys.sealing().name)).toBeDefined();
    keys.close();
  });

  it('has AES-256 and HMAC-SHA-256 keys with unique names', () => {
    const { keys } = ring();
    const key = keys.sealing();
    expect([key.name.length, key.cipherKey.length, key.macKey.length]).toEqual([16, 32, 32]);
    expect(Buffer.from(key.cipherKey).equals(key.macKey)).toBe(false);
    expect(nameOf(key)).not.toBe(nameOf(ring().keys.sealing()));
  });

  it('seals with one key a span, and opens with that key and the kept older ones', () => {
    const { keys, clock } = ring({ keep: 2 });
    const names: Uint8Array[] = [];
    for (let turn = 0; turn < 5; turn++) {
      names.push(Uint8Array.from(keys.sealing().name));
      expect(nameOf(keys.sealing())).toBe(Buffer.from(names[turn]).toString('hex'));
      // The present key and the two before it, but no older one.
      expect(names.map((each) => keys.opening(each)?.isOld)).toEqual(
        names.map((_, index) => (index < turn - 2 ? undefined : index < turn)),
      );
      expect(keys.size).toBe(Math.min(turn + 1, 3));
      clock.pass(rotateMs);
    }
    expect(new Set(names.map((each) => Buffer.from(each).toString('hex'))).size).toBe(5);
  });

  it('rotates twice a day by default', () => {
    const { keys, clock } = ring({ rotateMs: undefined });
    const halfDay = 12 * 3_600_000;
    clock.pass(halfDay - (clock.now() % halfDay));
    const name = nameOf(keys.sealing());
    clock.pass(halfDay - 1);
    expect(nameOf(keys.sealing())).toBe(name);
    clock.pass(1);
    expect(nameOf(keys.sealing())).not.toBe(name);
  });

  it('rotates at the same moments whenever it was created', () => {
    const { keys, clock } = ring();
    const before = nameOf(keys.sealing());
    clock.pass(rotateMs / 2 - 1);
    expect(nameOf(keys.sealing())).toBe(before);
    clock.pass(1);
    expect(nameOf(keys.sealing())).not.toBe(before);
  });

  it('counts sealed, renewed, opened and unknown tickets', () => {
    const { keys, clock } = ring({ keep: 1 });
    const first = copyOf(keys.sealing());
    clock.pass(rotateMs);
    expect(keys.opening(first.name)?.isOld).toBe(true);
    keys.sealing(true);
    expect(keys.opening(bytes(16, 1))).toBeUndefined();
    clock.pass(rotateMs);
    expect(keys.opening(first.name)).toBeUndefined();
    expect(keys.statistics).toEqual({ sealed: 2, renewed: 1, opened: 1, unknown: 2 });
  });

  it('keeps only the present key with keep: 0', () => {
    const { keys, clock } = ring({ keep: 0 });
    const name = Uint8Array.from(keys.sealing().name);
    clock.pass(rotateMs);
    expect(keys.opening(name)).toBeUndefined();
    expect(keys.size).toBe(0);
  });

  it('wipes a key when it opens nothing any more, and all keys when it is closed', () => {
    const { keys, clock } = ring({ keep: 1 });
    const all = [keys.sealing()];
    for (let turn = 0; turn < 3; turn++) {
      clock.pass(rotateMs);
      all.push(keys.sealing());
    }
    expect(all.map(isWiped)).toEqual([true, true, false, false]);
    keys.close();
    expect(all.every(isWiped)).toBe(true);
    expect(keys.size).toBe(0);
    keys.close();
  });

  it('drops keys that are too old or too new after a jump of the clock, and continues', () => {
    const { keys, clock } = ring({ keep: 2 });
    const before = keys.sealing();
    const name = Uint8Array.from(before.name);
    clock.pass(100 * rotateMs);
    expect(keys.opening(name)).toBeUndefined();
    expect(isWiped(before)).toBe(true);
    const ahead = keys.sealing();
    const aheadName = Uint8Array.from(ahead.name);
    clock.pass(-100 * rotateMs);
    // A key of the far future would never become too old.
    expect(keys.opening(aheadName)).toBeUndefined();
    expect(isWiped(ahead)).toBe(true);
    const now = keys.sealing();
    expect(keys.opening(now.name)?.isOld).toBe(false);
    expect(keys.size).toBe(1);
  });

  it('opens tickets of the next span when the clock has gone back a little', () => {
    const { keys, clock } = ring();
    clock.pass(rotateMs / 2);
    const key = keys.sealing();
    clock.pass(-1);
    expect(keys.opening(key.name)?.isOld).toBe(false);
    expect(nameOf(keys.sealing())).not.toBe(nameOf(key));
    clock.pass(1);
    expect(nameOf(keys.sealing())).toBe(nameOf(key));
  });

  it('throws for invalid options', () => {
    for (const rotate of [0, 999, NaN, -1, Infinity])
      expect(() => new TicketKeys({ rotateMs: rotate })).toThrow(
        /^new TicketKeys: rotateMs takes a number of milliseconds of at least a second/,
      );
    for (const rotate of [1_000, 1e15]) new TicketKeys({ rotateMs: rotate }).close();
    for (const keep of [-1, 1.5, 101, NaN]) expect(() => new TicketKeys({ keep })).toThrow(RangeError);
    expect(() => new TicketKeys({ store: new MapStore() })).toThrow('both a store and a storeKey');
    expect(() => new TicketKeys({ storeKey })).toThrow(TypeError);
    expect(() => new TicketKeys({ store: new MapStore(), storeKey: bytes(31, 1) })).toThrow(
      'storeKey takes 32 secret bytes',
    );
  });
});

describe('rings that share a store', () => {
  it('have the same keys in every span, without a leader', async () => {
    const { rings, clock } = await shared(3);
    const seen = new Set<string>();
    for (let turn = 0; turn < 6; turn++) {
      const names = rings.map((each) => nameOf(each.sealing()));
      expect(new Set(names).size).toBe(1);
      seen.add(names[0]);
      // The rings refresh one after the other, each time in another order.
      clock.pass(rotateMs);
      for (let index = 0; index < rings.length; index++) await rings[(index + turn) % rings.length].ready();
    }
    expect(seen.size).toBe(6);
    for (const each of rings) each.close();
  });

  it('have the key of the next span before the span begins', async () => {
    const { rings, clock, store } = await shared(2);
    // From here on the store does not answer.
    store.get = () => Promise.reject(new Error('down'));
    clock.pass(rotateMs);
    expect(nameOf(rings[0].sealing())).toBe(nameOf(rings[1].sealing()));
  });

  it('agree on one key when they start at the same moment', async () => {
    const clock = new ManualClock(1_000_000 * rotateMs);
    const store = new MapStore();
    const rings = Array.from({ length: 4 }, () => new TicketKeys({ rotateMs, now: clock.now, store, storeKey }));
    await Promise.all(rings.map((each) => each.ready()));
    // The last write wins, and the other rings read it with their next refresh.
    await Promise.all(rings.map((each) => each.ready()));
    expect(new Set(rings.map((each) => nameOf(each.sealing()))).size).toBe(1);
  });

  it("open each other's tickets, also of spans before they were created", async () => {
    const {
      rings: [first],
      clock,
      store,
    } = await shared(1);
    const name = Uint8Array.from(first.sealing().name);
    clock.pass(rotateMs);
    await first.ready();
    const later = new TicketKeys({ rotateMs, now: clock.now, store, storeKey });
    await later.ready();
    expect(later.opening(name)?.isOld).toBe(true);
    expect(nameOf(later.sealing())).toBe(nameOf(first.sealing()));
  });

  it('refresh by themselves, every eighth of a span and when the clock has gone back', async () => {
    const {
      rings: [keys],
      clock,
      store,
    } = await shared(1);
    let asked = store.asked;
    for (const [passedMs, isDue] of [
      [0, false],
      [rotateMs / 8, false],
      [1, true],
      [rotateMs / 8, false],
      [-rotateMs / 8 - 1, true],
      [0, false],
    ] as const) {
      clock.pass(passedMs);
      keys.sealing();
      expect(store.asked > asked).toBe(isDue);
      if (isDue) await keys.ready();
      asked = store.asked;
    }
    clock.pass(rotateMs / 8 + 1);
    expect(keys.opening(bytes(16, 1))).toBeUndefined();
    expect(store.asked).toBeGreaterThan(asked);
  });

  it('fetch once for concurrent calls of ready()', async () => {
    const store = new MapStore();
    const { keys } = ring({ store, storeKey, keep: 1 });
    await Promise.all([keys.ready(), keys.ready(), keys.ready()]);
    // Reads of the past key, and of the present and the next key before and after they were stored.
    expect(store.asked).toBe(1 + 2 + 2);
  });

  it('store each key until it opens nothing any more, at most as long as a store keeps values', async () => {
    for (const [rotate, keep, ttlMs] of [
      [60_000, 2, 300_000],
      [60_000, 0, 180_000],
      [24 * 3_600_000, 7, 7 * 24 * 3_600_000],
    ] as const) {
      const ttls: number[] = [];
      const store = {
        get: () => undefined,
        remove: () => undefined,
        set: (_: string, __: Uint8Array, ttl: number) => {
          ttls.push(ttl);
        },
      };
      const keys = new TicketKeys({ rotateMs: rotate, keep, store, storeKey });
      await keys.ready();
      expect(ttls).toEqual([ttlMs, ttlMs]);
      keys.close();
    }
  });

  it('ignore an answer that arrives after a newer fetch', async () => {
    const { keys, clock } = ring({ keep: 0 });
    keys.close();
    const store = new MapStore();
    const get = store.get.bind(store);
    let answer: (value: undefined) => void = () => undefined;
    store.get = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const late = new TicketKeys({ rotateMs, now: clock.now, keep: 0, store, storeKey });
    const first = late.ready();
    store.get = get;
    clock.pass(rotateMs / 8 + 1);
    await late.ready();
    const [name, stored] = [nameOf(late.sealing()), new Map(store.values)];
    answer(undefined);
    await first;
    expect(nameOf(late.sealing())).toBe(name);
    expect(store.values).toEqual(stored);
    late.close();
    expect(await late.ready()).toBe(false);
  });

  it('store nothing that can be read without the key', async () => {
    const {
      rings: [keys],
      store,
    } = await shared(1);
    const { name, cipherKey, macKey } = keys.sealing();
    expect(store.values.size).toBe(2);
    for (const [place, value] of store.values) {
      expect(place).toMatch(/^ticket-key-[\w-]{32}$/);
      for (const secret of [name, cipherKey, macKey])
        expect(Buffer.from(value).includes(Buffer.from(secret).subarray(0, 12))).toBe(false);
    }
    const {
      rings: [thief],
    } = await shared(0).then(async ({ clock }) => {
      const other = new TicketKeys({ rotateMs, now: clock.now, store, storeKey: bytes(32, 2) });
      await other.ready();
      return { rings: [other] };
    });
    expect(nameOf(thief.sealing())).not.toBe(nameOf(keys.sealing()));
    expect(store.values.size).toBe(4);
  });

  it('replace a stored value that does not open, such as one that was moved or changed', async () => {
    const {
      rings: [keys],
      clock,
      store,
    } = await shared(1);
    const name = nameOf(keys.sealing());
    const [present, next] = [...store.values.keys()];
    for (const garbage of [
      store.values.get(next) as Uint8Array,
      bytes(60, 9),
      new Uint8Array(0),
      new Uint8Array(100_000),
      Buffer.from('garbage'),
    ]) {
      store.values.set(present, garbage);
      const other = new TicketKeys({ rotateMs, now: clock.now, store, storeKey });
      await other.ready();
      const another = new TicketKeys({ rotateMs, now: clock.now, store, storeKey });
      await another.ready();
      expect(nameOf(other.sealing())).not.toBe(name);
      expect(nameOf(another.sealing())).toBe(nameOf(other.sealing()));
    }
  });

  it('use keys of their own while the store fails, and share keys again when it answers', async () => {
    const clock = new ManualClock(1_000_000 * rotateMs);
    const failures: (() => never | Promise<never>)[] = [
      () => {
        throw new Error('at once');
      },
      () => Promise.reject(new Error('later')),
    ];
    for (const fail of failures) {
      const store = new MapStore();
      const { get } = store;
      store.get = fail;
      const rings = [1, 2].map(() => new TicketKeys({ rotateMs, now: clock.now, store, storeKey }));
      for (const each of rings) await each.ready();
      const [one, other] = rings.map((each) => nameOf(each.sealing()));
      expect(one).not.toBe(other);
      expect(nameOf(rings[0].sealing())).toBe(one);
      store.get = get.bind(store);
      for (const each of rings) await each.ready();
      expect(nameOf(rings[0].sealing())).toBe(nameOf(rings[1].sealing()));
    }
  });

  it('wipe their own key when they share keys again', async () => {
    const clock = new ManualClock(1_000_000 * rotateMs);
    const store = new MapStore();
    const get = store.get.bind(store);
    store.get = () => Promise.reject(new Error('down'));
    const keys = new TicketKeys({ rotateMs, now: clock.now, store, storeKey });
    await keys.ready();
    const own = keys.sealing();
    store.get = get;
    await keys.ready();
    expect(nameOf(keys.sealing())).not.toBe(nameOf(own));
    expect(isWiped(own)).toBe(true);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'x'.repeat(60)],
    ['a number', 60],
    ['an object', { length: 60 }],
    ['a list', Array.from({ length: 60 }, () => 1)],
  ])('ignore %s from a store that lies', async (_, lie) => {
    const clock = new ManualClock(1_000_000 * rotateMs);
    const store = new MapStore(() => lie as never);
    const keys = new TicketKeys({ rotateMs, now: clock.now, store, storeKey });
    await keys.ready();
    const key = keys.sealing();
    expect(keys.opening(key.name)?.isOld).toBe(false);
    expect(isWiped(key)).toBe(false);
  });

  it('ask again when an answer never comes', async () => {
    const clock = new ManualClock(1_000_000 * rotateMs);
    const store = new MapStore();
    const get = store.get.bind(store);
    let asked = 0;
    store.get = () =>
      new Promise(() => {
        asked++;
      });
    const keys = new TicketKeys({ rotateMs, now: clock.now, store, storeKey });
    void keys.ready();
    expect(asked).toBe(1);
    const own = nameOf(keys.sealing());
    store.get = get;
    clock.pass(rotateMs / 4);
    keys.sealing();
    await keys.ready();
    expect(nameOf(keys.sealing())).not.toBe(own);
    expect(store.values.size).toBe(2);
  });

  it('store nothing once they are closed, not even keys that are being fetched', async () => {
    const clock = new ManualClock(1_000_000 * rotateMs);
    const store = new MapStore();
    const keys = new TicketKeys({ rotateMs, now: clock.now, store, storeKey });
    const ready = keys.ready();
    keys.close();
    await ready;
    clock.pass(rotateMs);
    // Connections may outlive the ring.
    const key = keys.sealing();
    await keys.ready();
    expect(isWiped(key)).toBe(false);
    expect(nameOf(keys.sealing())).toBe(nameOf(key));
    expect(store.values.size).toBe(0);
  });
});
