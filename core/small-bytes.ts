/** Memory for small arrays of bytes. */

import { markAsUntransferable } from 'node:worker_threads';

/**
 * @returns memory for `count` bytes, at most {@link SMALL}, with any content. Many such arrays share one piece of
 * memory, as small Buffers of Node.js do: allocating a piece for each would take longer than the rest of receiving a
 * small message. The piece cannot be transferred to another thread, because that would take it from all of them.
 */
export function smallBytes(count: number): Uint8Array<ArrayBuffer> {
  if (count > slab.length - used) {
    slab = newSlab();
    used = 0;
  }
  return slab.subarray(used, (used += count));
}

/** The most bytes of an array in shared memory. An array keeps at most sixteen times as much alive. */
export const SMALL = 1024;

function newSlab(): Uint8Array<ArrayBuffer> {
  const memory = new ArrayBuffer(SLAB_BYTES);
  markAsUntransferable(memory);
  return new Uint8Array(memory);
}

const SLAB_BYTES = 16 * SMALL;
let slab = new Uint8Array(0);
let used = 0;
