import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { compiledOf } from '../../reactor/testing/compiled.ts';
import { LmdbSessionStore } from './lmdb-store.ts';
import { StoreError } from './store-error.ts';
import { VALUE_AT_MOST } from './store.ts';
import { bytes } from '../testing/stores/check-store.ts';
import { checkTakingStore } from '../testing/stores/check-taking-store.ts';
import { newFolder, withFolder } from '../testing/stores/folder.ts';
import { killInTheMiddle } from '../testing/stores/kill-in-the-middle.ts';
import { ManualClock } from '../testing/stores/manual-clock.ts';
import { raceOfTakers } from '../testing/stores/race-of-takers.ts';
import { runShortOfDisk } from '../testing/stores/run-short-of-disk.ts';
import { saltedValue } from '../testing/stores/write-for-ever.ts';

const reader = fileURLToPath(new URL('../testing/stores/lmdb-reader.ts', import.meta.url));
const writer = fileURLToPath(new URL('../testing/stores/lmdb-store-writer.ts', import.meta.url));

/** Calls `use` with the path of a database. Neither the database nor its directory exists yet. */
const withPath = (use: (path: string) => Promise<void>) =>
  withFolder((folder) => use(join(folder, 'sessions', 'sessions.mdb')));

describe('the LMDB store', () => {
  const make = () => {
    const { folder, remove } = newFolder();
    const { now, pass } = new ManualClock(Date.now());
    const store = new LmdbSessionStore({ path: join(folder, 'sessions.mdb'), now });
    return Promise.resolve({
      store,
      pass,
      dispose: async () => {
        await store.close();
        remove();
      },
    });
  };
  for (const check of checkTakingStore(make)) it(check.name, check.run);

  it('keeps sessions for the next process, in files that only its user can access', () =>
    withPath(async (path) => {
      const store = new LmdbSessionStore({ path });
      await store.set('key', bytes(100, 1), 60_000);
      await store.close();
      await expect(store.get('key')).rejects.toMatchObject({ reason: 'closed' });
      for (const file of [path, `${path}-lock`]) expect(statSync(file).mode & 0o777).toBe(0o600);
      const next = new LmdbSessionStore({ path });
      expect(await next.get('key')).toEqual(bytes(100, 1));
      await next.close();
    }));

  it('shares sessions between two stores with the same path', () =>
    withPath(async (path) => {
      const [one, other] = [new LmdbSessionStore({ path }), new LmdbSessionStore({ path })];
      await one.set('key', bytes(100, 1), 60_000);
      expect(await other.get('key')).toEqual(bytes(100, 1));
      await other.remove('key');
      expect(await one.get('key')).toBeUndefined();
      await one.close();
      await other.close();
    }));

  it('gives each session to one of two processes', () =>
    withFolder(async (directory) => {
      const store = new LmdbSessionStore({ path: join(directory, 'sessions.mdb') });
      expect(await raceOfTakers('lmdb', directory, store)).toEqual({ toNobody: 0, toOne: 200, toBoth: 0, wrong: 0 });
      await store.close();
    }));

  it('fails as full at its bound, still reads, and accepts sessions again after removals', () =>
    withPath(async (path) => {
      const store = new LmdbSessionStore({ path, maxBytes: 1024 * 1024 });
      let count = 0;
      const fill = async (): Promise<void> => {
        for (; count < 1_000; count++) await store.set(`key-${String(count)}`, bytes(10_000, count), 60_000);
      };
      await expect(fill()).rejects.toMatchObject({ code: 'ERR_WANTIO_STORE', reason: 'full' });
      expect(count).toBeGreaterThan(40);
      expect(statSync(path).size).toBeLessThan(2 * 1024 * 1024);
      expect(await store.get('key-0')).toEqual(bytes(10_000, 0));
      for (let index = 0; index < 20; index++) await store.remove(`key-${String(index)}`);
      await store.set('again', bytes(10_000, 7), 60_000);
      expect(await store.get('again')).toEqual(bytes(10_000, 7));
      await store.close();
    }));

  it('frees the room of expired sessions', () =>
    withPath(async (path) => {
      const { now, pass } = new ManualClock(Date.now());
      const store = new LmdbSessionStore({ path, maxBytes: 1024 * 1024, now });
      for (let round = 0; round < 5; round++) {
        for (let index = 0; index < 40; index++)
          await store.set(`key-${String(round)}-${String(index)}`, bytes(10_000, index), 1_000);
        pass(1_000);
      }
      expect(statSync(path).size).toBeLessThan(2 * 1024 * 1024);
      await store.close();
    }));

  it('rejects a file that is no database, or is truncated', () =>
    withPath(async (path) => {
      const store = new LmdbSessionStore({ path });
      for (let index = 0; index < 20; index++)
        await store.set(`key-${String(index)}`, bytes(VALUE_AT_MOST, index), 60_000);
      await store.close();
      const whole = readFileSync(path);
      truncateSync(path, whole.length - 4_096);
      await expect(new LmdbSessionStore({ path }).get('key')).rejects.toThrow('not a complete LMDB database');
      for (const content of [Buffer.alloc(100_000, 7), Buffer.alloc(100_000), Buffer.from('short')]) {
        writeFileSync(path, content);
        await expect(new LmdbSessionStore({ path }).get('key')).rejects.toThrow('not a complete LMDB database');
      }
      writeFileSync(path, whole);
      const again = new LmdbSessionStore({ path });
      expect(await again.get('key-3')).toEqual(bytes(VALUE_AT_MOST, 3));
      await again.close();
    }));

  it('ignores values that are not its records', () =>
    withPath(async (path) => {
      const store = new LmdbSessionStore({ path });
      await store.set('other', bytes(1, 1), 60_000);
      const { open } = await import('lmdb');
      const database = open({ path, noSubdir: true, encoding: 'binary' });
      for (const garbage of [
        Buffer.alloc(0),
        Buffer.alloc(7),
        Buffer.alloc(8),
        Buffer.alloc(100, 0xff),
        Buffer.alloc(200_000, 0x42),
      ]) {
        await database.put('key', garbage);
        expect(await store.get('key')).toBeUndefined();
        expect(await store.take('key')).toBeUndefined();
      }
      await database.close();
      await store.close();
    }));

  it('reuses the pages that a killed reader held', () =>
    withPath(async (path) => {
      const { now, pass } = new ManualClock(Date.now());
      const store = new LmdbSessionStore({ path, now });
      await store.set('key', bytes(VALUE_AT_MOST, 0), 600_000);
      const child = spawn(process.execPath, [compiledOf(reader), path], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exited = once(child, 'exit');
      await once(child.stdout, 'data');
      const overwrite = async (): Promise<number> => {
        for (let round = 0; round < 20; round++) await store.set('key', bytes(VALUE_AT_MOST, round), 600_000);
        return statSync(path).size;
      };
      // The reader table in the lock file lists the process. LMDB cannot overwrite the pages that a listed reader may
      // still read.
      const isListed = (): boolean =>
        new Uint32Array(Uint8Array.from(readFileSync(`${path}-lock`)).buffer).includes(child.pid as number);
      const before = statSync(path).size;
      expect(await overwrite()).toBeGreaterThan(before + 10 * VALUE_AT_MOST);
      child.kill('SIGKILL');
      await exited;
      const held = await overwrite();
      expect(held).toBeGreaterThan(before + 30 * VALUE_AT_MOST);
      expect(isListed()).toBe(true);
      pass(60_001);
      await overwrite();
      expect(isListed()).toBe(false);
      for (let times = 0; times < 5; times++) expect(await overwrite()).toBe(held);
      expect(await store.get('key')).toEqual(bytes(VALUE_AT_MOST, 19));
      await store.close();
    }));

  it('fails with a typed error where it cannot write, and opens once it can', () =>
    withFolder(async (folder) => {
      const store = new LmdbSessionStore({ path: join(folder, 'absent', 'sessions', 'sessions.mdb') });
      await expect(store.set('key', bytes(1, 1), 1_000)).rejects.toBeInstanceOf(StoreError);
      await expect(store.get('key')).rejects.toBeInstanceOf(StoreError);
      await store.close();
      chmodSync(folder, 0o777);
      const open = new LmdbSessionStore({ path: join(folder, 'sessions.mdb') });
      await expect(open.set('key', bytes(1, 1), 1_000)).rejects.toThrow('chmod 700');
      chmodSync(folder, 0o700);
      await open.set('key', bytes(1, 1), 1_000);
      await open.close();
    }));

  it('fails with a typed error and keeps working when its file cannot grow', () =>
    withFolder(async (directory) => {
      const told = await runShortOfDisk('lmdb', directory, 300);
      expect(told).toMatchObject({ before: true, kept: 100, lost: true });
      expect(told.refused).toBeGreaterThan(0);
      const store = new LmdbSessionStore({ path: join(directory, 'sessions.mdb') });
      expect(await store.get('before')).toHaveLength(100);
      await store.close();
    }));

  it('reads no damaged value after a writer was killed while writing', () =>
    withPath(async (path) => {
      for (let round = 0; round < 3; round++) {
        await killInTheMiddle(writer, path);
        const store = new LmdbSessionStore({ path });
        for (let index = 0; index < 50; index++) {
          const value = await store.get(`key-${String(index)}`);
          // The writer prints "writing" only when each key has been set, so each key has a whole value from then on.
          expect(value).toEqual(saltedValue(value?.[0] ?? 0));
        }
        await store.set('after', bytes(100, round), 60_000);
        expect(await store.get('after')).toEqual(bytes(100, round));
        await store.close();
      }
    }));
});
