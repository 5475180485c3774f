import { beforeAll, describe, expect, it, vi } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { TlsContext } from '../context/context.ts';
import type { TlsVersion } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { abort, talk } from '../../testing/tls/pair.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import { ClientSessions } from './client-sessions.ts';
import type { ClientSessionsOptions } from './client-sessions.ts';
import { TlsSession } from './session.ts';
import type { TakingSessionStore } from '../../stores/store.ts';
import { bytes } from '../../testing/stores/check-store.ts';
import { ManualClock } from '../../testing/stores/manual-clock.ts';
import { manualTime } from '../../testing/stores/manual-time.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { sessionFrom } from '../../testing/stores/visits.ts';

const made = new Map<TlsVersion, Uint8Array>();
const storeKey = bytes(32, 1);

beforeAll(() =>
  withSecureReactor(async (secure) => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const session = await sessionFrom(secure, await secure.server({ resumption: 'stateless' }), {
        protocols: { min: version, max: version },
      });
      made.set(version, session.toDer());
      session.dispose();
    }
  }),
);

/**
 * A session with a lifetime of an hour from `clock.now()`. Its number is how many seconds less than an hour it lives.
 */
function session(version: TlsVersion, clock: ManualClock, number = 0): TlsSession {
  const each = TlsSession.fromDer(made.get(version) as Uint8Array);
  each.time = new Date(clock.now());
  each.timeoutSeconds = 3600 - number;
  return each;
}

/** Three clients that share a store, each as if in a separate process. */
function several({
  store = new MapStore(),
  ...options
}: { store?: TakingSessionStore } & Omit<ClientSessionsOptions, 'store' | 'now'> = {}): {
  clients: ClientSessions[];
  clock: ManualClock;
  time: ReturnType<typeof manualTime>;
  take: (client: ClientSessions, key?: string) => Promise<number | undefined>;
} {
  const clock = new ManualClock(1_700_000_000_000);
  const time = manualTime();
  return {
    clock,
    time,
    clients: Array.from({ length: 3 }, () => new ClientSessions({ store, storeKey, now: clock.now, ...options })),
    take: async (client, key = 'a') => {
      await client.fetch(key, time);
      const taken = client.take(key);
      const number = taken === undefined ? undefined : 3600 - taken.timeoutSeconds;
      taken?.dispose();
      return number;
    },
  };
}

