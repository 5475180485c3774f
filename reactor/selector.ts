/** The interface between the reactor and the source of readiness, such as epoll. */

import type { Handle } from './handle.ts';

/** Collects the ready handles of one poll. */
export interface Batch {
  /** Adds a handle that has news. */
  add(handle: Handle): void;
}

/**
 * Reports which handles are ready.
 *
 * The contract: readiness is reported once, when it begins (edge-triggered). `poll` sets the bits of the handle. The
 * user of the handle clears a bit when a system call shows that nothing is left; only then is that readiness reported
 * again. Spurious readiness is allowed, lost readiness is not. Every handle is always watched for both directions.
 * After `deregister` returns, a handle is never reported again, even if an event for it was already pending.
 */
export interface Selector {
  /** Begins to watch `handle`. @throws {SystemError} such as `EPERM` when this kind of descriptor cannot be watched. */
  register(handle: Handle): void;
  /** Stops watching `handle`. Must be called before its descriptor is closed. */
  deregister(handle: Handle): void;
  /** Sets the readiness of newly ready handles and adds them to `batch`. Never blocks. */
  poll(batch: Batch): void;
  /** Sets the function to call, outside of any handler, when `poll` may find ready handles. */
  onReady(wake: () => void): void;
  /** Sets whether waiting for readiness keeps the process alive. */
  setRef(ref: boolean): void;
  /** Gives its descriptors back. */
  close(): void;
}
