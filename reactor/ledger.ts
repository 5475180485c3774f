/** A ledger of descriptors, which shows whether each was closed exactly once. */

import { passOn } from './system-calls.ts';
import type { SystemCalls } from './system-calls.ts';

/** Passes every system call on, and records which descriptors it opens and closes. */
export class Ledger {
  /** The descriptors that are open now. */
  readonly open = new Set<number>();
  /** Descriptors that were closed although they were not open. */
  readonly closedTwice: number[] = [];
  /** How many descriptors were opened in total. */
  opened = 0;

  /** @returns `calls` with recording. */
  wrap(calls: SystemCalls): SystemCalls {
    const enter = (fd: number): number => {
      if (fd >= 0) {
        this.open.add(fd);
        this.opened++;
      }
      return fd;
    };
    return {
      ...passOn(calls),
      socket: (family) => enter(calls.socket(family)),
      accept: (fd, peer) => enter(calls.accept(fd, peer)),
      reserve: () => enter(calls.reserve()),
      lock: (path) => enter(calls.lock(path)),
      close: (fd) => {
        if (!this.open.delete(fd)) this.closedTwice.push(fd);
        return calls.close(fd);
      },
    };
  }
}
