/** What lies between two simulated hosts. */

/** How a link carries bytes. */
export interface LinkOptions {
  /** How long a byte is on its way, in milliseconds; 0 by default. */
  readonly latencyMs?: number | undefined;
  /** Bytes a second in each direction; no limit by default. */
  readonly bandwidth?: number | undefined;
  /** The most bytes that travel together; 64 KiB by default. With 1 every byte comes alone. */
  readonly segment?: number | undefined;
}

/** A path between two hosts, the same in both directions. A partition holds everything back until it heals. */
export class Link {
  latencyMs: number;
  bandwidth: number;
  segment: number;
  readonly #held: (() => void)[] = [];
  readonly #busyUntil = new Map<object, number>();
  #partitioned = false;

  /** @throws {RangeError} when an option is out of range. */
  constructor({ latencyMs = 0, bandwidth = Infinity, segment = 64 * 1024 }: LinkOptions = {}) {
    if (!(latencyMs >= 0)) throw new RangeError(`latencyMs must be at least 0, not ${String(latencyMs)}`);
    if (!(bandwidth > 0)) throw new RangeError(`bandwidth must be more than 0, not ${String(bandwidth)}`);
    if (!(segment >= 1)) throw new RangeError(`segment must be at least 1, not ${String(segment)}`);
    this.latencyMs = latencyMs;
    this.bandwidth = bandwidth;
    this.segment = Math.floor(segment);
  }

  get partitioned(): boolean {
    return this.#partitioned;
  }

  /** Holds back whatever arrives from now on. */
  partition(): void {
    this.#partitioned = true;
  }

  /** Lets everything through that was held back, in its order. */
  heal(): void {
    this.#partitioned = false;
    for (const deliver of this.#held.splice(0)) deliver();
  }

  /** Runs `deliver` now, or when the partition heals. */
  pass(deliver: () => void): void {
    if (this.#partitioned) this.#held.push(deliver);
    else deliver();
  }

  /**
   * Sends `bytes` from one of its ends at `now`, behind what that end sent before.
   * @returns how long they take until they arrive, in milliseconds.
   */
  take(end: object, bytes: number, now: number): number {
    if (this.bandwidth === Infinity) return this.latencyMs;
    const doneAt = Math.max(now, this.#busyUntil.get(end) ?? 0) + (bytes / this.bandwidth) * 1_000;
    this.#busyUntil.set(end, doneAt);
    return doneAt - now + this.latencyMs;
  }
}
