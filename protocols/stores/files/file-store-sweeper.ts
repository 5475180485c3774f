/** Removes expired and surplus files of a store. */

import { randomBytes } from 'node:crypto';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { codeOf, readRegular, removeFile } from './file-store-folder.ts';
import { expiryOf, HEADER_BYTES } from './file-store-record.ts';
import { isKey } from '../store-entry.ts';

/**
 * Sweeps the 256 directories of a store, without a timer. After every 16 sets it removes the expired sessions of the
 * next directory. When there are too many sessions, it also removes those of the next directory that expire first.
 */
export class FileSweeper {
  readonly #directory: string;
  readonly #maxSessions: number;
  readonly #now: () => number;
  readonly #change: (key: string, task: () => Promise<void>) => Promise<void>;
  /** How many sessions each directory has, as far as this process knows. */
  readonly #counts = new Map<string, number>();
  #sweeping: Promise<void> | undefined;
  #nextFan = randomBytes(1).readUInt8();
  #setsUntilSweep = 0;

  /** @param change runs a task after all earlier changes of a key. */
  constructor(
    directory: string,
    maxSessions: number,
    now: () => number,
    change: (key: string, task: () => Promise<void>) => Promise<void>,
  ) {
    this.#directory = directory;
    this.#maxSessions = maxSessions;
    this.#now = now;
    this.#change = change;
  }

  /** Counts the sessions, and removes temporary files of writers and takers that were killed. */
  async begin(): Promise<void> {
    await this.#removeStale();
    for (const fan of FANS) this.#counts.set(fan, (await keysIn(join(this.#directory, fan))).length);
  }

  /** Counts a new session in the directory `fan`. */
  added(fan: string): void {
    this.#counts.set(fan, (this.#counts.get(fan) ?? 0) + 1);
  }

  /** Counts a removed session of the directory `fan`. */
  removed(fan: string): void {
    this.#counts.set(fan, Math.max(0, (this.#counts.get(fan) ?? 0) - 1));
  }

  /** Removes a session. */
  async drop(fan: string, key: string): Promise<void> {
    const removed = await removeFile(join(this.#directory, fan, key));
    if (removed) this.removed(fan);
  }

  /** Waits for the sweep under way. */
  async end(): Promise<void> {
    await this.#sweeping;
  }

  /** Removes temporary files of writers and takers that were killed. */
  async #removeStale(): Promise<void> {
    const folder = join(this.#directory, TEMPORARY);
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      const found = await lstat(path).catch(() => undefined);
      // The time since the rename (ctime), not since the write: a file that is being taken may have been written long
      // ago.
      if (found !== undefined && !found.isDirectory() && this.#now() - found.ctimeMs > STALE_MS) await removeFile(path);
    }
  }

  /**
   * Call it after a set of `key`: it sweeps if a sweep is due, one sweep at a time. It waits for the sweep only when
   * there are too many sessions.
   */
  async tidy(key: string): Promise<void> {
    if (this.#setsUntilSweep-- <= 0) {
      this.#setsUntilSweep = SETS_PER_SWEEP - 1;
      this.#sweeping ??= this.#endOfSweep(this.#sweepNext(key, 0));
    }
    while (this.#total > this.#maxSessions) {
      const before = this.#total;
      for (let swept = 0; swept < FANS.length && this.#total > this.#maxSessions; swept++) {
        await this.#sweeping;
        await (this.#sweeping ??= this.#endOfSweep(this.#sweepNext(key, this.#total - this.#maxSessions)));
      }
      // The remaining files cannot be removed.
      if (this.#total >= before) return;
    }
  }

  get #total(): number {
    let total = 0;
    for (const count of this.#counts.values()) total += count;
    return total;
  }

  async #endOfSweep(sweep: Promise<void>): Promise<void> {
    try {
      await sweep;
    } catch {
      // A later sweep tries again. If the store cannot be written, a set reports it.
    } finally {
      this.#sweeping = undefined;
    }
  }

  /**
   * Removes expired sessions and invalid files from the next directory, and `excess` further sessions, but not the
   * session `kept`. It handles one file at a time.
   */
  async #sweepNext(kept: string, excess: number): Promise<void> {
    let fan = this.#next();
    // To make room, skip empty directories.
    for (let tries = FANS.length; excess > 0 && tries > 0 && this.#counts.get(fan) === 0; tries--) fan = this.#next();
    if (fan === FANS[0]) await this.#removeStale();
    const folder = join(this.#directory, fan);
    const keys = await keysIn(folder);
    this.#counts.set(fan, keys.length);
    const living: { readonly key: string; readonly expiresAt: number }[] = [];
    for (const key of keys) {
      const expiresAt = await this.#expiryOf(join(folder, key));
      if (expiresAt > this.#now()) living.push({ key, expiresAt });
      else await this.#sweepAway(fan, key, async () => !((await this.#expiryOf(join(folder, key))) > this.#now()));
    }
    living.sort((one, other) => one.expiresAt - other.expiresAt);
    // Remove an eighth of the directory even if less would do, so that not every set of a full store reads a directory.
    const share = Math.ceil(living.length / EVICTED_PART);
    let left = excess <= 0 ? 0 : Math.min(Math.max(excess, share), living.length);
    for (const { key } of living) {
      if (left === 0) break;
      if (key === kept) continue;
      left--;
      await this.#sweepAway(fan, key);
    }
  }

  /** Removes a session if `still` holds when its turn has come: it may have been renewed in between. */
  async #sweepAway(fan: string, key: string, still = (): Promise<boolean> => Promise.resolve(true)): Promise<void> {
    try {
      await this.#change(key, async () => {
        if (await still()) await this.drop(fan, key);
      });
    } catch {
      // A name that cannot be removed, such as a directory, must not stop the sweep.
    }
  }

  #next(): string {
    return FANS[this.#nextFan++ % FANS.length] ?? '';
  }

  async #expiryOf(path: string): Promise<number> {
    const header = await readRegular(path, HEADER_BYTES);
    return header === undefined ? -Infinity : expiryOf(header, this.#now());
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** @returns the names in `folder` that are valid keys; this store makes no others there. */
async function keysIn(folder: string): Promise<string[]> {
  return (await namesIn(folder)).filter(isKey);
}

const FANS: readonly string[] = Array.from({ length: 256 }, (_, index) => index.toString(16).padStart(2, '0'));
/** The directory of files that are being written. No key can have this name, because keys have no dot. */
export const TEMPORARY = 'temporary.d';
const STALE_MS = 60_000;
const SETS_PER_SWEEP = 16;
const EVICTED_PART = 8;
