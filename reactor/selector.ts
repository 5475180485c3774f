/** The seam between the reactor and whatever knows which descriptors are ready. */

import type { Handle } from './handle.ts';

/** Takes the handles that have news. */
export interface Batch {
  /** Adds a handle that has news. */
  add(handle: Handle): void;
}

/**
 * Tells which handles are ready.
 *
 * The contract: readiness is told once, when it begins (edge-triggered). `poll` adds it to the bits of the handle;
 * whoever uses the handle clears a bit when a call says that nothing is left, and only then will it be told again.
 * Spurious readiness is allowed, lost readiness is not. Every handle is told for both directions, all the time. After
 * `deregister` returns a handle is never told again, even if its news were already on the way.
 */
export interface Selector {
  /** Begins to watch. @throws {SystemError} with `EPERM` when such a descriptor cannot be watched. */
  register(handle: Handle): void;
  /** Stops watching; before the descriptor is closed. */
  deregister(handle: Handle): void;
  /** Sets the readiness of handles with news and adds them to `batch`. Never blocks. */
  poll(batch: Batch): void;
  /** Sets what to call, outside of any handler, when `poll` may have news. */
  onReady(wake: () => void): void;
  /** Whether waiting for news keeps the process alive. */
  setRef(ref: boolean): void;
  /** Gives its descriptors back. */
  close(): void;
}
