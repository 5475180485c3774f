/**
 * The select-style loop.
 *
 * Theory of operation. A turn asks the selector for new readiness, dispatches each ready handle once, resumes the
 * operations that yielded or were woken, and expires deadlines. A turn runs when the selector wakes the loop, when the
 * timer of the next deadline fires, or in the next iteration of Node's event loop while work is left. It asks the
 * selector first, even when only a deadline is due. So data that arrived while the process was busy win over the
 * deadline. An exception of a handler ends neither the turn nor the loop. A turn is one macrotask, so the continuations
 * of the promises that it settles run after it and before the next turn.
 */

import { setMaxListeners } from 'node:events';

import { Deadline, Deadlines } from '../core/deadlines.ts';
import { Operation } from '../core/operation.ts';
import type { OperationOptions, Step, Venue } from '../core/operation.ts';
import type { Ground } from './ground.ts';
import { guarded, surface } from './guarded.ts';
import type { Handle } from './handle.ts';
import { ReadyQueue } from './ready-queue.ts';
import { Roster } from './roster.ts';
import type { OpenConnection, RosterKinds } from './roster.ts';

/** The step of an operation that belongs to no connection. It must wake its operation itself. */
export interface LoopStep<T> extends Step<T> {
  /** Called once, before the first attempt. */
  runsIn(operation: Operation<unknown>): void;
}

/**
 * Runs the turns, keeps the time, and keeps the process alive. Connections and listeners use it; users see the reactor.
 */
export class Loop implements Venue {
  readonly ground: Ground;
  readonly deadlines: Deadlines;
  readonly roster = new Roster();
  /** How many turns have run. */
  turns = 0;

  readonly #onSpin: (connection: OpenConnection) => void;
  readonly #queue = new ReadyQueue();
  readonly #parked = new Set<Operation<unknown>>();
  readonly #yielded: Operation<unknown>[] = [];
  readonly #drain = new AbortController();
  #handshakeSteps = 0;
  /** How many things are open: connections, listeners, operations and others. */
  #holds = 0;
  /** How many of these let the process exit. */
  #unrefs = 0;
  #ref = true;
  #scheduled = false;
  #timerAt = Infinity;
  #cancelTimer: () => void = () => undefined;
  #isStopped = false;
  #onIdle: () => void = () => undefined;

