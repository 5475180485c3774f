/** A time source that only `pass` advances. */

import type { TimeSource } from '../../../core/clock.ts';

/** `pass` advances the time by `ms` milliseconds and calls each `wake` that is due. */
export function manualTime(): TimeSource & { pass(ms: number): void } {
  let now = 0;
  const alarms = new Map<() => void, number>();
  return {
    now: () => now,
    after: (ms, wake) => {
      alarms.set(wake, now + ms);
      return () => alarms.delete(wake);
    },
    pass: (ms) => {
      now += ms;
      for (const [wake, at] of alarms) if (at <= now && alarms.delete(wake)) wake();
    },
  };
}
