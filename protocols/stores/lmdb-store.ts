/** A session store in an LMDB database, which the processes of one machine share. */

import { dirname } from 'node:path';

import { checkOptions, count, required, text } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { privateDirectory } from './files/file-store-folder.ts';
import { checkDatabaseFile } from './lmdb-store-file.ts';
import { checkEntry, checkKey } from './store-entry.ts';
import { closedStore, StoreError, storeError } from './store-error.ts';
import { clock } from './store-rules.ts';
import { storePackage } from './store-package.ts';
import { TTL_AT_MOST_MS, VALUE_AT_MOST } from './store.ts';
import type { TakingSessionStore } from './store.ts';

/** The options of {@link LmdbSessionStore}. */
export interface LmdbStoreOptions {
  /**
   * The database's file. A second file with the ending `-lock` is made next to it. The file needs a directory of its
   * own, which is made if it is missing; the directory above must exist. It must be on a local disk: LMDB does not work
   * over networks.
   */
  readonly path: string;
  /**
   * How many bytes the pages in use may take, at least 1,048,576; 256 MiB by default. The file can be larger by some
   * freed pages.
   */
  readonly maxBytes?: number | undefined;
  /** The wall clock in milliseconds, because the file outlives processes; `Date.now` by default. */
  readonly now?: (() => number) | undefined;
}

export const LMDB_STORE_RULES = {
  path: required(text),
  maxBytes: count(1024 * 1024),
  now: clock,
} satisfies Rules<LmdbStoreOptions>;

/** The part of the package's database that is used. */
interface Database {
  getBinary(key: string): Uint8Array | undefined;
  put(key: string, value: Uint8Array): Promise<boolean>;
  remove(key: string): Promise<boolean>;
  transaction<T>(action: () => T): Promise<T>;
  getRange(options: { start?: string; limit: number; snapshot: false }): Iterable<{ key: unknown; value: unknown }>;
  getStats(): unknown;
  readerCheck(): number;
  close(): Promise<void>;
}

/**
 * Keeps sessions in one memory-mapped file. It is the default choice for the processes of one machine. It needs the
 * package `lmdb`, which is loaded at the first use.
 *
 * Theory of operation. A get reads mapped memory, which takes some microseconds; if the page is not in memory, it waits
 * for the disk. A thread collects and commits sets, removes and takes; their promises settle after the commit. A take
 * reads and removes in one transaction; all processes together run one transaction at a time. Pages are never changed
 * in place (copy on write), so that a writer that is killed leaves the last commit intact. A reader that is killed
 * would prevent old pages from being reused: such readers are cleared when the database is opened, and once a minute
 * while it is used.
 *
 * There is no timer: each eighth set checks the next 32 sessions and removes the expired ones. LMDB would let the file
 * grow without limit, so the bound is checked here: a set that would exceed it fails with the reason `'full'`.
 */
export class LmdbSessionStore implements TakingSessionStore {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #now: () => number;
  #opening: Promise<Database> | undefined;
  #pendingBytes = 0;
  #sweepFrom: string | undefined;
  #setsUntilSweep = 0;
  #readersCheckedAt = 0;
  #closing: Promise<void> | undefined;

  /** @throws {TypeError | RangeError} when an option is unknown or invalid. */
  constructor(options: LmdbStoreOptions) {
    checkOptions('new LmdbSessionStore', options, LMDB_STORE_RULES);
    const { path, maxBytes = 256 * 1024 * 1024, now = Date.now } = options;
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#now = now;
  }

