/** Bytes in chunks of one size. */

import { NONE } from './memory-store-recency.ts';

/**
 * Keeps records of any length in chained chunks of {@link CHUNK} bytes: half a chunk a record is wasted on the average,
 * and nothing is ever fragmented or moved. Memory is taken a mebibyte at a time and is not given back, but used again.
 */
export class ChunkPool {
  readonly #slabs: { readonly bytes: Uint8Array; readonly next: Int32Array }[] = [];
  readonly #chunks: number;
  #freeChunk = NONE;
  #used = 0;
  #taken = 0;

  /** @param maxBytes how many bytes chunks and the links between them may take. */
  constructor(maxBytes: number) {
    this.#chunks = Math.min(Math.floor(maxBytes / CHUNK_COST), 2 ** 31 - 1);
  }

  /** The bytes that the chunks in use take, with their links. */
  get bytes(): number {
    return this.#used * CHUNK_COST;
  }

  /** How many chunks may still be taken. */
  get free(): number {
    return this.#chunks - this.#used;
  }

  /** @returns how many chunks a record of so many bytes takes. */
  chunksFor(length: number): number {
    return Math.ceil(length / CHUNK);
  }

  /** Keeps a record of at least one byte; there must be enough chunks free. @returns its first chunk. */
  write(record: Uint8Array): number {
    let following = NONE;
    // From its end, so that each chunk's successor is known.
    for (let index = this.chunksFor(record.length) - 1; index >= 0; index--) {
      const chunk = this.#take();
      const { bytes, next } = this.#slabOf(chunk);
      bytes.set(record.subarray(index * CHUNK, (index + 1) * CHUNK), (chunk % CHUNKS_PER_SLAB) * CHUNK);
      next[chunk % CHUNKS_PER_SLAB] = following;
      following = chunk;
    }
    return following;
  }

  /** Fills `into` with the bytes of the record that begin `skip` bytes, less than a chunk, behind its first. */
  read(first: number, skip: number, into: Uint8Array): void {
    for (let chunk = first, at = -skip; at < into.length; at += CHUNK) {
      const { bytes, next } = this.#slabOf(chunk);
      const start = (chunk % CHUNKS_PER_SLAB) * CHUNK;
      into.set(bytes.subarray(start + Math.max(0, -at), start + Math.min(CHUNK, into.length - at)), Math.max(0, at));
      chunk = next[chunk % CHUNKS_PER_SLAB] ?? NONE;
    }
  }

  /** Whether the record begins with the letters of `text`, which fit into a chunk and are all of one byte. */
  startsWith(first: number, text: string): boolean {
    const { bytes } = this.#slabOf(first);
    const start = (first % CHUNKS_PER_SLAB) * CHUNK;
    for (let index = 0; index < text.length; index++) if (bytes[start + index] !== text.charCodeAt(index)) return false;
    return true;
  }

  /** Forgets the record. */
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

// A sealed session without certificates has some 300 bytes. A key fits into one chunk.
const CHUNK = 128;
const CHUNK_COST = CHUNK + Int32Array.BYTES_PER_ELEMENT;
const CHUNKS_PER_SLAB = 8 * 1024;
