import { spawnSync } from 'node:child_process';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, it } from 'vitest';

import { certificateFiles, isInstalled, missing } from '../testing/tls/program.ts';
import { localhost } from '../testing/tls/secure-reactor.ts';
import { parseRedisUrl } from './redis-store-node.ts';
import { RedisSessionStore } from './redis-store.ts';
import { StoreError } from './store-error.ts';
import { VALUE_AT_MOST } from './store.ts';
import { bytes } from '../testing/stores/check-store.ts';
import { checkTakingStore } from '../testing/stores/check-taking-store.ts';
import { startRedis } from '../testing/stores/redis-server.ts';
import type { RedisServer } from '../testing/stores/redis-server.ts';

const present = isInstalled('redis-server');
let shared: ReturnType<typeof startRedis> | undefined;
let stores = 0;

/** The server that most tests share. */
const server = () => (shared ??= startRedis({ args: ['--loglevel', 'notice'] }));
const urlOf = ({ port }: { readonly port: number }) => `redis://127.0.0.1:${String(port)}`;

/** Calls `use` with a client of the test itself, which inspects the server or stores garbage in it. */
async function withClient<T>(to: { readonly port: number }, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ port: to.port, lazyConnect: true });
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

/** Repeats `ask` until the store answers. */
async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  for (const endsAt = performance.now() + 20_000; ;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof StoreError) || performance.now() > endsAt) throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

afterAll(async () => {
  await (await shared)?.stop();
});

