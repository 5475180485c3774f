/** Sessions in files. */

import { createHash, randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

import { checkOptions, count, required, text } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { codeOf, moveFile, privateDirectory, readRegular, removeFile, replaceFile } from './file-store-folder.ts';
import { decodeRecord, encodeRecord } from './file-store-record.ts';
import { FileSweeper, TEMPORARY } from './file-store-sweeper.ts';
import { checkEntry, checkKey } from '../store-entry.ts';
import { closedStore, storeError } from '../store-error.ts';
import { clock } from '../store-rules.ts';
import type { TakingSessionStore } from '../store.ts';

/** Where files are, and how many. */
export interface FileStoreOptions {
  /**
   * A directory of its own, which is made unless it is there, in one that is. Processes of the same user may share it.
   */
  readonly directory: string;
  /**
   * How many sessions at most; 100,000 unless given. Processes that share a directory may together exceed it for a
   * while.
   */
  readonly maxSessions?: number | undefined;
  /** The time of day in milliseconds, for files outlive processes; the system's unless given. */
  readonly now?: (() => number) | undefined;
}

export const FILE_STORE_RULES = {
  directory: required(text),
  maxSessions: count(1),
  now: clock,
} satisfies Rules<FileStoreOptions>;

/**
 * Keeps each session in a file, `0600` in directories `0700`. Everything is asynchronous.
 *
 * Theory of operation. A file is written under a temporary name and renamed: a reader sees the old bytes or the new,
 * and a writer that is killed leaves a temporary file, which is no session and is swept away a minute later. So no file
 * is ever locked: of two processes that set the same key the later rename wins; one that sweeps a session away while
 * another process renews it costs a full handshake. A session is taken by renaming its file away, which only one can
 * do. Within a process whatever changes a key waits for what changed it before. Nothing is flushed to the disk: a
 * machine that crashes may lose sessions, or have some again that were taken, and a checksum tells those of which only
 * a part was left.
 */
export class FileSessionStore implements TakingSessionStore {
  readonly #directory: string;
  readonly #now: () => number;
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #sweeper: FileSweeper;
  readonly #ready = new Map<string, Promise<void>>();
  #opening: Promise<void> | undefined;
  #closed = false;

  /** @throws {TypeError | RangeError} for an option that is unknown or wrong. */
  constructor(options: FileStoreOptions) {
    checkOptions('new FileSessionStore', options, FILE_STORE_RULES);
    const { directory, maxSessions = 100_000, now = Date.now } = options;
    this.#directory = directory;
    this.#now = now;
    this.#sweeper = new FileSweeper(directory, maxSessions, now, (key, task) => this.#change(key, task));
  }

  /** @throws {RangeError} when the key is none; {StoreError} when the files are out of reach. */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#guarded('reading a session', async () => {
      const fan = fanOf(key);
      return (await this.#isThere(fan)) ? this.#read(key, join(this.#directory, fan, key)) : undefined;
    });
  }

  /**
   * Gives a session to one of all processes. It is lost when this one is killed before it has it.
   * @throws {RangeError} when the key is none; {StoreError} when the files are out of reach.
   */
  async take(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#guarded('taking a session', () => this.#change(key, () => this.#take(key)));
  }

  /**
   * @throws {RangeError} when the key, the value or the time to live is out of bounds; {StoreError} when nothing can be
   * written.
   */
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
  async #change<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(key) ?? Promise.resolve();
    const change = before.then(task, task);
    this.#changing.set(key, change);
    try {
      return await change;
    } finally {
      if (this.#changing.get(key) === change) this.#changing.delete(key);
    }
  }

  /** A directory that somebody has put a symbolic link in the place of is found out before it is first read. */
  async #isThere(fan: string): Promise<boolean> {
    return this.#ready.has(fan) || (await lstatOf(join(this.#directory, fan)))?.isDirectory() === true;
  }

  async #read(key: string, path: string): Promise<Uint8Array | undefined> {
    const file = await readRegular(path);
    return file === undefined ? undefined : decodeRecord(key, file, this.#now());
  }

  async #take(key: string): Promise<Uint8Array | undefined> {
    const fan = fanOf(key);
    const path = join(this.#directory, fan, key);
    // Only files are moved: whatever else has that name is not ours.
    if (!(await this.#isThere(fan)) || (await lstatOf(path))?.isFile() !== true) return undefined;
    await this.#prepare(fan);
    const taken = this.#temporaryPath();
    if (!(await moveFile(path, taken))) return undefined;
    this.#sweeper.removed(fan);
    try {
      return await this.#read(key, taken);
    } finally {
      await removeFile(taken);
    }
  }

  async #write(key: string, record: Uint8Array): Promise<void> {
    const fan = fanOf(key);
    const write = async (): Promise<void> => {
      await this.#prepare(fan);
      const path = join(this.#directory, fan, key);
      const isNew = (await lstatOf(path)) === undefined;
      await replaceFile(path, this.#temporaryPath(), record);
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

  /** @returns a path that nobody else uses. */
  #temporaryPath(): string {
    return join(this.#directory, TEMPORARY, `${String(process.pid)}.${randomBytes(12).toString('hex')}`);
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

/** What has the name `path`; `undefined` when nothing has, or nobody may know. */
function lstatOf(path: string): Promise<Stats | undefined> {
  return lstat(path).catch(() => undefined);
}
