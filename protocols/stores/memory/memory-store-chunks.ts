/** Keeps records in chunks of one size. */

import { NONE } from './memory-store-recency.ts';

/**
 * Keeps records of any length in linked chunks of {@link CHUNK} bytes. On average a record wastes half a chunk, but
 * memory is never fragmented or moved. Memory is allocated one mebibyte at a time; it is reused and never freed.
 */
export class ChunkPool {
  readonly #slabs: { readonly bytes: Uint8Array; readonly next: Int32Array }[] = [];
  readonly #chunks: number;
  #freeChunk = NONE;
  #used = 0;
  #taken = 0;

  /** @param maxBytes how many bytes the chunks and their links may take. */
  constructor(maxBytes: number) {
    this.#chunks = Math.min(Math.floor(maxBytes / CHUNK_COST), 2 ** 31 - 1);
  }

  /** The bytes of the chunks in use and their links. */
  get bytes(): number {
    return this.#used * CHUNK_COST;
  }

  /** How many chunks are free. */
  get free(): number {
    return this.#chunks - this.#used;
  }

  /** @returns how many chunks a record of `length` bytes takes. */
  chunksFor(length: number): number {
    return Math.ceil(length / CHUNK);
  }

  /** Stores a record of at least one byte; enough chunks must be free. @returns its first chunk. */
  write(record: Uint8Array): number {
    let following = NONE;
    // From the end, so that each chunk's successor is known.
    for (let index = this.chunksFor(record.length) - 1; index >= 0; index--) {
      const chunk = this.#take();
      const { bytes, next } = this.#slabOf(chunk);
      bytes.set(record.subarray(index * CHUNK, (index + 1) * CHUNK), (chunk % CHUNKS_PER_SLAB) * CHUNK);
      next[chunk % CHUNKS_PER_SLAB] = following;
      following = chunk;
    }
    return following;
  }

  /** Fills `into` with bytes of the record, from the offset `skip`, which is less than a chunk. */
  read(first: number, skip: number, into: Uint8Array): void {
    for (let chunk = first, at = -skip; at < into.length; at += CHUNK) {
      const { bytes, next } = this.#slabOf(chunk);
      const start = (chunk % CHUNKS_PER_SLAB) * CHUNK;
      into.set(bytes.subarray(start + Math.max(0, -at), start + Math.min(CHUNK, into.length - at)), Math.max(0, at));
      chunk = next[chunk % CHUNKS_PER_SLAB] ?? NONE;
    }
  }

  /** Whether the record begins with `text`, whose letters have one byte each and fit into one chunk. */
  startsWith(first: number, text: string): boolean {
    const { bytes } = this.#slabOf(first);
    const start = (first % CHUNKS_PER_SLAB) * CHUNK;
    for (let index = 0; index < text.length; index++) if (bytes[start + index] !== text.charCodeAt(index)) return false;
    return true;
  }

  /** Frees the chunks of the record. */
  release(first: number): void {
    for (let chunk = first; chunk !== NONE;) {
      const { next } = this.#slabOf(chunk);
      const within = chunk % CHUNKS_PER_SLAB;
      const following = next[within] ?? NONE;
      next[within] = this.#freeChunk;
      this.#freeChunk = chunk;
      this.#used--;
      chunk = following;
    }
  }

  #take(): number {
    this.#used++;
    const chunk = this.#freeChunk;
    if (chunk !== NONE) {
      this.#freeChunk = this.#slabOf(chunk).next[chunk % CHUNKS_PER_SLAB] ?? NONE;
      return chunk;
    }
    if (this.#taken === this.#slabs.length * CHUNKS_PER_SLAB) {
      const chunks = Math.min(CHUNKS_PER_SLAB, this.#chunks - this.#taken);
      this.#slabs.push({ bytes: new Uint8Array(chunks * CHUNK), next: new Int32Array(chunks) });
    }
    return this.#taken++;
  }

  #slabOf(chunk: number): { readonly bytes: Uint8Array; readonly next: Int32Array } {
    return this.#slabs[Math.floor(chunk / CHUNKS_PER_SLAB)];
  }
}

// An encrypted session without certificates has about 300 bytes. A key fits into one chunk.
const CHUNK = 128;
const CHUNK_COST = CHUNK + Int32Array.BYTES_PER_ELEMENT;
const CHUNKS_PER_SLAB = 8 * 1024;
