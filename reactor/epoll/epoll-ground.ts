/** The ground with real descriptors and real time. */

import { systemClock } from '../clock.ts';
import type { Ground } from '../ground.ts';
import { lookUp } from '../addresses/look-up.ts';
import type { SystemCalls } from '../system-calls.ts';
import { EpollSelector } from './epoll-selector.ts';
import { libc } from './libc.ts';

/**
 * Makes the ground for a reactor over real sockets.
 * @param wrap wraps the system calls of sockets, for example to inject faults.
 * @throws {UnsupportedError} on a platform without epoll, or in a worker thread.
 */
export function epollGround(wrap: (calls: SystemCalls) => SystemCalls = (calls) => calls): Ground {
  return {
    clock: systemClock,
    selector: new EpollSelector(),
    calls: wrap(libc()),
    lookUp,
    defer: (task) => void setImmediate(task),
    wakeAt(at, task) {
      const timer = setTimeout(task, Math.min(LONGEST_MS, Math.max(1, Math.ceil(at - systemClock.now()))));
      timer.unref();
      return () => {
        clearTimeout(timer);
      };
    },
  };
}

// The longest delay of setTimeout. Waking early is harmless.
const LONGEST_MS = 2 ** 31 - 1;
