/** The future events of a simulated world, in order. */

/** An event at a moment of virtual time. */
export interface Entry {
  readonly at: number;
  readonly run: () => void;
}

/**
 * A queue of entries, ordered by moment. Entries of the same moment keep the order in which they were added. It is a
 * binary heap: the cost of adding and taking is logarithmic in the length, that of cancelling is constant.
 */
export class Agenda {
  #heap: Slot[] = [];
  #order = 0;

  get length(): number {
    return this.#heap.length;
  }

  /** The moment of the first entry that is not cancelled; `Infinity` if there is none. */
  get nextAt(): number {
    this.#dropCancelled();
    return this.#heap.length === 0 ? Infinity : this.#heap[0].at;
  }

  /** Adds an entry. @returns a function that cancels it. */
  add(at: number, run: () => void): () => void {
    const slot: Slot = { at, order: this.#order++, run };
    this.#heap.push(slot);
    this.#rise(this.#heap.length - 1);
    return () => {
      slot.run = undefined;
    };
  }

  /** Removes and returns the first entry if its moment is not after `now`. */
  take(now: number): Entry | undefined {
    this.#dropCancelled();
    if (this.#heap.length === 0 || this.#heap[0].at > now) return undefined;
    return this.#pop() as Entry;
  }

  #dropCancelled(): void {
    while (this.#heap.length > 0 && this.#heap[0].run === undefined) this.#pop();
  }

  #pop(): Slot {
    const [first] = this.#heap;
    const last = this.#heap.pop() as Slot;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink();
    }
    return first;
  }

  #rise(index: number): void {
    const heap = this.#heap;
    for (let at = index; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!isBefore(heap[at], heap[parent])) return;
      [heap[at], heap[parent]] = [heap[parent], heap[at]];
      at = parent;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    for (let at = 0; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < heap.length && isBefore(heap[child], heap[least])) least = child;
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least], heap[at]];
      at = least;
    }
  }
}

interface Slot {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

function isBefore(one: Slot, other: Slot): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
