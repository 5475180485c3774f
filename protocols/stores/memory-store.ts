/** Sessions in the memory of this process. */

import { checkOptions, count } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { checkEntry, checkKey } from './store-entry.ts';
import { clock } from './store-rules.ts';
import type { TakingSessionStore } from './store.ts';

/** How much a store in memory keeps. */
export interface MemoryStoreOptions {
  /**
   * How many sessions at most, 1…16,777,216; 100,000 unless given. A new one replaces the least recently used.
   */
  readonly maxSessions?: number | undefined;
  /**
   * How many bytes they take at most, 262,144 at least; 256 MiB unless given. Keys and values count; the
   * bookkeeping takes some 175 bytes more for each session.
   */
  readonly maxBytes?: number | undefined;
  /** A clock in milliseconds that never goes back; the system's monotonic one unless given. */
  readonly now?: (() => number) | undefined;
}

// A Map holds no more, and a smaller store could not hold a few of the largest sessions.
export const MEMORY_STORE_RULES = {
  maxSessions: count(1, 2 ** 24),
  maxBytes: count(256 * 1024),
  now: clock,
} satisfies Rules<MemoryStoreOptions>;

/** How much a store in memory holds, and how many sessions it has dropped. */
export interface MemoryStoreStatistics {
  /** Sessions held now, including expired ones that have not been dropped yet. */
  readonly size: number;
  /** The bytes of their keys and values. */
  readonly bytes: number;
  /** Sessions that were dropped to make room for others. */
  readonly evictions: number;
  /** Sessions that were dropped because they had expired. */
  readonly expirations: number;
}

/**
 * Keeps sessions in this process. When it is full, a new session replaces the least recently used.
 *
 * Theory of operation. A Map iterates in the order of insertion, and every use inserts its entry again, so the first
 * entry is the least recently used. Two iterators stay open across calls: a new iterator would have to step over all
 * entries that were deleted at the front. Values are kept as Latin-1 strings, which take a quarter less memory than
 * small buffers.
 */
export class MemorySessionStore implements TakingSessionStore {
  readonly #now: () => number;
  readonly #maxSessions: number;
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry>();
  #oldest = this.#entries.keys();
  #sweeping = this.#entries.entries();
  /** How many entries this round of sweeping has visited. */
  #swept = 0;
  #bytes = 0;
  #evictions = 0;
  #expirations = 0;

  /** @throws {TypeError | RangeError} when an option is unknown or invalid. */
  constructor(options: MemoryStoreOptions = {}) {
    checkOptions('new MemorySessionStore', options, MEMORY_STORE_RULES);
    const { maxSessions = 100_000, maxBytes = 256 * 1024 * 1024, now = () => performance.now() } = options;
    this.#now = now;
    this.#maxSessions = maxSessions;
    this.#maxBytes = maxBytes;
  }

  /** How much it holds, and what it has dropped. */
  get statistics(): MemoryStoreStatistics {
    return {
      size: this.#entries.size,
      bytes: this.#bytes,
      evictions: this.#evictions,
      expirations: this.#expirations,
    };
  }

  /** @returns a copy of the value. @throws {RangeError} when the key is not valid. */
  get(key: string): Uint8Array | undefined {
    const entry = this.#living(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return bytesOf(entry.value);
  }

  /** @returns the value, which the store no longer has. @throws {RangeError} when the key is not valid. */
  take(key: string): Uint8Array | undefined {
    const entry = this.#living(key);
    if (entry === undefined) return undefined;
    this.#drop(key, entry);
    return bytesOf(entry.value);
  }

  /** @throws {RangeError} when the key, the value or the time to live is out of bounds. */
  set(key: string, value: Uint8Array, ttlMs: number): void {
    checkEntry(key, value, ttlMs);
    this.#sweep();
    this.remove(key);
    const size = key.length + value.length;
    while (this.#entries.size === this.#maxSessions || this.#bytes + size > this.#maxBytes) this.#evict();
    const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
    this.#entries.set(key, { value: text, expiresAt: this.#now() + ttlMs });
    this.#bytes += size;
  }

  /** @throws {RangeError} when the key is not valid. */
  remove(key: string): void {
    checkKey(key);
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#drop(key, entry);
  }

  #living(key: string): Entry | undefined {
    checkKey(key);
    const entry = this.#entries.get(key);
    if (entry === undefined || !this.#isExpired(entry)) return entry;
    this.#expire(key, entry);
    return undefined;
  }

  #evict(): void {
    let next = this.#oldest.next();
    if (next.done === true) next = (this.#oldest = this.#entries.keys()).next();
    const key = next.value as string;
    const entry = this.#entries.get(key) as Entry;
    if (this.#isExpired(entry)) {
      this.#expire(key, entry);
      return;
    }
    this.#evictions++;
    this.#drop(key, entry);
  }

  /**
   * Visits the next two entries, and drops those that have expired. Every set sweeps, so a round over the whole store
   * takes half as many sets as there are entries. A round ends after as many visits as there are entries: the iterator
   * alone might never reach the end, because entries that are used move there.
   */
  #sweep(): void {
    for (let left = SWEPT_PER_SET; left > 0 && this.#entries.size > 0; left--) {
      const next = this.#swept++ < this.#entries.size ? this.#sweeping.next() : undefined;
      if (next === undefined || next.done === true) {
        this.#sweeping = this.#entries.entries();
        this.#swept = 0;
      } else if (this.#isExpired(next.value[1])) this.#expire(...next.value);
    }
  }

  #expire(key: string, entry: Entry): void {
    this.#expirations++;
    this.#drop(key, entry);
  }

  #drop(key: string, { value }: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= key.length + value.length;
  }

  #isExpired({ expiresAt }: Entry): boolean {
    return expiresAt <= this.#now();
  }
}

interface Entry {
  /** Latin-1, a character for each byte. */
  readonly value: string;
  readonly expiresAt: number;
}

function bytesOf(value: string): Uint8Array {
  const bytes = new Uint8Array(value.length);
  Buffer.from(bytes.buffer).write(value, 'latin1');
  return bytes;
}

const SWEPT_PER_SET = 2;
