/** Sessions in an LMDB database, shared by the processes of a machine. */

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

/** Where the database is, and how large. */
export interface LmdbStoreOptions {
  /**
   * The database's file, in a directory of its own that is made unless it is there, in one that is; a second file
   * ending in `-lock` stands beside it. On a disk of this machine: LMDB does not work over networks.
   */
  readonly path: string;
  /**
   * How many bytes the pages in use may take, 1,048,576 at least; 256 MiB unless given. The file is that large, and
   * some freed pages larger.
   */
  readonly maxBytes?: number | undefined;
  /** The time of day in milliseconds, for the file outlives processes; the system's unless given. */
  readonly now?: (() => number) | undefined;
}

export const LMDB_STORE_RULES = {
  path: required(text),
  maxBytes: count(1024 * 1024),
  now: clock,
} satisfies Rules<LmdbStoreOptions>;

/** What is used of the package. */
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
 * Keeps sessions in one memory-mapped file, the default between processes of a machine. It needs the package `lmdb`,
 * which is loaded with the first use.
 *
 * Theory of operation. A get reads mapped memory and takes some microseconds; one whose page is not in memory waits for
 * the disk. Sets, removes and takes are gathered and committed by a thread, and their promises settle then; a take
 * reads and removes in one transaction, of which there is one at a time among all processes. Pages are never changed in
 * their place (copy on write), so that a writer that is killed leaves the last commit. A reader that is killed would
 * keep old pages from being used again: such readers are cleared when the database is opened, and once a minute of use.
 *
 * There is no timer: each set looks at some sessions, in turn, and removes those that have expired. The map grows by
 * itself if it is let; so the bound stands here, and a set that would exceed it fails as `'full'`.
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

  /** @throws {TypeError | RangeError} for an option that is unknown or wrong. */
  constructor(options: LmdbStoreOptions) {
    checkOptions('new LmdbSessionStore', options, LMDB_STORE_RULES);
    const { path, maxBytes = 256 * 1024 * 1024, now = Date.now } = options;
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#now = now;
  }

  /**
   * @throws {RangeError} when the key is none; {StoreError} when the database cannot be read; {UnsupportedError}
   * without the package.
   */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#with('reading a session', (database) => this.#read(database, key));
  }

  /**
   * Gives a session to one of all processes.
   * @throws {RangeError} when the key is none; {StoreError} when the database cannot be written.
   */
  async take(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return this.#with('taking a session', async (database) => {
      // What is not there is not worth a transaction, for which other writers would have to wait.
      if (this.#read(database, key) === undefined) return undefined;
      return database.transaction(() => {
        const value = this.#read(database, key);
        if (value !== undefined) void database.remove(key);
        return value;
      });
    });
  }

  /**
   * @throws {RangeError} when something is out of bounds; {StoreError} when it cannot be written, `'full'` when there
   * is no room.
   */
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    checkEntry(key, value, ttlMs);
    const record = Buffer.allocUnsafeSlow(EXPIRY_BYTES + value.length);
    record.writeDoubleBE(this.#now() + ttlMs, 0);
    record.set(value, EXPIRY_BYTES);
    await this.#with('writing a session', async (database) => {
      this.#tend(database);
      if (!this.#hasRoomFor(database, record.length)) {
        // What has expired may stand in the way.
        await this.#sweep(database, SWEPT_WHEN_FULL);
        if (!this.#hasRoomFor(database, record.length))
          throw new StoreError('full', `${this.#path} is full (option maxBytes, ${String(this.#maxBytes)} bytes)`);
      }
      this.#pendingBytes += record.length;
      try {
        await database.put(key, record);
      } finally {
        this.#pendingBytes -= record.length;
      }
    });
  }

  /** @throws {RangeError} when the key is none; {StoreError} when the database cannot be written. */
  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#with('removing a session', async (database) => {
      await database.remove(key);
    });
  }

  /** Commits what is under way, and unmaps the file. */
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
        // Opening clears the readers that have died. Event turn batching makes promises that nobody can see, and that
        // reject when the disk is full.
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

  /** Whether a record may be put. Pages that are free are used before the file grows. */
  #hasRoomFor(database: Database, bytes: number): boolean {
    const { pageSize, root, free } = database.getStats() as Statistics;
    // Copy on write takes the path to the root anew, and the list of free pages.
    const wanted = Math.ceil((this.#pendingBytes + bytes) / pageSize) * 2 + PAGES_IN_RESERVE;
    return (pagesOf(root) + pagesOf(free) + META_PAGES + wanted) * pageSize <= this.#maxBytes;
  }

  /** Does a little of what has to be done now and then. */
  #tend(database: Database): void {
    const now = this.#now();
    if (Math.abs(now - this.#readersCheckedAt) > READERS_CHECKED_MS) {
      this.#readersCheckedAt = now;
      database.readerCheck();
    }
    if (this.#setsUntilSweep-- > 0) return;
    this.#setsUntilSweep = SETS_PER_SWEEP;
    // One that cannot be written is told to the set itself.
    this.#sweep(database, SWEPT).catch(() => undefined);
  }

  /** Looks at the next `limit` sessions, and removes those that have expired, unless they are renewed meanwhile. */
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

/** A commit that failed tells why in a promise of its own, which rejects. @returns that reason, or `error` itself. */
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

/** Whether `record` is one of ours whose time has not passed. */
function isLiving(record: Uint8Array, now: number): boolean {
  if (record.length < EXPIRY_BYTES || record.length > EXPIRY_BYTES + VALUE_AT_MOST) return false;
  const expiresAt = new DataView(record.buffer, record.byteOffset).getFloat64(0);
  return expiresAt > now && expiresAt <= now + TTL_AT_MOST_MS;
}

const EXPIRY_BYTES = 8;
const META_PAGES = 2;
// A tree of a billion sessions is some six pages high, and there are two of them.
const PAGES_IN_RESERVE = 16;
const READERS_CHECKED_MS = 60_000;
const SETS_PER_SWEEP = 8;
const SWEPT = 32;
const SWEPT_WHEN_FULL = 64;
