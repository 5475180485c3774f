/** A time that passes when it is told to. */
import type { TimeSource } from '../../../core/clock.ts';

/** `pass` lets so many milliseconds pass, and wakes whoever waits for them. */
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
