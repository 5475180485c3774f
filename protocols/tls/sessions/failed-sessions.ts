/**
 * The sessions with which connections of one context have failed, so that none is offered to the same server a second
 * time.
 */

/** Knows the last sessions that failed, by their id and where they were offered. */
export class FailedSessions {
  /** The one that failed last stands last. */
  readonly #failed = new Set<string>();

  /** @param id the session's id, in hexadecimal. @param server where it was offered. */
  add(id: string, server: string): void {
    const entry = `${id} ${server}`;
    this.#failed.delete(entry);
    this.#failed.add(entry);
    if (this.#failed.size > FAILED_AT_MOST)
      for (const oldest of this.#failed) {
        this.#failed.delete(oldest);
        break;
      }
  }

  has(id: string, server: string): boolean {
    return this.#failed.has(`${id} ${server}`);
  }
}

// As many as there are servers whose sessions are kept.
const FAILED_AT_MOST = 1_000;
