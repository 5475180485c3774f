/** Finds the slot of a key. */

import { randomBytes } from 'node:crypto';

import { NONE } from './memory-store-recency.ts';

/**
 * An open-addressed hash table with linear probing, at most half full. A deletion closes the gap, so there are no
 * tombstones to sweep and no table to rebuild. The hash has a random salt in each process.
 */
export class KeyIndex {
  readonly #table: Int32Array;
  readonly #hashes: Uint32Array;
  readonly #mask: number;
  readonly #hasKey: (slot: number, key: string) => boolean;

  /**
   * @param slots the largest number of keys.
   * @param hasKey whether the slot has that key; called only when the hashes are equal.
   */
  constructor(slots: number, hasKey: (slot: number, key: string) => boolean) {
    const places = 2 ** Math.ceil(Math.log2(2 * slots));
    // A place holds the slot plus one, so that 0 means free. A new table is all zeros, and its memory is not touched.
    this.#table = new Int32Array(places);
    this.#hashes = new Uint32Array(slots);
    this.#mask = places - 1;
    this.#hasKey = hasKey;
  }

  /** @returns the slot of `key`; {@link NONE} when the key is not in the table. */
  find(key: string): number {
    const hash = hashOf(key);
    for (let place = hash & this.#mask; ; place = (place + 1) & this.#mask) {
      const slot = (this.#table[place] ?? 0) - 1;
      if (slot === NONE || (this.#hashes[slot] === hash && this.#hasKey(slot, key))) return slot;
    }
  }

  /** Adds `key`, which is not in the table, with `slot`. */
  add(key: string, slot: number): void {
    const hash = hashOf(key);
    this.#hashes[slot] = hash;
    let place = hash & this.#mask;
    while (this.#table[place] !== 0) place = (place + 1) & this.#mask;
    this.#table[place] = slot + 1;
  }

  /** Removes the key of `slot`. */
  delete(slot: number): void {
    const mask = this.#mask;
    let gap = (this.#hashes[slot] ?? 0) & mask;
    while (this.#table[gap] !== slot + 1) gap = (gap + 1) & mask;
    // An entry that could no longer be found behind the gap moves into it (Knuth, volume 3, section 6.4, algorithm R).
    for (let place = (gap + 1) & mask; ; place = (place + 1) & mask) {
      const entry = this.#table[place] ?? 0;
      if (entry === 0) break;
      const home = (this.#hashes[entry - 1] ?? 0) & mask;
      if (((place - home) & mask) >= ((place - gap) & mask)) {
        this.#table[gap] = entry;
        gap = place;
      }
    }
    this.#table[gap] = 0;
  }
}

/** @returns 32 bits of `key` and the salt, mixed letter by letter like MurmurHash3 (Appleby; public domain). */
function hashOf(key: string): number {
  let hash = SALT;
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ Math.imul(key.charCodeAt(index), 0xcc9e2d51), 0x85ebca6b);
    hash = (((hash << 13) | (hash >>> 19)) + 0xe6546b64) | 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const SALT = randomBytes(4).readInt32LE();
