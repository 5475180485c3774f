import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { compiledOf } from '../../../reactor/testing/compiled.ts';
import { Reactor } from '../../../reactor/reactor.ts';
import { withReactor } from '../../../reactor/testing/with-reactor.ts';
import { Program } from '../../testing/tls/program.ts';
import { MemorySessionStore } from '../memory-store.ts';
import { encodeAnswer, encodeRequest } from './session-server-frame.ts';
import { SessionServerStore } from './session-server-store.ts';
import { SessionServer } from './session-server.ts';
import type { SessionServerOptions } from './session-server.ts';
import { StoreError } from '../store-error.ts';
import { VALUE_AT_MOST } from '../store.ts';
import type { TakingSessionStore } from '../store.ts';
import { bytes } from '../../testing/stores/check-store.ts';
import { checkTakingStore } from '../../testing/stores/check-taking-store.ts';
import { newFolder, withFolder } from '../../testing/stores/folder.ts';
import { ManualClock } from '../../testing/stores/manual-clock.ts';

const serverProgram = fileURLToPath(new URL('../../testing/stores/session-server-program.ts', import.meta.url));
const startServer = async (path: string): Promise<Program> => {
  const program = new Program(process.execPath, compiledOf(serverProgram), path);
  await program.says(/serving/);
  return program;
};

/** Calls `use` with a reactor and a path for a socket. */
const withPath = (use: (reactor: Reactor, path: string) => Promise<void>) =>
  withFolder((folder) => withReactor((reactor) => use(reactor, join(folder, 'sessions.sock'))));

/** Like `withPath`, with a session server and a client of it. */
const withServer = (
  options: Partial<SessionServerOptions>,
  use: (store: SessionServerStore, server: SessionServer, reactor: Reactor, path: string) => Promise<void>,
) =>
  withPath(async (reactor, path) => {
    const server = await SessionServer.listen(reactor, { path, ...options });
    const store = new SessionServerStore(reactor, { path, timeoutMs: 5_000 });
    await use(store, server, reactor, path);
    await store.close();
    await server.close();
  });

/** A store that answers its gets and takes only when the test calls `answer`. */
class HeldStore implements TakingSessionStore {
  readonly asked: string[] = [];
  readonly #waiting: (() => void)[] = [];