describe('sessions that clients share', () => {
  it('go to one client each under TLS 1.3', async () => {
    const store = new MapStore();
    const {
      clients: [one, two, three],
      clock,
      time,
      take,
    } = several({ store });
    for (const number of [1, 2]) one.keep('a', session('TLSv1.3', clock, number), time);
    one.keep('b', session('TLSv1.3', clock, 3), time);
    await one.saved();
    expect(one.size).toBe(0);
    expect(store.values.size).toBe(3);
    // The first client takes all stored sessions of this server, and keeps the others for itself.
    expect([1, 2]).toContain(await take(two));
    expect(two.size).toBe(1);
    expect(await take(three)).toBeUndefined();
    expect(await take(one)).toBeUndefined();
    expect([1, 2]).toContain(await take(two));
    expect(await take(two)).toBeUndefined();
    expect(await take(three, 'b')).toBe(3);
    expect(await take(one, 'b')).toBeUndefined();
    expect(store.values.size).toBe(0);
  });

  it('are reused by all clients under TLS 1.2', async () => {
    const { clients, clock, time, take } = several();
    clients[0].keep('a', session('TLSv1.2', clock, 7), time);
    await clients[0].saved();
    for (let round = 0; round < 3; round++) {
      for (const client of clients) {
        expect(await take(client)).toBe(7);
        await client.saved();
      }
    }
  });

  it('are bounded per server, and stored under names that reveal nothing', async () => {
    const store = new MapStore();
    const {
      clients: [one],
      clock,
      time,
    } = several({ store, maxPerServer: 2 });
    for (let number = 0; number < 10; number++) one.keep('host:443 name', session('TLSv1.3', clock, number), time);
    await one.saved();
    expect(store.values.size).toBe(2);
    for (const [name, value] of store.values) {
      expect(name).toMatch(/^[\w-]{43}$/);
      expect(Buffer.from(value).includes(Buffer.from(made.get('TLSv1.3') as Uint8Array).subarray(20, 60))).toBe(false);
    }
  });

  it('are useless with another key, and under another name', async () => {
    const store = new MapStore();
    const {
      clients: [one],
      clock,
      time,
      take,
    } = several({ store });
    one.keep('a', session('TLSv1.3', clock), time);
    await one.saved();
    const stranger = new ClientSessions({ store, storeKey: bytes(32, 2), now: clock.now });
    expect(await take(stranger)).toBeUndefined();
    const [[name, value]] = store.values;
    // An attacker who can write to the store copies the value to where sessions of another server are searched.
    one.keep('b', session('TLSv1.3', clock), time);
    await one.saved();
    for (const other of store.values.keys()) if (other !== name) store.values.set(other, value);
    expect(await take(one, 'b')).toBeUndefined();
  });

  it('are not used once they have expired, wherever they are stored', async () => {
    const {
      clients: [one, two],
      clock,
      time,
      take,
    } = several();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) one.keep(version, session(version, clock), time);
    await one.saved();
    clock.pass(3_600_000);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      expect([await take(one, version), await take(two, version)]).toEqual([undefined, undefined]);
    expect(one.size + two.size).toBe(0);
  });

  it('are also forgotten in the store', async () => {
    const store = new MapStore();
    const {
      clients: [one, two],
      clock,
      time,
      take,
    } = several({ store });
    one.keep('a', session('TLSv1.2', clock), time);
    await one.saved();
    await one.forget('a');
    expect([await take(one), await take(two), store.values.size]).toEqual([undefined, undefined, 0]);
  });

  it.each<[string, (value: unknown) => unknown]>([
    ['null', () => null],
    ['a text', () => 'text'],
    ['garbage', () => bytes(300, 4)],
    ['a value that is too large', () => new Uint8Array(1_000_000)],
  ])('are ignored when the store answers %s', async (_, lie) => {
    let lies = false;
    const store = new MapStore(<T>(value: T) => Promise.resolve((lies ? lie(value) : value) as T));
    const {
      clients: [one, two],
      clock,
      time,
      take,
    } = several({ store });
    one.keep('a', session('TLSv1.3', clock), time);
    await one.saved();
    lies = true;
    expect(await take(two)).toBeUndefined();
  });

  it('that are distrusted while being saved leave the store, and those that are made afterwards stay', async () => {
    const values = new Map<string, Uint8Array>();
    const arrivals: (() => void)[] = [];
    const given: Uint8Array[] = [];
    const store: TakingSessionStore = {
      get: (key) => values.get(key),
      take: (key) => values.get(key),
      set: (key, value) =>
        new Promise((resolve) => {
          given.push(value);
          arrivals.push(() => {
            values.set(key, value);
            resolve();
          });
        }),
      remove: (key) => {
        values.delete(key);
      },
    };
    const {
      clients: [client],
      clock,
      time,
    } = several({ store, maxPerServer: 1 });
    client.keep('a', session('TLSv1.3', clock), time);
    client.distrust('a', time);
    client.keep('a', session('TLSv1.3', clock, 1), time);
    const tick = () => new Promise((resolve) => setImmediate(resolve));
    for (let turn = 0; turn < 10; turn++) {
      await tick();
      // The newest write arrives first.
      arrivals.pop()?.();
    }
    await client.saved();
    expect([...values.values()]).toEqual([given[1]]);
    client.distrust('a', time);
    await client.saved();
    expect(values.size).toBe(0);
  });

  it('that arrive after the lookup deadline are kept for the next connection', async () => {
    const answers: (() => void)[] = [];
    const store = new MapStore(
      <T>(value: T) =>
        new Promise<T>((resolve) => {
          answers.push(() => {
            resolve(value);
          });
        }),
    );
    const {
      clients: [one, two],
      clock,
      time,
    } = several({ store, lookupMs: 100 });
    one.keep('a', session('TLSv1.3', clock, 5), time);
    const late = two.fetch('a', time);
    await Promise.resolve();
    time.pass(100);
    expect(await late).toBe('store late');
    expect(two.take('a')).toBeUndefined();
    for (const answer of answers) answer();
    await one.saved();
    await new Promise(setImmediate);
    expect(two.take('a')?.timeoutSeconds).toBe(3595);
  });

  it('stay in the process while the store rests', async () => {
    let fails = true;
    const store = new MapStore(<T>(value: T) => {
      if (fails) throw new Error('down');
      return value;
    });
    const {
      clients: [one, two],
      clock,
      time,
      take,
    } = several({ store });
    for (let index = 0; index < 5; index++) expect(await one.fetch('b', time)).toBe('store failed');
    expect(await one.fetch('b', time)).toBe('store resting');
    expect(one.statistics(time.now())).toMatchObject({ resting: true, failures: 5 });
    one.keep('a', session('TLSv1.3', clock, 6), time);
    expect(await take(one)).toBe(6);
    fails = false;
    time.pass(1_000);
    one.keep('a', session('TLSv1.3', clock, 7), time);
    await one.saved();
    expect(await take(two)).toBe(7);
  });

  it('stay in the process when saves fail, although the store answers lookups', async () => {
    const store = new MapStore();
    const full = {
      get: (key: string) => store.get(key),
      take: (key: string) => store.take(key),
      set: () => Promise.reject(new Error('full')),
      remove: (key: string) => {
        store.remove(key);
      },
    };
    const {
      clients: [one],
      clock,
      time,
      take,
    } = several({ store: full });
    for (let number = 0; number < 5; number++) {
      one.keep('a', session('TLSv1.3', clock, number), time);
      await one.saved();
      expect(await take(one)).toBeUndefined();
    }
    one.keep('a', session('TLSv1.3', clock, 8), time);
    expect(await take(one)).toBe(8);
    expect(one.statistics(time.now())).toMatchObject({ saved: 0, lost: 6, resting: true });
  });

  it('are fetched once for concurrent requests, and concurrent failures prolong the rest only once', async () => {
    let answer: () => Promise<undefined> = () => Promise.resolve(undefined);
    let asked = 0;
    const store = {
      get: () => undefined,
      set: () => undefined,
      remove: () => undefined,
      take: () => {
        asked++;
        return answer();
      },
    };
    const {
      clients: [one],
      time,
    } = several({ store, maxPerServer: 1, lookupMs: 100 });
    await Promise.all(Array.from({ length: 300 }, async () => one.fetch('a', time)));
    expect(asked).toBe(1);
    answer = () => new Promise(() => undefined);
    const late = Array.from({ length: 300 }, async (_, index) => one.fetch(String(index), time));
    time.pass(100);
    expect(new Set(await Promise.all(late))).toEqual(new Set(['store late']));
    expect(await one.fetch('a', time)).toBe('store resting');
    answer = () => Promise.resolve(undefined);
    time.pass(1_000);
    expect(await one.fetch('a', time)).toBeUndefined();
  });

  it('are fetched again after a fetch that timed out', async () => {
    let hangs = true;
    const store = new MapStore();
    const once = {
      get: () => undefined,
      remove: () => undefined,
      set: (key: string, value: Uint8Array) => store.set(key, value),
      take: (key: string) => (hangs ? new Promise<undefined>(() => undefined) : store.take(key)),
    };
    const {
      clients: [one],
      clock,
      time,
      take,
    } = several({ store: once, lookupMs: 100 });
    one.keep('a', session('TLSv1.3', clock, 4), time);
    await one.saved();
    const inVain = one.fetch('a', time);
    time.pass(100);
    expect(await inVain).toBe('store late');
    hangs = false;
    expect(await take(one)).toBe(4);
  });

  it('of one slot are used even if another slot fails', async () => {
    const store = new MapStore();
    const {
      clients: [one],
      clock,
      time,
    } = several({ store });
    for (const number of [1, 2, 3]) one.keep('a', session('TLSv1.3', clock, number), time);
    await one.saved();
    const [broken] = store.values.keys();
    const partly = {
      get: () => undefined,
      set: () => undefined,
      remove: () => undefined,
      take: (key: string) => (key === broken ? Promise.reject(new Error('this shard is down')) : store.take(key)),
    };
    const {
      clients: [two],
    } = several({ store: partly });
    expect(await two.fetch('a', time)).toBeUndefined();
    expect(two.size).toBe(2);
  });

  it('are taken newest first, wherever they are stored', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const {
        clients: [one, two],
        clock,
        time,
        take,
      } = several();
      for (let number = 0; number < 7; number++) {
        one.keep('a', session(version, clock, number), time);
        clock.pass(1_000);
      }
      await one.saved();
      expect(await take(two)).toBe(6);
    }
  });

  it('are all forgotten, even if the client is closed during that', async () => {
    const store = new MapStore();
    const {
      clients: [one],
      clock,
      time,
    } = several({ store });
    for (let number = 0; number < 4; number++) one.keep('a', session('TLSv1.3', clock, number), time);
    await one.saved();
    expect(store.values.size).toBe(4);
    const forgotten = one.forget('a');
    one.close();
    await forgotten;
    expect(store.values.size).toBe(0);
  });

  it('that are never saved delay those behind them for at most ten seconds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      let hangs = true;
      const store = new MapStore();
      const hanging = {
        get: () => undefined,
        take: () => undefined,
        remove: () => undefined,
        set: (key: string, value: Uint8Array) => (hangs ? new Promise<void>(() => undefined) : store.set(key, value)),
      };
      const {
        clients: [one],
        clock,
        time,
      } = several({ store: hanging });
      for (let number = 0; number < 66; number++)
        one.keep(`a${String(number)}`, session('TLSv1.3', clock, number), time);
      hangs = false;
      await vi.advanceTimersByTimeAsync(10_000);
      await one.saved();
      expect(one.statistics(time.now())).toMatchObject({ saved: 2, lost: 64 });
      expect(store.values.size).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('throw for invalid options', () => {
    const store = new MapStore();
    expect(() => new ClientSessions({ store })).toThrow(TypeError);
    expect(() => new ClientSessions({ storeKey })).toThrow(TypeError);
    expect(() => new ClientSessions({ store, storeKey: bytes(16, 1) })).toThrow('storeKey takes 32 secret bytes');
    for (const lookupMs of [0, -1, NaN])
      expect(() => new ClientSessions({ store, storeKey, lookupMs })).toThrow(RangeError);
  });
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('clients that share a store, under %s,', (version) => {
  /**
   * Calls `use` with a function that connects to one server, whose port stays the same. `meanwhile` sees the client's
   * connection during the handshake.
   */
  async function withServer(
    use: (
      secure: SecureReactor,
      visit: (client: TlsContext, meanwhile?: (near: SecureConnection) => void) => Promise<SecureConnection>,
    ) => Promise<void>,
  ): Promise<void> {
    await withSecureReactor(async (secure) => {
      const server = await secure.server({ resumption: 'stateful', protocols: { min: version, max: version } });
      const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
      await use(secure, async (client, meanwhile) => {
        const [plain, accepted] = await Promise.all([
          secure.reactor.connect({ host: '127.0.0.1', port: portOf(listener) }),
          listener.accept(),
        ]);
        const [near, far] = [plain.secure(client, { serverName: 'localhost' }), accepted.secure(server)];
        const shaking = Promise.all([near.handshake(), far.handshake()]);
        meanwhile?.(near);
        await shaking;
        expect(near.reused).toBe(far.reused);
        await talk(near, far);
        abort(near, far);
        return near;
      });
      listener.close();
    });
  }

  it("resume each other's sessions, and the handshake wants a lookup while it waits", () =>
    withServer(async (secure, visit) => {
      const store = new MapStore();
      const contexts = [];
      for (let index = 0; index < 3; index++) {
        const sessions = new ClientSessions({ store, storeKey });
        contexts.push({ sessions, client: await secure.client({ sessions }) });
      }
      const outcomes = [];
      for (const { client, sessions } of [...contexts, ...contexts]) {
        outcomes.push((await visit(client)).resumption);
        await sessions.saved();
      }
      expect(outcomes).toEqual(['not offered', 'resumed', 'resumed', 'resumed', 'resumed', 'resumed']);
      const { client, sessions } = contexts[0];
      sessions.clear();
      await visit(client, (near) => {
        expect(near.want()).toBe('lookup');
      });
      await sessions.saved();
    }));

  it('complete a full handshake in time when the store fails, hangs or lies', () =>
    withServer(async (secure, visit) => {
      const cases: [string, <T>(value: T) => T | Promise<T>][] = [
        [
          'store failed',
          () => {
            throw new Error('down');
          },
        ],
        ['store failed', () => Promise.reject(new Error('down'))],
        ['store late', () => new Promise(() => undefined)],
        ['not offered', () => bytes(200, 1) as never],
      ];
      for (const [outcome, answer] of cases) {
        const sessions = new ClientSessions({ store: new MapStore(answer), storeKey, lookupMs: 20 });
        expect((await visit(await secure.client({ sessions }))).resumption).toBe(outcome);
      }
    }));

  it('release their deadline when they time out before the store answers', () =>
    withServer(async (secure) => {
      const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
      const sessions = new ClientSessions({
        store: new MapStore(() => new Promise(() => undefined)),
        storeKey,
        lookupMs: 60_000,
      });
      const plain = await secure.reactor.connect({ host: '127.0.0.1', port: portOf(listener) });
      const near = plain.secure(await secure.client({ sessions }), { serverName: 'localhost' });
      await expect(near.handshake({ timeouts: { totalMs: 20 } })).rejects.toMatchObject({
        code: 'ERR_WANTIO_TIMEOUT',
        want: 'lookup',
      });
      // The reactor could not drain while a deadline is left.
      near.abort();
      listener.close();
    }));

  it('leave nothing behind when they are closed while they wait for the store', () =>
    withServer(async (secure, visit) => {
      const store = new MapStore();
      const sessions = new ClientSessions({ store, storeKey });
      const client = await secure.client({ sessions });
      await visit(client);
      await sessions.saved();
      sessions.clear();
      await expect(
        visit(client, (near) => {
          near.abort();
        }),
      ).rejects.toThrow();
      // The session that was taken for the aborted connection is kept for the next one.
      await new Promise(setImmediate);
      expect(sessions.size).toBeGreaterThan(0);
      sessions.clear();
      await sessions.saved();
    }));
});
