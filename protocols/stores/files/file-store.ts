/** A session store in files. */

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

/** The options of {@link FileSessionStore}. */
export interface FileStoreOptions {
  /**
   * A directory for this store only. It is made if it is missing; the directory above must exist. Processes of the same
   * user can share it.
   */
  readonly directory: string;
  /**
   * The largest number of sessions; 100,000 by default. Processes that share a directory may exceed it for a while.
   */
  readonly maxSessions?: number | undefined;
  /** The wall clock in milliseconds, because files outlive processes; `Date.now` by default. */
  readonly now?: (() => number) | undefined;
}

export const FILE_STORE_RULES = {
  directory: required(text),
  maxSessions: count(1),
  now: clock,
} satisfies Rules<FileStoreOptions>;

/**
 * Keeps each session in a file of mode `0600`, in directories of mode `0700`. All calls are asynchronous.
 *
 * Theory of operation. A file is written under a temporary name and then renamed: a reader sees the old bytes or the
 * new ones. A writer that is killed leaves a temporary file, which is removed after a minute. So no file is ever
 * locked. When two processes set the same key, the later rename wins. When one process sweeps a session away while
 * another renews it, the session is lost, which costs a full handshake. A take renames the file away, which only one
 * process can do. Within a process, changes of one key run one after the other. Nothing is flushed to the disk: after a
 * crash of the machine sessions may be missing, or sessions that were taken may be back. A checksum detects partly
 * written files.
 */
export class FileSessionStore implements TakingSessionStore {
  readonly #directory: string;
  readonly #now: () => number;
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #sweeper: FileSweeper;
  readonly #ready = new Map<string, Promise<void>>();
  #opening: Promise<void> | undefined;
  #closed = false;

  /** @throws {TypeError | RangeError} when an option is unknown or invalid. */
  constructor(options: FileStoreOptions) {
    checkOptions('new FileSessionStore', options, FILE_STORE_RULES);
    const { directory, maxSessions = 100_000, now = Date.now } = options;
    this.#directory = directory;
    this.#now = now;
    this.#sweeper = new FileSweeper(directory, maxSessions, now, (key, task) => this.#change(key, task));
  }

  /** @throws {RangeError} when the key is invalid; {StoreError} when the files cannot be read. */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#guarded('reading a session', async () => {
      const fan = fanOf(key);
      return (await this.#isThere(fan)) ? this.#read(key, join(this.#directory, fan, key)) : undefined;
    });
  }

  /**
   * Only one process gets the session. It is lost when that process is killed before the take is complete.
   * @throws {RangeError} when the key is invalid; {StoreError} when the files cannot be read or renamed.
   */
  async take(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#guarded('taking a session', () => this.#change(key, () => this.#take(key)));
  }

  /**
   * @throws {RangeError} when the key, the value or the time to live is invalid; {StoreError} when the file cannot be
   * written.
   */
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    checkEntry(key, value, ttlMs);
    // Copy now: the caller may reuse the memory of the value as soon as this has returned its promise.
    const record = encodeRecord(key, value, this.#now() + ttlMs);
    await this.#guarded('writing a session', async () => {
      await this.#change(key, () => this.#write(key, record));
      await this.#sweeper.tidy(key);
    });
  }

  /** @throws {RangeError} when the key is invalid; {StoreError} when the file cannot be removed. */
  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#guarded('removing a session', () => this.#change(key, () => this.#sweeper.drop(fanOf(key), key)));
  }

  /** Waits for the changes under way. The files stay. */
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

  /** Runs `task` after all earlier changes of `key`. */
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

  /** Whether the directory exists. Before it is first read, a symbolic link in its place is detected. */
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
    // Move files only: this store makes nothing else under that name.
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
      // Another process has removed a directory: make the directories again and retry once.
      this.#ready.clear();
      this.#opening = undefined;
      await write();
    }
  }

  /** @returns a path that no other writer uses. */
  #temporaryPath(): string {
    return join(this.#directory, TEMPORARY, `${String(process.pid)}.${randomBytes(12).toString('hex')}`);
  }

  /** Makes the directories for a key if they are missing. */
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

/**
 * @returns the directory of a key, one of 256. It comes from a digest, because many keys may begin with the same
 * letters.
 */
function fanOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 2);
}

/** @returns the status of `path`; `undefined` when it does not exist or cannot be read. */
function lstatOf(path: string): Promise<Stats | undefined> {
  return lstat(path).catch(() => undefined);
}
