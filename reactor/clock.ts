/** The system's monotonic clock. */

import type { Clock } from '../core/clock.ts';

/** Milliseconds since the process started, with fractions. */
export const systemClock: Clock = { now: () => performance.now() };
