/** The selector of one simulated host. */

import type { Handle } from '../handle.ts';
import type { Batch, Selector } from '../selector.ts';

/** Edge-triggered like epoll: readiness is told when it begins, and once at registration for what is there already. */
export class SimulatedSelector implements Selector {
  readonly #readinessOf: (fd: number) => number;
  readonly #handles = new Map<number, Handle>();
  readonly #news = new Map<Handle, number>();
  #generation = 0;
  #wake: () => void = () => undefined;

  /** @param readinessOf tells what a descriptor is ready for now. */
  constructor(readinessOf: (fd: number) => number) {
    this.#readinessOf = readinessOf;
  }

  register(handle: Handle): void {
    handle.generation = ++this.#generation;
    this.#handles.set(handle.fd, handle);
    this.tell(handle.fd, this.#readinessOf(handle.fd));
  }

  deregister(handle: Handle): void {
    if (this.#handles.get(handle.fd) !== handle) return;
    this.#handles.delete(handle.fd);
    this.#news.delete(handle);
  }

  poll(batch: Batch): void {
    for (const [handle, readiness] of this.#news) {
      handle.readiness |= readiness;
      batch.add(handle);
    }
    this.#news.clear();
  }

  onReady(wake: () => void): void {
    this.#wake = wake;
  }

  setRef(): void {
    // A world ends when nothing is left to happen in it; nothing holds it up.
  }

  /** Forgets everything. */
  close(): void {
    this.#handles.clear();
    this.#news.clear();
    this.#wake = () => undefined;
  }

  /** Something has begun. Descriptors that nobody watches are passed over. */
  tell(fd: number, readiness: number): void {
    const handle = this.#handles.get(fd);
    if (handle === undefined || readiness === 0) return;
    this.#news.set(handle, (this.#news.get(handle) ?? 0) | readiness);
    this.#wake();
  }
}
