/** What lies between two simulated hosts. */

import { checkArgument, checkOptions, duration, number } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';

/** How a link carries bytes. */
export interface LinkOptions {
  /** How long a byte is on its way, in milliseconds; 0 by default. */
  readonly latencyMs?: number | undefined;
  /** Bytes a second in each direction; no limit by default. */
  readonly bandwidth?: number | undefined;
  /** The most bytes that travel together; 64 KiB by default. With 1 every byte comes alone. */
  readonly segment?: number | undefined;
}

export const LINK_RULES = {
  latencyMs: duration,
  bandwidth: number('a number of bytes a second above 0, or Infinity for no limit', (value) => value > 0),
  segment: number('a number of bytes of at least 1', (value) => value >= 1),
} satisfies Rules<LinkOptions>;

/** A path between two hosts, the same in both directions. A partition holds everything back until it heals. */
export class Link {
  #latencyMs = 0;
  #bandwidth = Infinity;
  #segment = 64 * 1024;
  readonly #held: (() => void)[] = [];
  readonly #busyUntil = new Map<object, number>();
  #partitioned = false;

  /**
   * @throws {TypeError | RangeError} for an option that is unknown, of the wrong type or out of range; so do the
   * setters.
   */
  constructor(options: LinkOptions = {}) {
    checkOptions('new Link', options, LINK_RULES);
    const { latencyMs = 0, bandwidth = Infinity, segment = 64 * 1024 } = options;
    this.latencyMs = latencyMs;
    this.bandwidth = bandwidth;
    this.segment = segment;
  }

  /** How long a byte that is sent from now on is on its way, in milliseconds. */
  get latencyMs(): number {
    return this.#latencyMs;
  }

  set latencyMs(ms: number) {
    checkArgument('link', 'latencyMs', ms, LINK_RULES.latencyMs);
    this.#latencyMs = ms;
  }

  /** Bytes a second in each direction from now on. */
  get bandwidth(): number {
    return this.#bandwidth;
  }

  set bandwidth(bytes: number) {
    checkArgument('link', 'bandwidth', bytes, LINK_RULES.bandwidth);
    this.#bandwidth = bytes;
  }

  /** The most bytes that travel together from now on. */
  get segment(): number {
    return this.#segment;
  }

  set segment(bytes: number) {
    checkArgument('link', 'segment', bytes, LINK_RULES.segment);
    this.#segment = Math.floor(bytes);
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
