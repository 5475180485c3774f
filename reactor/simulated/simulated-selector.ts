/** The selector of one simulated host. */

import type { Handle } from '../handle.ts';
import type { Batch, Selector } from '../selector.ts';

/**
 * Edge-triggered like epoll: it reports a readiness when the readiness begins, or at registration if the descriptor is
 * ready already.
 */
export class SimulatedSelector implements Selector {
  readonly #readinessOf: (fd: number) => number;
  readonly #handles = new Map<number, Handle>();
  readonly #pending = new Map<Handle, number>();
  #generation = 0;
  #wake: () => void = () => undefined;

  /** @param readinessOf returns the present readiness of a descriptor. */
  constructor(readinessOf: (fd: number) => number) {
    this.#readinessOf = readinessOf;
  }

  register(handle: Handle): void {
    handle.generation = ++this.#generation;
    this.#handles.set(handle.fd, handle);
    this.report(handle.fd, this.#readinessOf(handle.fd));
  }

  deregister(handle: Handle): void {
    if (this.#handles.get(handle.fd) !== handle) return;
    this.#handles.delete(handle.fd);
    this.#pending.delete(handle);
  }

  poll(batch: Batch): void {
    for (const [handle, readiness] of this.#pending) {
      handle.readiness |= readiness;
      batch.add(handle);
    }
    this.#pending.clear();
  }

  onReady(wake: () => void): void {
    this.#wake = wake;
  }

  setRef(): void {
    // A simulated world ends when its agenda is empty. Nothing keeps it alive.
  }

  /** Drops everything. */
  close(): void {
    this.#handles.clear();
    this.#pending.clear();
    this.#wake = () => undefined;
  }

  /** Reports readiness that has begun. Ignores descriptors that are not registered. */
  report(fd: number, readiness: number): void {
    const handle = this.#handles.get(fd);
    if (handle === undefined || readiness === 0) return;
    this.#pending.set(handle, (this.#pending.get(handle) ?? 0) | readiness);
    this.#wake();
  }
}
