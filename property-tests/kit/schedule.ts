/** Moments in a simulated world: a number of milliseconds and then a number of turns. */

import type { World } from '../../reactor/simulated/world.ts';

/** A moment, relative to another one. */
export interface Moment {
  /** Milliseconds of virtual time. */
  readonly afterMs: number;
  /** The number of turns after that. They let two things of one millisecond happen in either order. */
  readonly turns: number;
}

/** One thing of a schedule. Its moment is relative to that of the thing before it. */
export interface Scheduled<T> extends Moment {
  readonly what: T;
}

/** Resolves at the given moment, counted from now. */
export async function until(world: World, { afterMs, turns }: Moment): Promise<void> {
  if (afterMs > 0) await world.sleep(afterMs);
  // Whatever was scheduled earlier for the same moment happens first.
  for (let turn = 0; turn < turns; turn++) await world.sleep(0);
}

/**
 * Follows a schedule: calls `act` for each thing at its moment. It does not wait for what `act` starts.
 * @returns a promise that resolves after the last call.
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
