/**
 * Deadlines in a hierarchical timing wheel. The cost of arming and cancelling does not depend on how many are armed.
 *
 * Theory of operation. Time is cut into ticks of one millisecond. Level 0 has a slot for each of 32 ticks, level 1 for
 * each of 32 spans of 32 ticks, and so on. The level of a deadline is the position of the highest base-32 digit in
 * which its tick differs from the wheel's tick. When the wheel reaches a slot of a higher level, that slot's deadlines
 * move down; each moves at most once a level. Each level has a word with a bit for each occupied slot, so that finding
 * the next deadline reads one word a level. After G. Varghese and A. Lauck, "Hashed and Hierarchical Timing Wheels",
 * 1987.
 */

/** What happens at a deadline. */
export interface Expirable {
  /** Called when the deadline has passed. @param now the present moment, never before the deadline. */
  expire(now: number): void;
}

/** One moment in a wheel. Its owner is notified when the moment comes. It can be armed any number of times. */
export class Deadline {
  /** The armed moment; `Infinity` while not armed. */
  at = Infinity;
  readonly owner: Expirable;
  /** @internal */ next: Deadline | undefined;
  /** @internal */ previous: Deadline | undefined;
  /** @internal */ slot = NO_SLOT;

  constructor(owner: Expirable) {
    this.owner = owner;
  }

  get armed(): boolean {
    return this.slot !== NO_SLOT;
  }
}

/** A set of deadlines. It reads no clock: `now` is an argument. */
export class Deadlines {
  readonly #slots: (Deadline | undefined)[] = new Array<Deadline | undefined>(LEVELS * SLOTS).fill(undefined);
  readonly #occupied = new Int32Array(LEVELS);
  #tick: number;
  #size = 0;

  readonly #onArm: ((at: number) => void) | undefined;

  /**
   * @param now the moment at which the wheel starts, in milliseconds.
   * @param onArm called with the moment of every deadline that is armed, so that a sleeping loop can wake in time.
   */
  constructor(now: number, onArm?: (at: number) => void) {
    this.#tick = Math.floor(now);
    this.#onArm = onArm;
  }

  /** How many are armed. */
  get size(): number {
    return this.#size;
  }

  /**
   * Arms `deadline` for the moment `at`. If it is armed already, it moves. A moment in the past is due at the next
   * {@link expire}.
   * @throws {RangeError} when `at` is NaN.
   */
  arm(deadline: Deadline, at: number): void {
    if (Number.isNaN(at)) throw new RangeError('the moment of a deadline must be a number, not NaN');
    if (deadline.slot !== NO_SLOT) this.#unlink(deadline);
    deadline.at = at;
    this.#link(deadline);
    this.#onArm?.(at);
  }

  /** Disarms `deadline`. Does nothing when it is not armed. */
  cancel(deadline: Deadline): void {
    if (deadline.slot !== NO_SLOT) this.#unlink(deadline);
    deadline.at = Infinity;
  }

  /**
   * A moment before which no deadline is due. It is exact to one tick for deadlines within the next 32 ms. For later
   * ones it may be too early, but never too late.
   * @returns milliseconds; `Infinity` when nothing is armed.
   */
  nextAt(): number {
    for (let level = 0; level < LEVELS; level++) {
      const slot = this.#firstSlot(level);
      if (slot >= 0) return this.#startOf(level, slot);
    }
    return Infinity;
  }

  /** Expires each deadline whose moment is not after `now`, in the order of their ticks. */
  expire(now: number): void {
    const target = Math.floor(now);
    for (let due = this.#nextDue(target); due !== undefined; due = this.#nextDue(target)) {
      this.#unlink(due);
      due.at = Infinity;
      due.owner.expire(now);
    }
  }

  #nextDue(target: number): Deadline | undefined {
    for (;;) {
      let level = 0;
      let slot = -1;
      while (level < LEVELS && (slot = this.#firstSlot(level)) < 0) level++;
      const startsAt = slot < 0 ? Infinity : this.#startOf(level, slot);
      if (startsAt > target) {
        if (target > this.#tick) this.#tick = target;
        return undefined;
      }
      this.#tick = startsAt;
      const first = this.#slots[level * SLOTS + slot];
      if (level === 0 || first === undefined) return first;
      this.#moveDown(first);
    }
  }

  #moveDown(first: Deadline): void {
    for (let deadline: Deadline | undefined = first; deadline !== undefined;) {
      const next: Deadline | undefined = deadline.next;
      this.#unlink(deadline);
      this.#link(deadline);
      deadline = next;
    }
  }

  #link(deadline: Deadline): void {
    // Rounded up, so that no deadline is due before its moment. Bounded: a deadline beyond the limit waits there and
    // moves to its own slot later.
    const tick = Math.min(Math.max(Math.ceil(deadline.at), this.#tick), this.#tick + FARTHEST);
    let level = 0;
    let digits = tick;
    let present = this.#tick;
    while (Math.floor(digits / SLOTS) !== Math.floor(present / SLOTS)) {
      level++;
      digits = Math.floor(digits / SLOTS);
      present = Math.floor(present / SLOTS);
    }
    const digit = digits % SLOTS;
    const slot = level * SLOTS + digit;
    const first = this.#slots[slot];
    deadline.slot = slot;
    deadline.previous = undefined;
    deadline.next = first;
    if (first !== undefined) first.previous = deadline;
    this.#slots[slot] = deadline;
    this.#occupied[level] |= 1 << digit;
    this.#size++;
  }

  #unlink(deadline: Deadline): void {
    const { slot, next, previous } = deadline;
    if (next !== undefined) next.previous = previous;
    if (previous !== undefined) previous.next = next;
    else {
      this.#slots[slot] = next;
      if (next === undefined) {
        const level = Math.floor(slot / SLOTS);
        this.#occupied[level] &= ~(1 << (slot % SLOTS));
      }
    }
    deadline.next = deadline.previous = undefined;
    deadline.slot = NO_SLOT;
    this.#size--;
  }

  /** @returns the first occupied slot at `level`, or -1. No occupied slot lies before the wheel's own digit. */
  #firstSlot(level: number): number {
    const bits = this.#occupied[level];
    return bits === 0 ? -1 : 31 - Math.clz32(bits & -bits);
  }

  #startOf(level: number, slot: number): number {
    const span = SPANS[level];
    const turn = span * SLOTS;
    return Math.floor(this.#tick / turn) * turn + slot * span;
  }
}

const SLOTS = 32;
// 32^9 ms are a thousand years, more than any clock shows. A deadline more than 32^7 ms (397 days) away waits at that
// limit first.
const LEVELS = 9;
const FARTHEST = SLOTS ** 7 - 1;
const SPANS = Array.from({ length: LEVELS }, (_, level) => SLOTS ** level);
const NO_SLOT = -1;