  /** @param onSpin called when a connection was ready 64 times and no handler did any input or output. */
  constructor(ground: Ground, onSpin: (connection: OpenConnection) => void) {
    this.ground = ground;
    this.#onSpin = onSpin;
    this.deadlines = new Deadlines(ground.clock.now(), (at) => {
      if (at < this.#timerAt) this.#setTimer(at);
    });
    // Every handler of a server may listen to this signal, and Node would warn of a leak.
    setMaxListeners(0, this.#drain.signal);
    ground.selector.onReady(() => {
      this.#schedule();
    });
  }

  /** The ground's monotonic time in milliseconds. */
  now(): number {
    return this.ground.clock.now();
  }

  /** Runs `task` after `ms` milliseconds. @returns a function that cancels it. */
  after(ms: number, task: () => void): () => void {
    if (ms === Infinity) return () => undefined;
    const deadline = new Deadline({ expire: task });
    this.deadlines.arm(deadline, this.now() + ms);
    return () => {
      this.deadlines.cancel(deadline);
    };
  }

  /** Gives `handle` a place in the next turn. */
  enqueue(handle: Handle): void {
    this.#queue.add(handle);
    this.#schedule();
  }

  /**
   * Counts one handshake step in this turn; each takes some hundred microseconds.
   * @returns whether the turn allows it.
   */
  takeHandshakeStep(): boolean {
    return this.#handshakeSteps-- > 0;
  }

  reportSpin(connection: OpenConnection): void {
    guarded(() => {
      this.#onSpin(connection);
    });
  }

  // Operations that belong to no connection.

  /** Starts an operation. */
  run<T>(step: LoopStep<T>, options: OperationOptions): Operation<T> {
    return this.#adopt(step, options).start();
  }

  /** Starts an operation in the next turn, after the selector was polled. */
  runNextTurn<T>(step: LoopStep<T>, options: OperationOptions): Operation<T> {
    return this.#adopt(step, options).startNextTurn();
  }

  #adopt<T>(step: LoopStep<T>, options: OperationOptions): Operation<T> {
    const operation = new Operation(step, this, options.timeouts ?? {}, options.signal);
    step.runsIn(operation);
    this.opened('operation', operation);
    return operation;
  }

  takeStart(): boolean {
    return true;
  }

  park(operation: Operation<unknown>): void {
    if (operation.want !== null) {
      this.#parked.add(operation);
      return;
    }
    this.#yielded.push(operation);
    this.#schedule();
  }

  settled(operation: Operation<unknown>): void {
    this.#parked.delete(operation);
    this.closed('operation', operation);
  }

  /** Resumes a parked operation, after the handles of this turn. */
  wake(operation: Operation<unknown>): void {
    if (!this.#parked.delete(operation)) return;
    this.#yielded.push(operation);
    this.#schedule();
  }

  // Open things, and keeping the process alive.

  opened<K extends keyof RosterKinds>(kind: K, part: RosterKinds[K]): void {
    this.roster.add(kind, part);
    this.hold();
  }

  closed<K extends keyof RosterKinds>(kind: K, part: RosterKinds[K]): void {
    if (this.roster.delete(kind, part)) this.release();
  }

  /** Keeps the process alive until {@link release}. */
  hold(): void {
    if (this.#holds++ === this.#unrefs) this.#applyRef();
  }

  release(): void {
    if (--this.#holds === this.#unrefs) this.#applyRef();
    if (this.#holds === 0) this.#onIdle();
  }

  /** Sets whether one of the open things keeps the process alive. */
  countRef(isRef: boolean): void {
    this.#unrefs += isRef ? -1 : 1;
    this.#applyRef();
  }

  /** Sets whether this loop may keep the process alive at all. */
  setRef(isRef: boolean): void {
    this.#ref = isRef;
    this.#applyRef();
  }

  // The end.

  /** Aborted when draining begins. */
  get draining(): AbortSignal {
    return this.#drain.signal;
  }

  /** @param reason the reason of the `draining` signal. */
  beginDraining(reason: Error): void {
    this.#drain.abort(reason);
  }

  /** Resolves when nothing is open. */
  whenIdle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#holds === 0) resolve();
      else this.#onIdle = resolve;
    });
  }

  /** Ends the loop. No turn runs after that. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
    this.ground.selector.close();
  }

  #applyRef(): void {
    if (!this.#isStopped) this.ground.selector.setRef(this.#ref && this.#holds > this.#unrefs);
  }

  #schedule(): void {
    if (this.#scheduled || this.#isStopped) return;
    this.#scheduled = true;
    this.ground.defer(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#isStopped) return;
    this.turns++;
    this.#handshakeSteps = HANDSHAKE_STEPS;
    this.ground.selector.poll(this.#queue);
    this.#queue.drain(dispatch);
    if (this.#yielded.length > 0) for (const operation of this.#yielded.splice(0)) resume(operation);
    if (this.deadlines.size > 0) this.#expire();
    if (this.#queue.length > 0 || this.#yielded.length > 0) this.#schedule();
  };

  #expire(): void {
    const now = this.now();
    // An exception ends the call of `expire`. The next call expires the other deadlines.
    for (let complete = false; !complete;) {
      try {
        this.deadlines.expire(now);
        complete = true;
      } catch (error) {
        surface(error);
      }
    }
    const next = this.deadlines.nextAt();
    if (next < this.#timerAt) this.#setTimer(next);
  }

  #setTimer(at: number): void {
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = this.ground.wakeAt(at, () => {
      this.#timerAt = Infinity;
      this.#turn();
      if (this.#timerAt === Infinity && this.deadlines.size > 0) this.#setTimer(this.deadlines.nextAt());
    });
  }
}

function dispatch(handle: Handle): void {
  try {
    handle.owner?.dispatch();
  } catch (error) {
    surface(error);
  }
}

function resume(operation: Operation<unknown>): void {
  try {
    operation.resume();
  } catch (error) {
    surface(error);
  }
}

// Together about ten milliseconds of work.
const HANDSHAKE_STEPS = 32;
