/** When things happen in a world: after how long, and how many turns later still. */

import type { World } from '../../reactor/simulated/world.ts';

/** A moment, counted from another one. */
export interface Moment {
  /** Milliseconds of virtual time. */
  readonly afterMs: number;
  /** How many turns later than that: two things of one millisecond may happen in either order. */
  readonly turns: number;
}

/** One thing of a schedule; its moment is counted from that of the thing before it. */
export interface Scheduled<T> extends Moment {
  readonly what: T;
}

/** Lets the world go on until `moment`. */
export async function until(world: World, { afterMs, turns }: Moment): Promise<void> {
  if (afterMs > 0) await world.sleep(afterMs);
  // What is due at the same moment and was there first has its turn first.
  for (let turn = 0; turn < turns; turn++) await world.sleep(0);
}

/**
 * Follows a schedule: calls `act` for each thing when its moment has come. It does not wait for what `act` has begun.
 * @returns resolves after the last one.
 */
export async function follow<T>(
  world: World,
  schedule: readonly Scheduled<T>[],
  act: (what: T) => void,
): Promise<void> {
  for (const { what, ...moment } of schedule) {
    await until(world, moment);
    act(what);
  }
}
