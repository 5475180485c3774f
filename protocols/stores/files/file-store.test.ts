import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { FileSessionStore } from './file-store.ts';
import { StoreError } from '../store-error.ts';
import { bytes } from '../../testing/stores/check-store.ts';
import { checkTakingStore } from '../../testing/stores/check-taking-store.ts';
import { newFolder, withFolder } from '../../testing/stores/folder.ts';
import { killInTheMiddle } from '../../testing/stores/kill-in-the-middle.ts';
import { ManualClock } from '../../testing/stores/manual-clock.ts';
import { raceOfTakers } from '../../testing/stores/race-of-takers.ts';
import { runShortOfDisk } from '../../testing/stores/run-short-of-disk.ts';
import { saltedValue } from '../../testing/stores/write-for-ever.ts';

const writer = fileURLToPath(new URL('../../testing/stores/file-store-writer.ts', import.meta.url));

/** @returns the paths of all regular files under `directory`. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

describe('the file store', () => {
  const make = () => {
    const { folder, remove } = newFolder();
    const { now, pass } = new ManualClock(Date.now());
    const store = new FileSessionStore({ directory: join(folder, 'sessions'), now });
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

  it('keeps sessions for the next process, in files and directories that only its user can access', () =>
    withFolder(async (folder) => {
      const directory = join(folder, 'sessions');
      const store = new FileSessionStore({ directory });
      await store.set('key', bytes(100, 1), 60_000);
      await store.close();
      const [file] = filesIn(directory);
      expect(statSync(file).mode & 0o777).toBe(0o600);
      for (const name of ['.', ...readdirSync(directory)])
        expect(statSync(join(directory, name)).mode & 0o777).toBe(0o700);
      expect(await new FileSessionStore({ directory }).get('key')).toEqual(bytes(100, 1));
    }));

  it('rejects a directory that other users may write to', () =>
    withFolder(async (folder) => {
      for (const mode of [0o777, 0o770, 0o720, 0o707, 0o702]) {
        const directory = join(folder, mode.toString(8));
        mkdirSync(directory);
        chmodSync(directory, mode);
        await expect(
          new FileSessionStore({ directory }).set('key', bytes(1, 1), 1_000),
          mode.toString(8),
        ).rejects.toThrow('chmod 700');
      }
    }));

  it('ignores files that are not a whole record of their key', () =>
    withFolder(async (directory) => {
      const store = new FileSessionStore({ directory });
      await store.set('key', bytes(100, 1), 60_000);
      const [path] = filesIn(directory);
      const whole = readFileSync(path);
      const damaged: readonly Uint8Array[] = [
        ...[0, 1, 20, 28, 29, 32, whole.length - 1].map((length) => whole.subarray(0, length)),
        ...Array.from(whole, (byte, index) => Buffer.from(whole).fill(byte ^ 1, index, index + 1)),
        Buffer.concat([whole, Buffer.of(0)]),
        Buffer.alloc(whole.length),
        Buffer.alloc(1_000_000, 7),
      ];
      for (const content of damaged) {
        writeFileSync(path, content);
        expect(await store.get('key')).toBeUndefined();
      }
      writeFileSync(path, whole);
      expect(await store.get('key')).toEqual(bytes(100, 1));
      const other = join(path, '..', 'other');
      renameSync(path, other);
      // Whichever subdirectory the key `other` belongs to, this record is that of `key`.
      expect(await store.get('other')).toBeUndefined();
      await store.close();
    }));

  it('follows no symbolic link, and reads no directory as a session', () =>
    withFolder(async (folder) => {
      const directory = join(folder, 'sessions');
      const store = new FileSessionStore({ directory });
      await store.set('key', bytes(100, 1), 60_000);
      const [path] = filesIn(directory);
      const elsewhere = join(folder, 'elsewhere');
      renameSync(path, elsewhere);
      symlinkSync(elsewhere, path);
      expect(await store.get('key')).toBeUndefined();
      await store.set('key', bytes(100, 2), 60_000);
      expect(statSync(elsewhere).size).toBeGreaterThan(0);
      expect(await store.get('key')).toEqual(bytes(100, 2));
      rmSync(path);
      mkdirSync(path);
      expect(await store.get('key')).toBeUndefined();
      await expect(store.set('key', bytes(1, 1), 1_000)).rejects.toBeInstanceOf(StoreError);
      // Make the subdirectory a symbolic link. A store that has not used it before must not read through the link.
      const fan = join(path, '..');
      rmSync(path, { recursive: true });
      await store.set('key', bytes(100, 3), 60_000);
      renameSync(fan, join(folder, 'fan'));
      symlinkSync(join(folder, 'fan'), fan);
      expect(await new FileSessionStore({ directory }).get('key')).toBeUndefined();
      await store.close();
    }));

  it('never keeps more than maxSessions, and evicts expired sessions first', () =>
    withFolder(async (directory) => {
      const { now, pass } = new ManualClock(Date.now());
      const store = new FileSessionStore({ directory, maxSessions: 20, now });
      for (let index = 0; index < 20; index++) await store.set(`short-${String(index)}`, bytes(10, 1), 10);
      pass(10);
      for (let index = 0; index < 50; index++) await store.remove('absent');
      for (let index = 0; index < 50; index++) {
        await store.set(`key-${String(index)}`, bytes(10, index), 60_000);
        expect(await store.get(`key-${String(index)}`)).toEqual(bytes(10, index));
        expect(filesIn(directory).length).toBeLessThanOrEqual(20);
      }
      await store.close();
    }));

  it('removes the files of dead writers and takers after a minute', () =>
    withFolder(async (directory) => {
      await new FileSessionStore({ directory }).set('key', bytes(10, 1), 60_000);
      const left = join(directory, 'temporary.d', 'left');
      writeFileSync(left, 'half a rec');
      // The file of a session that is being taken has the time at which the session was written, which may be long ago.
      utimesSync(left, 0, 0);
      await new FileSessionStore({ directory }).set('other', bytes(10, 1), 60_000);
      expect(existsSync(left)).toBe(true);
      await new FileSessionStore({ directory, now: () => Date.now() + 61_000 }).set('other', bytes(10, 1), 60_000);
      expect(existsSync(left)).toBe(false);
    }));

  it('gives each session to one of two processes', () =>
    withFolder(async (directory) => {
      const store = new FileSessionStore({ directory });
      expect(await raceOfTakers('files', directory, store)).toEqual({ toNobody: 0, toOne: 200, toBoth: 0, wrong: 0 });
      expect(filesIn(directory)).toEqual([]);
      await store.close();
    }));

  it('takes no partial record, and nothing that is not a regular file', () =>
    withFolder(async (folder) => {
      const directory = join(folder, 'sessions');
      const store = new FileSessionStore({ directory });
      await store.set('key', bytes(100, 1), 60_000);
      const [path] = filesIn(directory);
      writeFileSync(path, readFileSync(path).subarray(0, 100));
      expect(await store.take('key')).toBeUndefined();
      const elsewhere = join(folder, 'elsewhere');
      writeFileSync(elsewhere, 'mine');
      symlinkSync(elsewhere, path);
      expect(await store.take('key')).toBeUndefined();
      rmSync(path);
      mkdirSync(join(path, 'mine'), { recursive: true });
      expect(await store.take('key')).toBeUndefined();
      expect([existsSync(elsewhere), existsSync(join(path, 'mine'))]).toEqual([true, true]);
      await store.close();
    }));

  it('creates no directory when there is nothing to take', () =>
    withFolder(async (folder) => {
      const store = new FileSessionStore({ directory: join(folder, 'sessions') });
      expect(await store.take('key')).toBeUndefined();
      expect(readdirSync(folder)).toEqual([]);
      await store.close();
    }));

  it('has room again after sessions were taken', () =>
    withFolder(async (directory) => {
      const store = new FileSessionStore({ directory, maxSessions: 3 });
      for (let index = 0; index < 20; index++) {
        await store.set(`key-${String(index)}`, bytes(10, index), 60_000);
        if (index >= 2) expect(await store.take(`key-${String(index)}`)).toEqual(bytes(10, index));
      }
      for (let index = 0; index < 2; index++) expect(await store.get(`key-${String(index)}`)).toEqual(bytes(10, index));
      await store.close();
    }));

  it('creates its directory again after it was removed', () =>
    withFolder(async (folder) => {
      const directory = join(folder, 'sessions');
      const store = new FileSessionStore({ directory });
      await store.set('key', bytes(10, 1), 60_000);
      rmSync(directory, { recursive: true });
      expect(await store.get('key')).toBeUndefined();
      await store.remove('key');
      await store.set('key', bytes(10, 2), 60_000);
      expect(await store.get('key')).toEqual(bytes(10, 2));
      await store.close();
    }));

  it('fails with a typed error where it cannot write', () =>
    withFolder(async (folder) => {
      writeFileSync(join(folder, 'file'), '');
      const store = new FileSessionStore({ directory: join(folder, 'file', 'sessions') });
      await expect(store.set('key', bytes(10, 1), 1_000)).rejects.toBeInstanceOf(StoreError);
      expect(await store.get('key')).toBeUndefined();
      // /proc accepts no new files, not even from root.
      await expect(
        new FileSessionStore({ directory: '/proc/wantio' }).set('key', bytes(10, 1), 1_000),
      ).rejects.toMatchObject({ code: 'ERR_WANTIO_STORE', reason: 'failed' });
    }));

  it('fails with a typed error and keeps working when a file cannot grow', () =>
    withFolder(async (directory) => {
      expect(await runShortOfDisk('files', directory, 20)).toEqual({
        before: true,
        refused: 12,
        kept: 100,
        lost: true,
      });
      expect(readdirSync(join(directory, 'temporary.d'))).toEqual([]);
    }));

  it('reads no damaged value after a writer was killed while writing', () =>
    withFolder(async (directory) => {
      for (let round = 0; round < 3; round++) {
        await killInTheMiddle(writer, directory);
        const store = new FileSessionStore({ directory });
        let found = 0;
        for (let index = 0; index < 50; index++) {
          const value = await store.get(`key-${String(index)}`);
          if (value === undefined) continue;
          found++;
          expect(value).toEqual(saltedValue(value[0]));
        }
        expect(found).toBeGreaterThan(0);
        await store.close();
      }
    }));

  it('leaves no temporary file behind when a write fails', () =>
    withFolder(async (directory) => {
      const store = new FileSessionStore({ directory });
      await store.set('key', bytes(10, 1), 60_000);
      const [path] = filesIn(directory);
      rmSync(path);
      mkdirSync(path);
      await expect(store.set('key', bytes(10, 2), 60_000)).rejects.toBeInstanceOf(StoreError);
      expect(readdirSync(join(directory, 'temporary.d'))).toEqual([]);
      await store.close();
    }));
});
