/** Sessions in files. */

import { createHash, randomBytes } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

import { codeOf, privateDirectory, readRegular, replaceFile } from './file-store-folder.ts';
import { decodeRecord, encodeRecord } from './file-store-record.ts';
import { FileSweeper, TEMPORARY } from './file-store-sweeper.ts';
import { checkCount, checkEntry, checkKey } from './store-entry.ts';
import { closedStore, storeError } from './store-error.ts';
import type { SessionStore } from './store.ts';

/** Where files are, and how many. */
export interface FileStoreOptions {
  /** A directory of its own, which is made unless it is there, in one that is. Processes of the same user may share it. */
  readonly directory: string;
  /** How many sessions at most; 100,000 unless given. Processes that share a directory may together exceed it for a while. */
  readonly maxSessions?: number | undefined;
  /** The time of day in milliseconds, for files outlive processes; the system's unless given. */
  readonly now?: (() => number) | undefined;
}

/**
 * Keeps each session in a file, `0600` in directories `0700`. Everything is asynchronous.
 *
 * Theory of operation. A file is written under a temporary name and renamed: a reader sees the old bytes or the new, and a writer
 * that is killed leaves a temporary file, which is no session and is swept away a minute later. So no file is ever locked: of two
 * processes that set the same key the later rename wins; one that sweeps a session away while another process renews it costs a
 * full handshake. Within a process whatever changes a key waits for what changed it before. Nothing is flushed to the disk: a
 * machine that crashes may lose sessions, and a checksum tells those of which only a part was left.
 */
export class FileSessionStore implements SessionStore {
  readonly #directory: string;
  readonly #now: () => number;
  readonly #changing = new Map<string, Promise<void>>();
  readonly #sweeper: FileSweeper;
  readonly #ready = new Map<string, Promise<void>>();
  #opening: Promise<void> | undefined;
  #closed = false;

  constructor({ directory, maxSessions = 100_000, now = Date.now }: FileStoreOptions) {
    if (typeof directory !== 'string' || directory === '') throw new RangeError('directory must be the path of a directory');
    this.#directory = directory;
    this.#now = now;
    this.#sweeper = new FileSweeper(directory, checkCount('maxSessions', maxSessions), now, (key, task) => this.#change(key, task));
  }

  /** @throws {RangeError} when the key is none; {StoreError} when the files are out of reach. */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#guarded('reading a session', async () => {
      const fan = fanOf(key);
      // A directory that somebody has put a symbolic link in the place of is found out before it is first read.
      if (!this.#ready.has(fan) && !(await isDirectory(join(this.#directory, fan)))) return undefined;
      const file = await readRegular(join(this.#directory, fan, key));
      return file === undefined ? undefined : decodeRecord(key, file, this.#now());
    });
  }

  /** @throws {RangeError} when the key, the value or the time to live is out of bounds; {StoreError} when nothing can be written. */
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    checkEntry(key, value, ttlMs);
    // The caller may use the memory of the value again once this has returned its promise.
    const record = encodeRecord(key, value, this.#now() + ttlMs);
    await this.#guarded('writing a session', async () => {
      await this.#change(key, () => this.#write(key, record));
      await this.#sweeper.tidy(key);
    });
  }

  /** @throws {RangeError} when the key is none; {StoreError} when the file cannot be removed. */
  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#guarded('removing a session', () => this.#change(key, () => this.#sweeper.drop(fanOf(key), key)));
  }

  /** Waits for what is being written. The files stay. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#changing.values()]);
    await this.#sweeper.end();
  }

  async #guarded<T>(what: string, task: () => Promise<T>): Promise<T> {
    if (this.#closed) throw closedStore();
    try {
      return await task();
    } catch (error) {
      throw storeError(what, error);
    }
  }

  /** Runs `task` once all that was to change `key` before is done. */
  async #change(key: string, task: () => Promise<void>): Promise<void> {
    const before = this.#changing.get(key) ?? Promise.resolve();
    const change = before.then(task, task);
    this.#changing.set(key, change);
    try {
      await change;
    } finally {
      if (this.#changing.get(key) === change) this.#changing.delete(key);
    }
  }

  async #write(key: string, record: Uint8Array): Promise<void> {
    const fan = fanOf(key);
    const write = async (): Promise<void> => {
      await this.#prepare(fan);
      const path = join(this.#directory, fan, key);
      const isNew = !(await exists(path));
      await replaceFile(path, join(this.#directory, TEMPORARY, `${String(process.pid)}.${randomBytes(12).toString('hex')}`), record);
      if (isNew) this.#sweeper.added(fan);
    };
    try {
      await write();
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      // Somebody has removed a directory: once more from the start.
      this.#ready.clear();
      this.#opening = undefined;
      await write();
    }
  }

  /** Sees to it that the directories for a key are there. */
  async #prepare(fan: string): Promise<void> {
    await (this.#opening ??= this.#open());
    let ready = this.#ready.get(fan);
    if (ready === undefined) {
      ready = privateDirectory(join(this.#directory, fan));
      this.#ready.set(fan, ready);
    }
    try {
      await ready;
    } catch (error) {
      this.#ready.delete(fan);
      throw error;
    }
  }

  async #open(): Promise<void> {
    try {
      await privateDirectory(this.#directory);
      await privateDirectory(join(this.#directory, TEMPORARY));
      await this.#sweeper.begin();
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}

/** The directory of a key, one of 256. Keys may begin alike; their digests do not. */
function fanOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 2);
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isDirectory() === true;
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
