/** A descriptor in reserve, for the moment when the process has no others left. */

import type { SystemCalls } from '../system-calls.ts';

/** Holds one descriptor, which can be closed for a short time so that a task can use its number. */
export class ReserveDescriptor {
  readonly #calls: SystemCalls;
  #fd: number;

  constructor(calls: SystemCalls) {
    this.#calls = calls;
    this.#fd = calls.reserve();
  }

  /** Closes the reserved descriptor and runs `task`, which may open one and must close it again. */
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
