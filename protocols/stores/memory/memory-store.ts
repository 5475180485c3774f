/** Sessions in the memory of this process. */

import { checkOptions, count } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { checkEntry, checkKey } from '../store-entry.ts';
import { ChunkPool } from './memory-store-chunks.ts';
import { KeyIndex } from './memory-store-index.ts';
import { NONE, RecencyList } from './memory-store-recency.ts';
import { KEY_AT_MOST, VALUE_AT_MOST } from '../store.ts';
import { clock } from '../store-rules.ts';
import type { TakingSessionStore } from '../store.ts';

/** How much a store in memory keeps. */
export interface MemoryStoreOptions {
  /**
   * How many sessions at most, 1…16,777,216; 100,000 unless given. The one that was not used for longest makes room.
   */
  readonly maxSessions?: number | undefined;
  /**
   * How many bytes they take at most, 262,144 at least; 256 MiB unless given. The bookkeeping takes some 40 bytes a
   * session besides.
   */
  readonly maxBytes?: number | undefined;
  /** A clock in milliseconds that never goes back; the system's monotonic one unless given. */
  readonly now?: (() => number) | undefined;
}

// What its index can hold, and what the largest session takes with its neighbours.
export const MEMORY_STORE_RULES = {
  maxSessions: count(1, 2 ** 24),
  maxBytes: count(256 * 1024),
  now: clock,
} satisfies Rules<MemoryStoreOptions>;

/** What a store in memory holds, and what it has let go of. */
export interface MemoryStoreStatistics {
  /** Sessions held now; among them may be some whose time has passed unnoticed. */
  readonly size: number;
  /** The bytes that they take, bookkeeping aside. */
  readonly bytes: number;
  /** Sessions that had to make room for others. */
  readonly evictions: number;
  /** Sessions that were dropped because their time had passed. */
  readonly expirations: number;
}

/**
 * Keeps sessions in this process: the least recently used makes room for the new.
 *
 * Theory of operation. A session is a number, its slot, and no object: its hash, its neighbours in the order of use,
 * its moment of expiry and its first chunk stand in typed arrays, its key and value in chunks of a pool. The arrays
 * have their full length from the start; the system gives them memory page by page as slots come into use. So nothing
 * is ever rehashed or moved, the garbage collector sees a handful of objects whatever the number of sessions, and the
 * millionth costs what the first did.
 */
export class MemorySessionStore implements TakingSessionStore {
  readonly #now: () => number;
  readonly #maxSessions: number;
  readonly #chunks: ChunkPool;
  readonly #index: KeyIndex;
  readonly #recency: RecencyList;
  readonly #expiresAt: Float64Array;
  readonly #firstChunk: Int32Array;
  readonly #valueLength: Uint32Array;
  readonly #keyLength: Uint8Array;
  /** Slots that were used and are free again, as a stack that is linked through `#firstChunk`. */
  #freeSlot = NONE;
  #slotsUsed = 0;
  #size = 0;
  #sweepSlot = 0;
  #evictions = 0;
  #expirations = 0;

  /** @throws {TypeError | RangeError} for an option that is unknown or wrong. */
  constructor(options: MemoryStoreOptions = {}) {
    checkOptions('new MemorySessionStore', options, MEMORY_STORE_RULES);
    const { maxSessions = 100_000, maxBytes = 256 * 1024 * 1024, now = () => performance.now() } = options;
    this.#now = now;
    this.#maxSessions = maxSessions;
    this.#chunks = new ChunkPool(maxBytes);
    this.#index = new KeyIndex(maxSessions, (slot, key) => this.#hasKey(slot, key));
    this.#recency = new RecencyList(maxSessions);
    this.#expiresAt = new Float64Array(maxSessions);
    this.#firstChunk = new Int32Array(maxSessions);
    this.#valueLength = new Uint32Array(maxSessions);
    this.#keyLength = new Uint8Array(maxSessions);
  }

