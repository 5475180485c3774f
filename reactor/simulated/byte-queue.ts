/** The buffers of a simulated kernel. */

/** A queue of bytes. It copies each piece when it is added. */
export class ByteQueue {
  readonly #pieces: Uint8Array[] = [];
  #start = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Copies the first `count` bytes of `bytes` to the end. */
  push(bytes: Uint8Array, count = bytes.length): void {
    if (count === 0) return;
    this.#pieces.push(bytes.slice(0, count));
    this.#length += count;
  }

  /** Moves bytes from the front into `into`. @returns how many. */
  shift(into: Uint8Array): number {
    const count = Math.min(into.length, this.#length);
    for (let moved = 0; moved < count;) {
      const piece = this.#pieces[0].subarray(this.#start, this.#start + count - moved);
      into.set(piece, moved);
      moved += piece.length;
      this.#advance(piece.length);
    }
    return count;
  }

  /** Moves up to `count` bytes from the front to the end of another queue. @returns how many. */
  moveTo(other: ByteQueue, count: number): number {
    const moved = Math.min(count, this.#length);
    for (let left = moved; left > 0;) {
      const piece = this.#pieces[0].subarray(this.#start, this.#start + left);
      other.#pieces.push(piece);
      other.#length += piece.length;
      left -= piece.length;
      this.#advance(piece.length);
    }
    return moved;
  }

  clear(): void {
    this.#pieces.length = this.#start = this.#length = 0;
  }

  #advance(count: number): void {
    this.#start += count;
    this.#length -= count;
    if (this.#start < this.#pieces[0].length) return;
    this.#pieces.shift();
    this.#start = 0;
  }
}
