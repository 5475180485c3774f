/** A descriptor kept for the moment when there are no others. */

import type { SystemCalls } from '../system-calls.ts';

/** Holds one descriptor that can be given back to the system for a short while. */
export class ReserveDescriptor {
  readonly #calls: SystemCalls;
  #fd: number;

  constructor(calls: SystemCalls) {
    this.#calls = calls;
    this.#fd = calls.reserve();
  }

  /** Runs `task`, which takes and gives back one descriptor, with one more to be had. */
  spend(task: () => void): void {
    this.close();
    task();
    this.#fd = this.#calls.reserve();
  }

  close(): void {
    if (this.#fd >= 0) this.#calls.close(this.#fd);
    this.#fd = -1;
  }
}
