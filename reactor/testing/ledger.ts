/** A book of descriptors: what was opened must be closed, once. */

import { passOn } from '../system-calls.ts';
import type { SystemCalls } from '../system-calls.ts';

/** Passes every call on, and keeps account of the descriptors that it gives and takes. */
export class Ledger {
  /** The descriptors that are open now. */
  readonly open = new Set<number>();
  /** Descriptors that were closed although they were not open. */
  readonly closedTwice: number[] = [];
  /** How many were opened in all. */
  opened = 0;

  /** @returns `calls`, accounted for. */
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
