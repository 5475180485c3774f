/** The ready handles, each once, in the order in which they became ready. */

import type { Handle } from './handle.ts';
import type { Batch } from './selector.ts';

/** Two arrays that swap roles: while one is dispatched, the other collects handles for the next turn. */
export class ReadyQueue implements Batch {
  #filling: Handle[] = [];
  #draining: Handle[] = [];

  get length(): number {
    return this.#filling.length;
  }

  add(handle: Handle): void {
    if (handle.queued) return;
    handle.queued = true;
    this.#filling.push(handle);
  }

  /** Calls `use` for each handle that was added before this call. Handles that `use` adds wait for the next call. */
  drain(use: (handle: Handle) => void): void {
    const handles = this.#filling;
    this.#filling = this.#draining;
    this.#draining = handles;
    for (const handle of handles) {
      handle.queued = false;
      use(handle);
    }
    handles.length = 0;
  }
}
