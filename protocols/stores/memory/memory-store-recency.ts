/** Keeps slots in the order of their last use. */

/** The number that means no slot, or no chunk. */
export const NONE = -1;

/** A doubly linked list of slot numbers, in two arrays. */
export class RecencyList {
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  #oldest = NONE;
  #newest = NONE;

  /** @param slots the number of slots: 0…slots - 1. */
  constructor(slots: number) {
    this.#older = new Int32Array(slots);
    this.#newer = new Int32Array(slots);
  }

  /** The least recently used slot; {@link NONE} when none is in use. */
  get oldest(): number {
    return this.#oldest;
  }

  /** Makes `slot`, which is not in the list, the newest. */
  add(slot: number): void {
    this.#older[slot] = this.#newest;
    this.#newer[slot] = NONE;
    if (this.#newest === NONE) this.#oldest = slot;
    else this.#newer[this.#newest] = slot;
    this.#newest = slot;
  }

  /** Removes `slot` from the list. */
  delete(slot: number): void {
    const older = this.#older[slot] ?? NONE;
    const newer = this.#newer[slot] ?? NONE;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
  }

  /** Makes `slot`, which is in the list, the newest. */
  touch(slot: number): void {
    if (slot === this.#newest) return;
    this.delete(slot);
    this.add(slot);
  }
}
