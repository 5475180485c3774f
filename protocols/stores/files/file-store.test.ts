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

/** The paths of all files under `directory`, with what they are. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

describe('a store in files', () => {
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

  it('keeps sessions for the next process, in files and directories of its user alone', () =>
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

  it('refuses a directory in which others may write', () =>
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

  it('never reads what is no whole record of that key', () =>
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
      // Whichever directory `other` belongs to, this record is that of `key`.
      expect(await store.get('other')).toBeUndefined();
      await store.close();
    }));

  it('follows no symbolic link, and waits for no pipe', () =>
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
      // The whole directory as a link: what a store that has not seen it before finds there is not ours.
      const fan = join(path, '..');
      rmSync(path, { recursive: true });
      await store.set('key', bytes(100, 3), 60_000);
      renameSync(fan, join(folder, 'fan'));
      symlinkSync(join(folder, 'fan'), fan);
      expect(await new FileSessionStore({ directory }).get('key')).toBeUndefined();
      await store.close();
    }));

  it('never keeps more than it may, and lets those go first that have expired', () =>
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

  it('sweeps away what writers and takers that died have left, once it is there for long', () =>
    withFolder(async (directory) => {
      await new FileSessionStore({ directory }).set('key', bytes(10, 1), 60_000);
      const left = join(directory, 'temporary.d', 'left');
      writeFileSync(left, 'half a rec');
      // A session that is being taken was written long before it got a name there.
      utimesSync(left, 0, 0);
      await new FileSessionStore({ directory }).set('other', bytes(10, 1), 60_000);
      expect(existsSync(left)).toBe(true);
      await new FileSessionStore({ directory, now: () => Date.now() + 61_000 }).set('other', bytes(10, 1), 60_000);
      expect(existsSync(left)).toBe(false);
    }));

  it('gives a session to one of two processes', () =>
    withFolder(async (directory) => {
      const store = new FileSessionStore({ directory });
      expect(await raceOfTakers('files', directory, store)).toEqual({ toNobody: 0, toOne: 200, toBoth: 0, wrong: 0 });
      expect(filesIn(directory)).toEqual([]);
      await store.close();
    }));

  it('takes no part of a session, and nothing that is no session', () =>
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

  it('makes nothing when there is nothing to take', () =>
    withFolder(async (folder) => {
      const store = new FileSessionStore({ directory: join(folder, 'sessions') });
      expect(await store.take('key')).toBeUndefined();
      expect(readdirSync(folder)).toEqual([]);
      await store.close();
    }));

  it('has room again when sessions were taken', () =>
    withFolder(async (directory) => {
      const store = new FileSessionStore({ directory, maxSessions: 3 });
      for (let index = 0; index < 20; index++) {
        await store.set(`key-${String(index)}`, bytes(10, index), 60_000);
        if (index >= 2) expect(await store.take(`key-${String(index)}`)).toEqual(bytes(10, index));
      }
      for (let index = 0; index < 2; index++) expect(await store.get(`key-${String(index)}`)).toEqual(bytes(10, index));
      await store.close();
    }));

  it('goes on when its directory has disappeared', () =>
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
      // /proc takes no files, whoever asks.
      await expect(
        new FileSessionStore({ directory: '/proc/wantio' }).set('key', bytes(10, 1), 1_000),
      ).rejects.toMatchObject({ code: 'ERR_WANTIO_STORE', reason: 'failed' });
    }));

  it('fails and goes on where a file may not become as large as it should', () =>
    withFolder(async (directory) => {
      expect(await runShortOfDisk('files', directory, 20)).toEqual({
        before: true,
        refused: 12,
        kept: 100,
        lost: true,
      });
      expect(readdirSync(join(directory, 'temporary.d'))).toEqual([]);
    }));

  it('reads nothing broken after a writer was killed in the middle', () =>
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