  get statistics(): MemoryStoreStatistics {
    return { size: this.#size, bytes: this.#chunks.bytes, evictions: this.#evictions, expirations: this.#expirations };
  }

  /** @returns a copy of the value. @throws {RangeError} when the key is none. */
  get(key: string): Uint8Array | undefined {
    const slot = this.#livingSlot(key);
    if (slot === NONE) return undefined;
    this.#recency.touch(slot);
    return this.#valueIn(slot);
  }

  /** @returns the value, which is forgotten. @throws {RangeError} when the key is none. */
  take(key: string): Uint8Array | undefined {
    const slot = this.#livingSlot(key);
    if (slot === NONE) return undefined;
    const value = this.#valueIn(slot);
    this.#drop(slot);
    return value;
  }

  /** @throws {RangeError} when the key, the value or the time to live is out of bounds. */
  set(key: string, value: Uint8Array, ttlMs: number): void {
    checkEntry(key, value, ttlMs);
    this.#sweep();
    this.remove(key);
    const record = recordOf(key, value);
    const chunks = this.#chunks.chunksFor(record.length);
    while (this.#size === this.#maxSessions || this.#chunks.free < chunks) this.#evict();
    const slot = this.#takeSlot();
    this.#firstChunk[slot] = this.#chunks.write(record);
    this.#keyLength[slot] = key.length;
    this.#valueLength[slot] = value.length;
    this.#expiresAt[slot] = this.#now() + ttlMs;
    this.#index.add(key, slot);
    this.#recency.add(slot);
    this.#size++;
  }

  /** @throws {RangeError} when the key is none. */
  remove(key: string): void {
    checkKey(key);
    const slot = this.#index.find(key);
    if (slot !== NONE) this.#drop(slot);
  }

  /** The slot of `key`; {@link NONE} when it has none, or its time has passed. */
  #livingSlot(key: string): number {
    checkKey(key);
    const slot = this.#index.find(key);
    if (slot === NONE || !this.#isExpired(slot)) return slot;
    this.#expire(slot);
    return NONE;
  }

  #valueIn(slot: number): Uint8Array {
    const value = new Uint8Array(this.#valueLength[slot] ?? 0);
    this.#chunks.read(this.#firstChunk[slot] ?? NONE, this.#keyLength[slot] ?? 0, value);
    return value;
  }

  #evict(): void {
    const slot = this.#recency.oldest;
    if (this.#isExpired(slot)) {
      this.#expire(slot);
      return;
    }
    this.#evictions++;
    this.#drop(slot);
  }

  /**
   * Looks at the next two slots: so all those whose time has passed are gone before as many sessions have come as half
   * of the slots.
   */
  #sweep(): void {
    for (let left = SWEPT_PER_SET; left > 0 && this.#slotsUsed > 0; left--) {
      if (this.#sweepSlot >= this.#slotsUsed) this.#sweepSlot = 0;
      const slot = this.#sweepSlot++;
      if (this.#keyLength[slot] !== 0 && this.#isExpired(slot)) this.#expire(slot);
    }
  }

  #expire(slot: number): void {
    this.#expirations++;
    this.#drop(slot);
  }

  #drop(slot: number): void {
    this.#index.delete(slot);
    this.#recency.delete(slot);
    this.#chunks.release(this.#firstChunk[slot] ?? NONE);
    this.#keyLength[slot] = 0;
    this.#firstChunk[slot] = this.#freeSlot;
    this.#freeSlot = slot;
    this.#size--;
  }

  #takeSlot(): number {
    const slot = this.#freeSlot;
    if (slot === NONE) return this.#slotsUsed++;
    this.#freeSlot = this.#firstChunk[slot] ?? NONE;
    return slot;
  }

  #isExpired(slot: number): boolean {
    return (this.#expiresAt[slot] ?? 0) <= this.#now();
  }

  #hasKey(slot: number, key: string): boolean {
    return this.#keyLength[slot] === key.length && this.#chunks.startsWith(this.#firstChunk[slot] ?? NONE, key);
  }
}

/** Key and value in one piece; it is good until the next call. */
function recordOf(key: string, value: Uint8Array): Uint8Array {
  scratch.write(key, 'latin1');
  scratch.set(value, key.length);
  return scratch.subarray(0, key.length + value.length);
}

const scratch = Buffer.allocUnsafeSlow(KEY_AT_MOST + VALUE_AT_MOST);
const SWEPT_PER_SET = 2;
