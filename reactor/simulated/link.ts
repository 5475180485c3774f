/** The link between two simulated hosts. */

import { checkArgument, checkOptions, duration, number } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';

/** The options of a link. */
export interface LinkOptions {
  /** How long a byte travels, in milliseconds; 0 by default. */
  readonly latencyMs?: number | undefined;
  /** The bandwidth in each direction, in bytes per second; no limit by default. */
  readonly bandwidth?: number | undefined;
  /** The most bytes that travel together; 64 KiB by default. With 1, every byte arrives alone. */
  readonly segment?: number | undefined;
}

export const LINK_RULES = {
  latencyMs: duration,
  bandwidth: number('a number of bytes per second above 0, or Infinity for no limit', (value) => value > 0),
  segment: number('a number of bytes of at least 1', (value) => value >= 1),
} satisfies Rules<LinkOptions>;

/**
 * A link between two hosts, with the same options in both directions. While it is partitioned, it holds back all bytes.
 */
export class Link {
  #latencyMs = 0;
  #bandwidth = Infinity;
  #segment = 64 * 1024;
  readonly #held: (() => void)[] = [];
  readonly #busyUntil = new Map<object, number>();
  #partitioned = false;

  /**
   * @throws {TypeError | RangeError} when an option is unknown, of the wrong type or out of range. The setters throw
   * the same.
   */
  constructor(options: LinkOptions = {}) {
    checkOptions('new Link', options, LINK_RULES);
    const { latencyMs = 0, bandwidth = Infinity, segment = 64 * 1024 } = options;
    this.latencyMs = latencyMs;
    this.bandwidth = bandwidth;
    this.segment = segment;
  }

  /** How long a byte travels, in milliseconds. A change applies to bytes sent from now on. */
  get latencyMs(): number {
    return this.#latencyMs;
  }

  set latencyMs(ms: number) {
    checkArgument('link', 'latencyMs', ms, LINK_RULES.latencyMs);
    this.#latencyMs = ms;
  }

  /** The bandwidth in each direction, in bytes per second. A change applies to bytes sent from now on. */
  get bandwidth(): number {
    return this.#bandwidth;
  }

  set bandwidth(bytes: number) {
    checkArgument('link', 'bandwidth', bytes, LINK_RULES.bandwidth);
    this.#bandwidth = bytes;
  }

  /** The most bytes that travel together. A change applies to bytes sent from now on. */
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

  /** Holds back everything that arrives from now on. */
  partition(): void {
    this.#partitioned = true;
  }

  /** Delivers everything that was held back, in order. */
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
   * Reserves bandwidth for `bytes` bytes that one end sends at `now`, after those that it sent before.
   * @returns the moment at which they arrive.
   */
  arrivalTime(end: object, bytes: number, now: number): number {
    if (this.bandwidth === Infinity) return now + this.latencyMs;
    const doneAt = Math.max(now, this.#busyUntil.get(end) ?? 0) + (bytes / this.bandwidth) * 1_000;
    this.#busyUntil.set(end, doneAt);
    return doneAt + this.latencyMs;
  }
}