describe.skipIf(!present)(`the Redis store${missing('redis-server')}`, () => {
  const make = async () => {
    const running = await server();
    const store = new RedisSessionStore({
      url: urlOf(running),
      prefix: `test-${String(stores++)}:`,
      timeoutMs: 10_000,
    });
    return {
      store,
      // The clock of the server decides about expiry, so wait until it has advanced.
      pass: (ms: number) =>
        withClient(running, async (client) => {
          const now = async (): Promise<number> => {
            const [seconds, microseconds] = await client.time();
            return seconds * 1_000 + microseconds / 1_000;
          };
          for (const endsAt = (await now()) + ms; (await now()) < endsAt;);
        }),
      dispose: () => {
        store.close();
        return Promise.resolve();
      },
    };
  };
  for (const check of checkTakingStore(make)) it(check.name, check.run);

  it('accepts a Unix socket, and an existing client, which it leaves open', async () => {
    const running = await server();
    const store = new RedisSessionStore({ url: `unix:${running.socket}`, prefix: 'socket:', timeoutMs: 10_000 });
    await store.set('key', bytes(10, 1), 60_000);
    await withClient(running, async (client) => {
      const other = new RedisSessionStore({ client, prefix: 'socket:', timeoutMs: 10_000 });
      expect(await other.get('key')).toEqual(bytes(10, 1));
      other.close();
      await expect(other.get('key')).rejects.toMatchObject({ reason: 'closed' });
      expect(await client.pttl('socket:key')).toBeGreaterThan(50_000);
    });
    store.close();
  });

  it('gives each session to one of two clients', async () => {
    const running = await server();
    const clients = Array.from(
      { length: 2 },
      () => new RedisSessionStore({ url: urlOf(running), prefix: 'taken:', timeoutMs: 10_000 }),
    );
    const keys = Array.from({ length: 50 }, (_, index) => `key-${String(index)}`);
    await Promise.all(keys.map((key, index) => clients[0].set(key, bytes(10, index), 60_000)));
    const [one, other] = await Promise.all(clients.map((client) => Promise.all(keys.map((key) => client.take(key)))));
    keys.forEach((_, index) => {
      expect([one[index], other[index]].filter((value) => value !== undefined)).toEqual([bytes(10, index)]);
    });
    for (const client of clients) client.close();
  });

  it('ignores values that are not its records', async () => {
    const running = await server();
    const store = new RedisSessionStore({ url: urlOf(running), prefix: 'garbage:', timeoutMs: 10_000 });
    await withClient(running, async (client) => {
      for (const garbage of ['', '\0', 'text', Buffer.alloc(VALUE_AT_MOST + 2, 1), Buffer.alloc(5_000_000, 1)]) {
        await client.set('garbage:key', garbage);
        expect(await store.get('key')).toBeUndefined();
        expect(await store.take('key')).toBeUndefined();
      }
      await client.del('garbage:key');
      await client.rpush('garbage:key', 'a', 'list');
      for (const ask of [store.get('key'), store.take('key')])
        await expect(ask).rejects.toMatchObject({ code: 'ERR_WANTIO_STORE', reason: 'failed' });
      await store.set('key', bytes(10, 1), 60_000);
      expect(await store.get('key')).toEqual(bytes(10, 1));
    });
    store.close();
  });

  it('reconnects to a server that replaces a dead one', async () => {
    const first = await startRedis();
    const store = new RedisSessionStore({ url: urlOf(first), timeoutMs: 2_000 });
    await store.set('key', bytes(10, 1), 60_000);
    await first.stop();
    await expect(store.get('key')).rejects.toBeInstanceOf(StoreError);
    const second = await startRedis({ port: first.port });
    expect(await eventually(() => store.get('key'))).toBeUndefined();
    await store.set('key', bytes(10, 2), 60_000);
    expect(await store.get('key')).toEqual(bytes(10, 2));
    store.close();
    await second.stop();
  });

  it('fails at once while no server runs, and queues nothing', async () => {
    const gone = await startRedis();
    await gone.stop();
    const store = new RedisSessionStore({ url: urlOf(gone), timeoutMs: 10_000 });
    const startedAt = performance.now();
    for (let count = 0; count < 50; count++)
      await expect(store.set('key', bytes(10, 1), 60_000)).rejects.toMatchObject({ reason: 'failed' });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    store.close();
  });

  it('keeps its deadline and its bound of requests while the server hangs', async () => {
    const hanging = await startRedis();
    const store = new RedisSessionStore({ url: urlOf(hanging), timeoutMs: 150, maxPending: 4 });
    await eventually(() => store.set('key', bytes(10, 1), 60_000));
    process.kill(hanging.program.pid, 'SIGSTOP');
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () => store.get('key').catch((error: unknown) => (error as StoreError).reason)),
    );
    expect(outcomes.toSorted()).toEqual(['busy', 'busy', 'busy', 'busy', 'timeout', 'timeout', 'timeout', 'timeout']);
    // Requests that timed out still count until the store gives up the connection.
    await expect(store.get('key')).rejects.toBeInstanceOf(StoreError);
    process.kill(hanging.program.pid, 'SIGCONT');
    expect(await eventually(() => store.get('key'))).toEqual(bytes(10, 1));
    store.close();
    await hanging.stop();
  });

  it('fails as full when the server is full, and still takes sessions', async () => {
    const small = await startRedis({ args: ['--maxmemory', '3mb', '--maxmemory-policy', 'noeviction'] });
    const store = new RedisSessionStore({ url: urlOf(small), timeoutMs: 10_000 });
    const fill = async (): Promise<void> => {
      for (let index = 0; index < 200; index++)
        await store.set(`key-${String(index)}`, bytes(VALUE_AT_MOST, 1), 60_000);
    };
    await expect(fill()).rejects.toMatchObject({ reason: 'full' });
    expect(await store.take('key-0')).toEqual(bytes(VALUE_AT_MOST, 1));
    expect(await store.take('key-0')).toBeUndefined();
    store.close();
    await small.stop();
  });

  it('connects over TLS, and verifies the certificate', async () => {
    const { certificate, key } = certificateFiles();
    const running = await startRedis({
      args: [
        '--tls-port',
        '0',
        '--tls-cert-file',
        certificate,
        '--tls-key-file',
        key,
        '--tls-ca-cert-file',
        certificate,
        '--tls-auth-clients',
        'no',
      ],
    });
    const tlsPort = running.port + 1;
    await withClient(running, (client) => client.config('SET', 'tls-port', tlsPort));
    const url = `rediss://localhost:${String(tlsPort)}`;
    const store = new RedisSessionStore({ url, ca: localhost.certificate, timeoutMs: 10_000 });
    await store.set('key', bytes(10, 1), 60_000);
    expect(await store.get('key')).toEqual(bytes(10, 1));
    const distrustful = new RedisSessionStore({ url, timeoutMs: 10_000 });
    await expect(distrustful.get('key')).rejects.toThrow('self-signed');
    store.close();
    distrustful.close();
    await running.stop();
  });

  it('shows no credentials in errors or when it is inspected', async () => {
    const running = await startRedis({ args: ['--requirepass', 'right-secret'] });
    const good = new RedisSessionStore({
      url: `redis://:right-secret@127.0.0.1:${String(running.port)}`,
      timeoutMs: 10_000,
    });
    await good.set('key', bytes(10, 1), 60_000);
    const wrong = new RedisSessionStore({
      url: `redis://someone:wrong-secret@127.0.0.1:${String(running.port)}`,
      timeoutMs: 10_000,
    });
    const failure: unknown = await wrong.get('key').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StoreError);
    for (const shown of [inspect(failure, { depth: 10 }), inspect(wrong, { depth: 10, showHidden: true })])
      expect(shown).not.toMatch(/wrong-secret|someone/);
    good.close();
    wrong.close();
    await running.stop();
  });

  it('fails while a cluster is incomplete, and works once it is complete', async () => {
    // A node that has met no other node does not know its own address.
    const node = await startRedis({
      args: ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-announce-ip', '127.0.0.1'],
    });
    const store = new RedisSessionStore({ url: [urlOf(node), urlOf(node)], timeoutMs: 5_000 });
    await expect(store.get('key')).rejects.toBeInstanceOf(StoreError);
    await withClient(node, (client) => client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383'));
    await eventually(() => store.set('key', bytes(10, 1), 60_000));
    expect(await eventually(() => store.get('key'))).toEqual(bytes(10, 1));
    store.close();
    await node.stop();
  }, 60_000);

  it('works with a cluster', async () => {
    const nodes: RedisServer[] = [];
    for (let count = 0; count < 3; count++)
      nodes.push(await startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf'] }));
    const created = spawnSync(
      'redis-cli',
      ['--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${String(port)}`), '--cluster-yes'],
      { encoding: 'utf8', timeout: 25_000 },
    );
    expect(created.stdout).toContain('All 16384 slots covered');
    const store = new RedisSessionStore({ url: nodes.map(urlOf), timeoutMs: 5_000 });
    const keys = Array.from({ length: 30 }, (_, index) => `key-${String(index)}`);
    for (const [index, key] of keys.entries()) await eventually(async () => store.set(key, bytes(10, index), 60_000));
    for (const [index, key] of keys.entries()) expect(await eventually(() => store.get(key))).toEqual(bytes(10, index));
    const spread = await Promise.all(nodes.map((node) => withClient(node, (client) => client.dbsize())));
    expect(spread.every((count) => count > 0)).toBe(true);
    for (const [index, key] of keys.entries()) expect(await store.take(key)).toEqual(bytes(10, index));
    for (const key of keys) expect(await store.take(key)).toBeUndefined();
    store.close();
    for (const node of nodes) await node.stop();
  }, 60_000);
});

describe('the URL of a Redis server', () => {
  it('contains a host, a port, a user, a password and a database, or a path', () => {
    expect(parseRedisUrl('redis://example.org')).toEqual({ host: 'example.org', port: 6379 });
    expect(parseRedisUrl('rediss://us%40er:p%3Aw@[::1]:7000/3')).toEqual({
      host: '::1',
      port: 7000,
      username: 'us@er',
      password: 'p:w',
      db: 3,
      tls: true,
    });
    expect(parseRedisUrl('unix:/run/redis/redis.sock')).toEqual({ path: '/run/redis/redis.sock' });
  });

  it('is rejected without being shown when it is invalid', () => {
    for (const url of [
      '',
      'secret',
      'http://secret@host',
      'redis://',
      'redis://:secret@host/name',
      'redis://:secret@host:99999',
    ]) {
      expect(() => new RedisSessionStore({ url })).toThrow(RangeError);
      expect(() => new RedisSessionStore({ url })).not.toThrow(/secret/);
    }
    expect(() => new RedisSessionStore({ url: [] })).toThrow(RangeError);
    expect(() => new RedisSessionStore({ url: ['redis://a/1', 'redis://b'] })).toThrow(RangeError);
  });
});
