/** A place for operations to wait in whose time and readiness stand still until a test moves them. */

import { Deadlines } from '../deadlines.ts';
import type { Operation, Venue } from '../operation.ts';

/** A venue by hand. */
export class ManualVenue implements Venue {
  readonly deadlines: Deadlines;
  exhausted = false;
  /** The operations that wait here. */
  readonly parked = new Set<Operation<unknown>>();
  /** How often an operation was parked. */
  parkings = 0;
  /** What was told of each settled operation: its error, if it failed. */
  readonly settlements: (Error | undefined)[] = [];
  #now: number;

  constructor(now = 0) {
    this.#now = now;
    this.deadlines = new Deadlines(now);
  }

  now(): number {
    return this.#now;
  }

  takeStart(): boolean {
    return !this.exhausted;
  }

  park(operation: Operation<unknown>): void {
    this.parkings++;
    this.parked.add(operation);
  }

  settled(operation: Operation<unknown>, error?: Error): void {
    this.parked.delete(operation);
    this.settlements.push(error);
  }

  /** The next turn: resumes what gave way, and leaves what wants something. */
  turn(): void {
    for (const operation of [...this.parked]) if (operation.want === null) this.#resume(operation);
  }

  /** Lets every want be satisfied, perhaps. */
  ready(): void {
    for (const operation of [...this.parked]) this.#resume(operation);
  }

  /** Lets time pass and tells the deadlines. */
  advance(ms: number): void {
    this.#now += ms;
    this.deadlines.expire(this.#now);
  }

  #resume(operation: Operation<unknown>): void {
    this.parked.delete(operation);
    operation.resume();
  }
}
