/** Memory for small arrays of bytes. */

/**
 * @returns memory for `count` bytes, at most {@link SMALL}, with any content. Many such arrays share one piece of
 * memory: allocating a piece for each would take longer than the rest of receiving a small message. The pieces come
 * from the pool of Node's Buffers, whose memory cannot be transferred to another thread, away from the other arrays.
 */
export function smallBytes(count: number): Uint8Array {
  if (count > slab.length - used) {
    const { buffer, byteOffset, length } = Buffer.allocUnsafe(SLAB_BYTES);
    slab = new Uint8Array(buffer, byteOffset, length);
    used = 0;
  }
  return slab.subarray(used, (used += count));
}

/** The most bytes of an array in shared memory. Even a single byte keeps the 8 KiB of Node's pool alive. */
export const SMALL = 1024;

// The pool serves requests of less than half its size.
const SLAB_BYTES = 4_000;
let slab = new Uint8Array(0) as Uint8Array;
let used = 0;
