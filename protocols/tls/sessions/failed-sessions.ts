/**
 * The sessions of one context that have made a connection fail, so that none is offered to the same server again.
 */

/** Remembers the latest failed sessions by their id and the server to which they were offered. */
export class FailedSessions {
  /** In the order of the failures, the latest last. */
  readonly #failed = new Set<string>();

  /** @param id the session's id, in hexadecimal. @param server the server to which it was offered. */
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

// The same as the default number of servers whose sessions are kept (`maxServers`).
const FAILED_AT_MOST = 1_000;