  get(key: string): Promise<Uint8Array> {
    this.asked.push(key);
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        resolve(Buffer.from(key));
      });
    });
  }

  take(key: string): Promise<Uint8Array> {
    return this.get(key);
  }

  set(): Promise<void> {
    return Promise.reject(new StoreError('full', 'no room'));
  }

  remove(): Promise<void> {
    return Promise.reject(new Error('broken'));
  }

  /** Answers all pending requests, the last one first. */
  answer(): void {
    for (const answer of this.#waiting.splice(0).reverse()) answer();
  }

  /** Waits until the store got this many requests. */
  async hears(count: number): Promise<void> {
    while (this.asked.length < count) await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a session server', () => {
  const make = async () => {
    const { folder, remove } = newFolder();
    const { now, pass } = new ManualClock();
    const reactor = new Reactor();
    const path = join(folder, 'sessions.sock');
    const server = await SessionServer.listen(reactor, { path, store: new MemorySessionStore({ now }) });
    const store = new SessionServerStore(reactor, { path, timeoutMs: 10_000 });
    return {
      store,
      pass,
      dispose: async () => {
        await store.close();
        await server.close();
        await reactor.close();
        remove();
      },
    };
  };
  for (const check of checkTakingStore(make)) it(check.name, check.run);

  it('creates its socket for its user only, and removes it when it closes', () =>
    withPath(async (reactor, path) => {
      const server = await SessionServer.listen(reactor, { path });
      expect(statSync(path).mode & 0o777).toBe(0o600);
      await server.close();
      expect(existsSync(path)).toBe(false);
    }));

  it('answers the requests of a client in any order', () => {
    const held = new HeldStore();
    return withServer({ store: held }, async (store, server, reactor) => {
      const gets = Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0 ? store.get(`key-${String(index)}`) : store.take(`key-${String(index)}`),
      );
      await held.hears(20);
      held.answer();
      const values = await Promise.all(gets);
      values.forEach((value, index) => {
        expect(Buffer.from(value ?? []).toString()).toBe(`key-${String(index)}`);
      });
      // Both ends of the client's only connection belong to this reactor.
      expect(reactor.connections.size).toBe(2);
      expect(server.listener.closed).toBe(false);
    });
  });

  it('answers with nothing when its store returns an invalid value', () => {
    const answers: unknown[] = [null, 'text', 7, new Uint8Array(VALUE_AT_MOST + 1)];
    const store = {
      get: () => answers.shift() as undefined,
      take: () => answers.shift() as undefined,
      set: () => undefined,
      remove: () => undefined,
    };
    return withServer({ store }, async (client) => {
      for (let index = 0; index < 2; index++)
        expect([await client.get('key'), await client.take('key')]).toEqual([undefined, undefined]);
    });
  });

  it('handles at most maxPending requests of a client at a time', () => {
    const held = new HeldStore();
    return withServer({ store: held, maxPending: 3 }, async (store) => {
      const gets = Array.from({ length: 7 }, (_, index) => store.get(`key-${String(index)}`));
      await held.hears(3);
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
      expect(held.asked.length).toBe(3);
      for (let count = 3; count < 7; count += 3) {
        held.answer();
        await held.hears(Math.min(7, count + 3));
      }
      held.answer();
      expect((await Promise.all(gets)).length).toBe(7);
    });
  });

  it('reports why its store failed', () =>
    withServer({ store: new HeldStore() }, async (store) => {
      await expect(store.set('key', bytes(1, 1), 1_000)).rejects.toMatchObject({
        code: 'ERR_WANTIO_STORE',
        reason: 'full',
      });
      await expect(store.remove('key')).rejects.toMatchObject({ reason: 'failed' });
    }));

  it('bounds the requests of one process, and rejects more as busy', () => {
    const held = new HeldStore();
    return withPath(async (reactor, path) => {
      const server = await SessionServer.listen(reactor, { path, store: held });
      const store = new SessionServerStore(reactor, { path, maxPending: 2 });
      const gets = [store.get('a'), store.get('b')];
      await expect(store.get('c')).rejects.toMatchObject({ reason: 'busy' });
      await held.hears(2);
      held.answer();
      await Promise.all(gets);
      await store.close();
      await server.close();
    });
  });

  it('answers pending requests before it closes', () => {
    const held = new HeldStore();
    return withPath(async (reactor, path) => {
      const server = await SessionServer.listen(reactor, { path, store: held });
      const store = new SessionServerStore(reactor, { path, timeoutMs: 5_000 });
      const get = store.get('key');
      await held.hears(1);
      const closed = server.close({ timeoutMs: 5_000 });
      held.answer();
      expect(Buffer.from((await get) ?? []).toString()).toBe('key');
      await closed;
      await store.close();
    });
  });

  it('rejects users who are not on its list, and is rejected by clients whose list lacks its own user', () =>
    withPath(async (reactor, path) => {
      const stranger = (process.getuid?.() ?? 0) + 1;
      const server = await SessionServer.listen(reactor, { path, users: [stranger] });
      const refusals: string[] = [];
      server.listener.on('clientError', (error) => refusals.push(error.message));
      const store = new SessionServerStore(reactor, { path });
      await expect(store.get('key')).rejects.toBeInstanceOf(StoreError);
      expect(refusals).toEqual([`user ${String(process.getuid?.())} may not use this session server`]);
      const distrustful = new SessionServerStore(reactor, { path, users: [stranger] });
      await expect(distrustful.get('key')).rejects.toThrow('not trusted');
      await store.close();
      await distrustful.close();
      await server.close();
    }));

  it('closes a connection that sends an invalid request, and serves the others', () =>
    withServer({}, async (store, server, reactor, path) => {
      server.listener.on('clientError', () => undefined);
      const good = encodeRequest(1, { kind: 'get', key: 'key' });
      const spoilt = (change: (frame: Uint8Array) => void): Uint8Array => {
        const frame = Uint8Array.from(good);
        change(frame);
        return frame;
      };
      const nonsense = [
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        Buffer.alloc(100),
        spoilt((frame) => {
          frame[4] = 2;
        }),
        spoilt((frame) => {
          frame[5] = 8;
        }),
        spoilt((frame) => {
          frame[5] = 9;
        }),
        spoilt((frame) => {
          frame[5] = 3;
        }),
        spoilt((frame) => {
          frame[10] = 0x2f;
        }),
        Buffer.from([0xff, 0xff, 0xff, 0xff]),
        encodeRequest(1, { kind: 'take', key: '' }),
        encodeRequest(1, { kind: 'take', key: 'a/b' }),
        encodeRequest(1, { kind: 'take', key: 'a'.repeat(65) }),
        encodeRequest(1, { kind: 'set', key: 'key', value: bytes(1, 1), ttlMs: 2 ** 31 }),
      ];
      for (const sent of nonsense) {
        const connection = await reactor.connect({ path });
        await connection.send(sent);
        // The connection ends, or is reset when the server has not read everything.
        expect(await connection.receive('*a').catch(() => Buffer.alloc(0))).toHaveLength(0);
        connection.abort();
      }
      await store.set('key', bytes(10, 1), 60_000);
      expect(await store.get('key')).toEqual(bytes(10, 1));
    }));

  it('replaces the socket of a dead server, but no live server and no other file', () =>
    withPath(async (reactor, path) => {
      const program = await startServer(path);
      await expect(SessionServer.listen(reactor, { path })).rejects.toThrow('already');
      await program.kill('SIGKILL');
      expect(existsSync(path)).toBe(true);
      const server = await SessionServer.listen(reactor, { path });
      await expect(SessionServer.listen(reactor, { path })).rejects.toThrow('already');
      await server.close();
      writeFileSync(path, 'mine');
      await expect(SessionServer.listen(reactor, { path })).rejects.toThrow('not a socket');
      expect(existsSync(path)).toBe(true);
    }));
});

