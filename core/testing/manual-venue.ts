/** A venue whose time and readiness change only when a test changes them. */

import { Deadlines } from '../deadlines.ts';
import type { Operation, Venue } from '../operation.ts';

/** A venue that a test controls. */
export class ManualVenue implements Venue {
  readonly deadlines: Deadlines;
  /** Whether the present turn allows no more starts. */
  exhausted = false;
  /** The operations that wait here. */
  readonly parked = new Set<Operation<unknown>>();
  /** How often an operation was parked. */
  parkings = 0;
  /** The argument of each call of `settled`: the error of the operation, or `undefined` if it succeeded. */
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

  /** Runs the next turn: resumes the operations that have yielded, but not those that wait for a want. */
  turn(): void {
    for (const operation of [...this.parked]) if (operation.want === null) this.#resume(operation);
  }

  /** Resumes all operations, as if their wants might be satisfied. */
  ready(): void {
    for (const operation of [...this.parked]) this.#resume(operation);
  }

  /** Moves the clock forward and expires the deadlines. */
  advance(ms: number): void {
    this.#now += ms;
    this.deadlines.expire(this.#now);
  }

  #resume(operation: Operation<unknown>): void {
    this.parked.delete(operation);
    operation.resume();
  }
}
