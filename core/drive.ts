/** The one loop that every operation runs through: try, wait for exactly one thing, try again. */

import type { Operation, Step } from './operation.ts';
import { DONE, wantOf, YIELD } from './want.ts';

/**
 * Drives `operation` one attempt further. It is called when the operation starts and whenever what it wanted may have
 * come; the waiting in between is the venue's, so that this loop knows neither sockets nor clocks.
 */
export function drive<T>(operation: Operation<T>, step: Step<T>): void {
  let code;
  let value;
  try {
    code = step.attempt();
    // What the attempt set off, such as the end of its connection, may have settled it.
    if (operation.settled) return;
    // A result may fail as well: text longer than a string can be, for one.
    if (code === DONE) value = step.result();
  } catch (error) {
    operation.fail(error instanceof Error ? error : new Error(String(error)));
    return;
  }
  if (code === DONE) operation.succeed(value as T);
  else if (code === YIELD) operation.yield();
  else operation.wait(wantOf(code));
}
