/** A session store in the memory of this process. */

import { checkOptions, count } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { checkEntry, checkKey } from '../store-entry.ts';
import { ChunkPool } from './memory-store-chunks.ts';
import { KeyIndex } from './memory-store-index.ts';
import { NONE, RecencyList } from './memory-store-recency.ts';
import { KEY_AT_MOST, VALUE_AT_MOST } from '../store.ts';
import { clock } from '../store-rules.ts';
import type { TakingSessionStore } from '../store.ts';

/** The options of {@link MemorySessionStore}. */
export interface MemoryStoreOptions {
  /**
   * The largest number of sessions, 1…16,777,216; 100,000 by default. The least recently used session is removed to
   * make room.
   */
  readonly maxSessions?: number | undefined;
  /**
   * The largest number of bytes of the sessions, at least 262,144; 256 MiB by default. The bookkeeping takes about 40
   * more bytes for each session.
   */
  readonly maxBytes?: number | undefined;
  /** A monotonic clock in milliseconds; `performance.now` by default. */
  readonly now?: (() => number) | undefined;
}

// The bounds: as many sessions as the index can hold; at least enough bytes for the largest session.
export const MEMORY_STORE_RULES = {
  maxSessions: count(1, 2 ** 24),
  maxBytes: count(256 * 1024),
  now: clock,
} satisfies Rules<MemoryStoreOptions>;

/** The statistics of a store in memory. */
export interface MemoryStoreStatistics {
  /** The number of sessions; some may have expired and not been removed yet. */
  readonly size: number;
  /** The bytes that they take, without the bookkeeping. */
  readonly bytes: number;
  /** How many sessions were removed to make room for others. */
  readonly evictions: number;
  /** How many sessions were removed because they had expired. */
  readonly expirations: number;
}

/**
 * Keeps sessions in this process. When it is full, the least recently used session makes room for a new one.
 *
 * Theory of operation. A session is not an object but a number, its slot. Typed arrays hold its hash, its neighbours in
 * the order of use, its time of expiry and its first chunk; a pool of chunks holds its key and value. The arrays have
 * their full length from the start; the system provides their memory page by page as slots come into use. So nothing is
 * ever rehashed or moved, the garbage collector sees only a few objects for any number of sessions, and the millionth
 * session costs as much as the first.
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
  /** The top of the stack of freed slots, which are linked through `#firstChunk`. */
  #freeSlot = NONE;
  #slotsUsed = 0;
  #size = 0;
  #sweepSlot = 0;
  #evictions = 0;
  #expirations = 0;

  /** @throws {TypeError | RangeError} when an option is unknown or invalid. */
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

  /** @returns a copy of the value; `undefined` when there is none. @throws {RangeError} when the key is invalid. */
  get(key: string): Uint8Array | undefined {
    const slot = this.#livingSlot(key);
    if (slot === NONE) return undefined;
    this.#recency.touch(slot);
    return this.#valueIn(slot);
  }

  /** Removes the value. @returns it; `undefined` when there is none. @throws {RangeError} when the key is invalid. */
  take(key: string): Uint8Array | undefined {
    const slot = this.#livingSlot(key);
    if (slot === NONE) return undefined;
    const value = this.#valueIn(slot);
    this.#drop(slot);
    return value;
  }

  /** @throws {RangeError} when the key, the value or the time to live is invalid. */
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

  /** @throws {RangeError} when the key is invalid. */
  remove(key: string): void {
    checkKey(key);
    const slot = this.#index.find(key);
    if (slot !== NONE) this.#drop(slot);
  }

  /** @returns the slot of `key`; {@link NONE} when there is none or it has expired. */
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
   * Checks the next two slots. So every slot is checked once in as many sets as half the number of slots.
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

/** @returns the key and the value in one buffer, which is valid until the next call. */
function recordOf(key: string, value: Uint8Array): Uint8Array {
  scratch.write(key, 'latin1');
  scratch.set(value, key.length);
  return scratch.subarray(0, key.length + value.length);
}

const scratch = Buffer.allocUnsafeSlow(KEY_AT_MOST + VALUE_AT_MOST);
const SWEPT_PER_SET = 2;