describe('the client of a session server', () => {
  it('fails while no server runs, and connects to the next server', () =>
    withPath(async (reactor, path) => {
      const store = new SessionServerStore(reactor, { path, timeoutMs: 5_000 });
      await expect(store.get('key')).rejects.toBeInstanceOf(StoreError);
      await expect(store.get('key')).rejects.toThrow('tried again in');
      const ask = async (): Promise<Uint8Array | undefined> => {
        for (;;) {
          try {
            return await store.get('key');
          } catch (error) {
            if (!(error instanceof StoreError)) throw error;
            await new Promise((resolve) => setImmediate(resolve));
          }
        }
      };
      for (let round = 0; round < 2; round++) {
        const program = await startServer(path);
        expect(await ask()).toBeUndefined();
        await store.set('key', bytes(10, round), 60_000);
        expect(await store.get('key')).toEqual(bytes(10, round));
        await program.kill('SIGKILL');
      }
      await expect(store.get('key')).rejects.toBeInstanceOf(StoreError);
      await store.close();
    }));

  it('rejects an answer that does not fit its request', () =>
    withPath(async (reactor, path) => {
      const questions = [
        ['get', 'done'],
        ['take', 'done'],
        ['set', 'none'],
        ['remove', 'value'],
      ] as const;
      const listener = await reactor.listen({ path });
      listener.serve({}, async (connection) => {
        // The fourth byte of a frame is its length: every request of this test is shorter than 256 bytes.
        for (const [index, [, answer]] of questions.entries()) {
          const header = await connection.receive(4);
          await connection.receive(header[3] ?? 0);
          await connection.send(
            encodeAnswer(index + 1, answer === 'value' ? { kind: answer, value: bytes(1, 1) } : { kind: answer }),
          );
        }
      });
      const store = new SessionServerStore(reactor, { path, timeoutMs: 5_000 });
      for (const [question] of questions) {
        const asked = question === 'set' ? store.set('key', bytes(1, 1), 1_000) : store[question]('key');
        await expect(asked).rejects.toThrow('answered another question');
      }
      await store.close();
      listener.close();
    }));

  it('times out while the server hangs, and works again when the server resumes', () =>
    withPath(async (reactor, path) => {
      const program = await startServer(path);
      const store = new SessionServerStore(reactor, { path, timeoutMs: 200 });
      const patient = new SessionServerStore(reactor, { path, timeoutMs: 10_000 });
      await patient.set('key', bytes(10, 1), 60_000);
      process.kill(program.pid, 'SIGSTOP');
      const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => store.get('key')));
      for (const outcome of outcomes)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_WANTIO_STORE' } });
      process.kill(program.pid, 'SIGCONT');
      expect(await patient.get('key')).toEqual(bytes(10, 1));
      await store.close();
      await patient.close();
      await program.kill('SIGKILL');
    }));

  it('rejects pending requests when its reactor closes, and does not hold up the close', () =>
    withFolder(async (folder) => {
      const held = new HeldStore();
      const path = join(folder, 'sessions.sock');
      const reactor = new Reactor();
      const server = await SessionServer.listen(reactor, { path, store: held });
      const store = new SessionServerStore(reactor, { path });
      const get = store.get('key');
      await held.hears(1);
      const drained = reactor.close({ timeoutMs: 5_000 });
      await expect(get).rejects.toMatchObject({ reason: 'closed' });
      held.answer();
      await drained;
      await server.close();
      await expect(store.get('key')).rejects.toMatchObject({ reason: 'closed' });
    }));

  it('fails with EACCES when it may not open the socket', () =>
    withPath(async (reactor, path) => {
      const server = await SessionServer.listen(reactor, { path });
      chmodSync(path, 0);
      const store = new SessionServerStore(reactor, { path });
      // Root may open any socket.
      if (process.getuid?.() === 0) expect(await store.get('key')).toBeUndefined();
      else await expect(store.get('key')).rejects.toThrow('EACCES');
      await store.close();
      await server.close();
    }));
});