  /**
   * @throws {RangeError} when the key is invalid; {StoreError} when the database cannot be read; {UnsupportedError}
   * when the package is missing.
   */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#with('reading a session', (database) => this.#read(database, key));
  }

  /**
   * Only one process gets the session.
   * @throws {RangeError} when the key is invalid; {StoreError} when the database cannot be written.
   */
  async take(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#with('taking a session', async (database) => {
      // A missing session needs no transaction, for which other writers would have to wait.
      if (this.#read(database, key) === undefined) return undefined;
      return database.transaction(() => {
        const value = this.#read(database, key);
        if (value !== undefined) void database.remove(key);
        return value;
      });
    });
  }

  /**
   * @throws {RangeError} when an argument is invalid; {StoreError} when the session cannot be written, with the reason
   * `'full'` when there is no room.
   */
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    checkEntry(key, value, ttlMs);
    const record = Buffer.allocUnsafeSlow(EXPIRY_BYTES + value.length);
    record.writeDoubleBE(this.#now() + ttlMs, 0);
    record.set(value, EXPIRY_BYTES);
    await this.#with('writing a session', async (database) => {
      this.#tend(database);
      if (!this.#hasRoomFor(database, record.length)) {
        // Expired sessions may take up the room.
        await this.#sweep(database, SWEPT_WHEN_FULL);
        if (!this.#hasRoomFor(database, record.length))
          throw new StoreError('full', `${this.#path} is full: ${String(this.#maxBytes)} bytes (option maxBytes)`);
      }
      this.#pendingBytes += record.length;
      try {
        await database.put(key, record);
      } finally {
        this.#pendingBytes -= record.length;
      }
    });
  }

  /** @throws {RangeError} when the key is invalid; {StoreError} when the database cannot be written. */
  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#with('removing a session', async (database) => {
      await database.remove(key);
    });
  }

  /** Commits the changes under way and closes the file. The sessions stay in it. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const database = await this.#opening?.catch(() => undefined);
    await database?.close();
  }

  async #with<T>(what: string, task: (database: Database) => T | Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw closedStore();
    const database = await (this.#opening ??= this.#open());
    if (this.#closing !== undefined) throw closedStore();
    try {
      return await task(database);
    } catch (error) {
      throw storeError(what, await causeOf(error));
    }
  }

  async #open(): Promise<Database> {
    try {
      const { open } = await storePackage('lmdb', 'LmdbSessionStore', () => import('lmdb'));
      try {
        await privateDirectory(dirname(this.#path));
        await checkDatabaseFile(this.#path);
        // Opening clears dead readers. No event turn batching: it makes internal promises that reject, unhandled, when
        // the disk is full.
        return open({
          path: this.#path,
          noSubdir: true,
          mapSize: this.#maxBytes,
          encoding: 'binary',
          eventTurnBatching: false,
          permissionsMode: 0o600,
        } as Parameters<typeof open>[0]);
      } catch (error) {
        throw storeError(`opening ${this.#path}`, error);
      }
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  #read(database: Database, key: string): Uint8Array | undefined {
    const record = database.getBinary(key);
    return record === undefined || !isLiving(record, this.#now())
      ? undefined
      : new Uint8Array(record.subarray(EXPIRY_BYTES));
  }

  /** Whether there is room for a record. LMDB uses free pages before the file grows. */
  #hasRoomFor(database: Database, bytes: number): boolean {
    const { pageSize, root, free } = database.getStats() as Statistics;
    // Copy on write also needs new pages for the path to the root and for the list of free pages.
    const wanted = Math.ceil((this.#pendingBytes + bytes) / pageSize) * 2 + PAGES_IN_RESERVE;
    return (pagesOf(root) + pagesOf(free) + META_PAGES + wanted) * pageSize <= this.#maxBytes;
  }

  /** Does a small part of the periodic work: clears dead readers and sweeps expired sessions. */
  #tend(database: Database): void {
    const now = this.#now();
    if (Math.abs(now - this.#readersCheckedAt) > READERS_CHECKED_MS) {
      this.#readersCheckedAt = now;
      database.readerCheck();
    }
    if (this.#setsUntilSweep-- > 0) return;
    this.#setsUntilSweep = SETS_PER_SWEEP - 1;
    // If the database cannot be written, the set itself reports it.
    this.#sweep(database, SWEPT).catch(() => undefined);
  }

  /** Checks the next `limit` sessions and removes the expired ones, unless another process has renewed them. */
  async #sweep(database: Database, limit: number): Promise<void> {
    const expired: string[] = [];
    const now = this.#now();
    let seen = 0;
    let last: string | undefined;
    const start = this.#sweepFrom;
    for (const { key, value } of database.getRange({
      ...(start === undefined ? {} : { start }),
      limit,
      snapshot: false,
    })) {
      seen++;
      last = String(key);
      if (!(value instanceof Uint8Array) || !isLiving(value, now)) expired.push(last);
    }
    this.#sweepFrom = seen < limit ? undefined : last;
    if (expired.length === 0) return;
    await database.transaction(() => {
      for (const key of expired) {
        const record = database.getBinary(key);
        if (record !== undefined && !isLiving(record, now)) void database.remove(key);
      }
    });
  }
}

/** @returns the reason of a failed commit, with which its promise `commitError` rejects; or `error` itself. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (reason) {
    return reason;
  }
}

/** The sizes of a database, in pages. */
interface Tree {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

interface Statistics {
  readonly pageSize: number;
  readonly root: Tree;
  readonly free: Tree;
}

function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: Tree): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages;
}

/** Whether `record` has this store's format and has not expired. */
function isLiving(record: Uint8Array, now: number): boolean {
  if (record.length < EXPIRY_BYTES || record.length > EXPIRY_BYTES + VALUE_AT_MOST) return false;
  const expiresAt = new DataView(record.buffer, record.byteOffset).getFloat64(0);
  return expiresAt > now && expiresAt <= now + TTL_AT_MOST_MS;
}

const EXPIRY_BYTES = 8;
const META_PAGES = 2;
// A tree of a billion sessions is about six pages high, and there are two trees.
const PAGES_IN_RESERVE = 16;
const READERS_CHECKED_MS = 60_000;
const SETS_PER_SWEEP = 8;
const SWEPT = 32;
const SWEPT_WHEN_FULL = 64;
