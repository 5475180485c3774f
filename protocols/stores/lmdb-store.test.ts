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

/** Runs `use` with the path of a database that is not there yet, in a directory that is not there yet. */
const withPath = (use: (path: string) => Promise<void>) =>
  withFolder((folder) => use(join(folder, 'sessions', 'sessions.mdb')));

describe('a store in LMDB', () => {
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

  it('keeps sessions for the next process, in files of its user alone', () =>
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

  it('lets two that have it open see what the other sets', () =>
    withPath(async (path) => {
      const [one, other] = [new LmdbSessionStore({ path }), new LmdbSessionStore({ path })];
      await one.set('key', bytes(100, 1), 60_000);
      expect(await other.get('key')).toEqual(bytes(100, 1));
      await other.remove('key');
      expect(await one.get('key')).toBeUndefined();
      await one.close();
      await other.close();
    }));

  it('gives a session to one of two processes', () =>
    withFolder(async (directory) => {
      const store = new LmdbSessionStore({ path: join(directory, 'sessions.mdb') });
      expect(await raceOfTakers('lmdb', directory, store)).toEqual({ toNobody: 0, toOne: 200, toBoth: 0, wrong: 0 });
      await store.close();
    }));

  it('is full at its bound, goes on reading, and has room again when sessions were removed', () =>
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

  it('makes room of what has expired', () =>
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

  it('refuses a file that is no database, or not a whole one', () =>
    withPath(async (path) => {
      const store = new LmdbSessionStore({ path });
      for (let index = 0; index < 20; index++)
        await store.set(`key-${String(index)}`, bytes(VALUE_AT_MOST, index), 60_000);
      await store.close();
      const whole = readFileSync(path);
      truncateSync(path, whole.length - 4_096);
      await expect(new LmdbSessionStore({ path }).get('key')).rejects.toThrow('not a whole database');
      for (const content of [Buffer.alloc(100_000, 7), Buffer.alloc(100_000), Buffer.from('short')]) {
        writeFileSync(path, content);
        await expect(new LmdbSessionStore({ path }).get('key')).rejects.toThrow('not a whole database');
      }
      writeFileSync(path, whole);
      const again = new LmdbSessionStore({ path });
      expect(await again.get('key-3')).toEqual(bytes(VALUE_AT_MOST, 3));
      await again.close();
    }));

  it('never reads what is no record', () =>
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

  it('uses the pages again that a killed reader held', () =>
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
      // The table of readers in the lock file has the process in it, and what it may still read cannot be written over.
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

  it('fails with a typed error where it cannot write, and opens when it can', () =>
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

  it('fails and goes on where its file may not become as large as it should', () =>
    withFolder(async (directory) => {
      const told = await runShortOfDisk('lmdb', directory, 300);
      expect(told).toMatchObject({ before: true, kept: 100, lost: true });
      expect(told.refused).toBeGreaterThan(0);
      const store = new LmdbSessionStore({ path: join(directory, 'sessions.mdb') });
      expect(await store.get('before')).toHaveLength(100);
      await store.close();
    }));

  it('reads nothing broken after a writer was killed in the middle', () =>
    withPath(async (path) => {
      for (let round = 0; round < 3; round++) {
        await killInTheMiddle(writer, path);
        const store = new LmdbSessionStore({ path });
        for (let index = 0; index < 50; index++) {
          const value = await store.get(`key-${String(index)}`);
          // The writer says that it writes when each has been set, and the file stays whole from then on.
          expect(value).toEqual(saltedValue(value?.[0] ?? 0));
        }
        await store.set('after', bytes(100, round), 60_000);
        expect(await store.get('after')).toEqual(bytes(100, round));
        await store.close();
      }
    }));
});
