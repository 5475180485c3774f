/**
 * A running operation: a promise of its result, whose state can be seen while it runs. Long because the step, the venue
 * and the loop between them are one concept.
 */

import { Observable, Subject } from 'rxjs';

import type { Deadlines } from './deadlines.ts';
import { Deadline } from './deadlines.ts';
import { AbortError, OperationTimeoutError, WantioError } from './errors.ts';
import type { OperationName, Progress } from './errors.ts';
import { onAbort } from './on-abort.ts';
import { signal } from './options.ts';
import type { Rules } from './options.ts';
import { TimeoutBudget, timeoutsRule } from './timeouts.ts';
import type { TimeoutMode, Timeouts } from './timeouts.ts';
import { DONE, wantOf, YIELD } from './want.ts';
import type { StepCode, Want } from './want.ts';

/** The options that every operation takes. */
export interface OperationOptions {
  /** Cancels the operation; it rejects with an `AbortError` whose `cause` is the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Overrides the connection's defaults, limit by limit. */
  readonly timeouts?: Timeouts | undefined;
}

export const OPERATION_RULES = { signal, timeouts: timeoutsRule } satisfies Rules<OperationOptions>;

/** The work of an operation, in steps that never wait. */
export interface Step<T> {
  readonly name: OperationName;
  /** Does what can be done now, without waiting. Throws when the operation has failed. */
  attempt(): StepCode | typeof YIELD;
  /** Returns the result. Called after `attempt` has returned `DONE`. */
  result(): T;
  /** How far it has come: the index of the last byte sent, or the number of bytes gathered. */
  progress(): number;
  /** Returns what was achieved, for the error. Called at most once, when the operation fails. */
  handOver?(): Progress;
  /**
   * Called when a limit has passed. When it returns `true`, the operation succeeds with its result instead of failing.
   */
  timedOut?(): boolean;
  /** Releases its resources once the operation has settled. After a failure the result was not taken. */
  release?(failed: boolean): void;
}

/** The place where an operation waits. It has a clock, and resumes the operation when its want may be satisfied. */
export interface Venue {
  readonly deadlines: Deadlines;
  now(): number;
  /**
   * Counts one start in this turn.
   * @returns whether the turn allows it; otherwise the operation begins in the next turn.
   */
  takeStart(): boolean;
  /**
   * Keeps `operation`, and calls its `resume` when its `want` may be satisfied; in the next turn when the want is
   * `null`.
   */
  park(operation: Operation<unknown>): void;
  /** Forgets `operation`, which has settled. */
  settled(operation: Operation<unknown>, error?: Error): void;
}

/**
 * One handshake, send, receive, connect, accept, select or shutdown, from its start until it settles. It starts at
 * once, and behaves as a Promise: `await` it, or call `then`, `catch` and `finally`. If it fails and no handler is
 * attached, the process reports an unhandled rejection.
 */
export class Operation<T> implements Promise<T> {
  /** What it waits for; `null` while it does not wait. */
  want: Want | null = null;
  /** The moment when the present wait began, in the venue's milliseconds. */
  sinceMs = 0;

  /** How many bytes the transport had received when the present wait began. Used by the venue. @internal */
  receivedBefore = 0;

  readonly #step: Step<T>;
  readonly #venue: Venue;
  readonly #budget: TimeoutBudget;
  #signal: AbortSignal | undefined;
  #stopListening: (() => void) | undefined;
  #deadline: Deadline | undefined;
  #waitMode: TimeoutMode = 'block';
  /** Whether the operation has used the one extra turn that a limit of zero allows. */
  #hasLooked = false;
  #state: 'running' | 'fulfilled' | 'rejected' = 'running';
  #value: T | undefined;
  #error: Error | undefined;
  #promise: Promise<T> | undefined;
  #deferred: Deferred<T> | undefined;
  #progress: Subject<number> | undefined;

  /** @internal Connections, listeners and reactors create operations. */
  constructor(step: Step<T>, venue: Venue, timeouts: Timeouts, signal?: AbortSignal) {
    this.#step = step;
    this.#venue = venue;
    this.#budget = new TimeoutBudget(timeouts, limited(timeouts) ? venue.now() : 0);
    this.#signal = signal;
  }

  /** Begins. The creator calls this once. @internal */
  start(): this {
    if (this.#signal?.aborted === true) this.fail(new AbortError(this.name, this.#signal.reason));
    else if (this.#venue.takeStart()) this.#drive();
    else this.#giveWay();
    return this;
  }

  /** Begins in the next turn. @internal */
  startNextTurn(): this {
    this.#hasLooked = true;
    if (this.#signal?.aborted === true) this.fail(new AbortError(this.name, this.#signal.reason));
    else this.#giveWay();
    return this;
  }

  get name(): OperationName {
    return this.#step.name;
  }

  get settled(): boolean {
    return this.#state !== 'running';
  }

  /** How far it has come: the index of the last byte sent, or the number of bytes gathered. */
  get last(): number {
    return this.#step.progress();
  }

  /** Emits {@link last} whenever a wait begins or ends. Completes when the operation settles. */
  get progress$(): Observable<number> {
    return new Observable<number>((subscriber) => {
      if (this.settled) {
        subscriber.next(this.last);
        subscriber.complete();
        return undefined;
      }
      this.#progress ??= new Subject();
      return this.#progress.subscribe(subscriber);
    });
  }

  /**
   * How long the present wait may still last, in milliseconds, and which limit will end it. It is `null` while the
   * operation does not wait or has no limit.
   */
  get remaining(): { ms: number; mode: TimeoutMode } | null {
    const deadline = this.#deadline;
    if (deadline === undefined || !deadline.armed) return null;
    return { ms: Math.max(0, deadline.at - this.#venue.now()), mode: this.#waitMode };
  }

  /**
   * Returns the operation as an observable. It emits the result and completes, or fails with the operation's error.
   * Unsubscribing before that cancels the operation, also for other code that waits for it.
   */
  toObservable(): Observable<T> {
    return new Observable<T>((subscriber) => {
      this.then(
        (value) => {
          subscriber.next(value);
          subscriber.complete();
        },
        (error: unknown) => {
          subscriber.error(error);
        },
      );
      return () => {
        if (!this.settled) this.fail(new AbortError(this.name, new Error('its observable was unsubscribed')));
      };
    });
  }

  then<R = T, E = never>(
    onFulfilled?: ((value: T) => R | PromiseLike<R>) | null,
    onRejected?: ((reason: unknown) => E | PromiseLike<E>) | null,
  ): Promise<R | E> {
    return this.#asPromise().then(onFulfilled, onRejected);
  }

  catch<E = never>(onRejected?: ((reason: unknown) => E | PromiseLike<E>) | null): Promise<T | E> {
    return this.#asPromise().catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.#asPromise().finally(onFinally);
  }

  get [Symbol.toStringTag](): string {
    return 'Operation';
  }

  /** Tries again, because the want may have been satisfied. @internal */
  resume(): void {
    if (this.#state !== 'running') return;
    this.want = null;
    this.#drive();
  }

  /**
   * The one loop of every operation: try, wait for exactly one thing, try again. One call makes one attempt. The venue
   * does the waiting, so this class knows neither sockets nor clocks.
   */
  #drive(): void {
    let code;
    let value;
    try {
      code = this.#step.attempt();
      // The attempt may have settled the operation, for example by closing its connection.
      if (this.settled) return;
      // Making the result may fail too, for example when the text is longer than a string can be.
      if (code === DONE) value = this.#step.result();
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (code === DONE) this.succeed(value as T);
    else if (code === YIELD) this.#yield();
    else this.#wait(wantOf(code));
  }

  /**
   * Waits for `want`, or fails when the limits leave no time. A limit of zero allows one turn: the wanted bytes may
   * have come since the selector was last polled, and a connect to a near host is complete after one turn.
   */
  #wait(want: Want): void {
    if (this.#budget.isZero && !this.#hasLooked) {
      this.#hasLooked = true;
      this.#giveWay();
      return;
    }
    const now = this.#venue.now();
    this.want = want;
    this.sinceMs = now;
    if (!this.#budget.unlimited) {
      const budget = this.#budget.waitBudget(now);
      this.#waitMode = this.#budget.mode(now);
      if (budget <= 0) {
        this.#timeOut(this.#waitMode);
        return;
      }
      if (budget !== Infinity) {
        this.#deadline ??= new Deadline(this);
        this.#venue.deadlines.arm(this.#deadline, now + budget);
      }
    }
    this.#listenForAbort();
    this.#progress?.next(this.last);
    // It may have been cancelled by now, for example by an observer of the progress.
    if (this.#state === 'running') this.#venue.park(this);
  }

  /** Lets others run after an attempt, and continues in the next turn if the total limit allows. */
  #yield(): void {
    if (this.#deadline !== undefined) this.#venue.deadlines.cancel(this.#deadline);
    // Letting others run is not a wait, so a limit of zero allows it.
    if (!this.#budget.unlimited && !this.#budget.isZero) {
      const now = this.#venue.now();
      if (this.#budget.mode(now) === 'total' && this.#budget.waitBudget(now) <= 0) {
        this.#timeOut('total');
        return;
      }
    }
    this.#giveWay();
  }

  /** @internal The deadline of the present wait has passed. */
  expire(): void {
    this.#timeOut(this.#waitMode);
  }

  /** @internal */
  succeed(value: T): void {
    if (this.#state !== 'running') return;
    this.#state = 'fulfilled';
    this.#value = value;
    this.#deferred?.resolve(value);
    this.#cleanUp();
  }

  /** @internal */
  fail(error: Error): void {
    if (this.#state !== 'running') return;
    this.#state = 'rejected';
    this.#error = error;
    if (error instanceof WantioError) {
      error.operation ??= this.name;
      this.#handOver(error);
    }
    if (this.#deferred !== undefined) this.#deferred.reject(error);
    // No handler is attached yet. Node reports the rejection unless one is attached in time.
    else this.#promise = Promise.reject(error);
    this.#cleanUp(error);
  }

  /** Rejects before the operation has begun: nothing was done, so the error carries no progress. @internal */
  refuse(error: WantioError): this {
    this.#state = 'rejected';
    this.#error = error;
    error.operation ??= this.name;
    this.#promise = Promise.reject(error);
    return this;
  }

  #giveWay(): void {
    this.#listenForAbort();
    if (this.#state === 'running') this.#venue.park(this);
  }

  #timeOut(mode: TimeoutMode): void {
    if (this.#step.timedOut?.() === true) {
      this.succeed(this.#step.result());
      return;
    }
    this.fail(new OperationTimeoutError(this.name, mode, this.#budget.limitMs(mode), this.want));
  }

  #cleanUp(error?: Error): void {
    this.want = null;
    if (this.#deadline !== undefined) this.#venue.deadlines.cancel(this.#deadline);
    this.#stopListening?.();
    this.#stopListening = this.#signal = undefined;
    try {
      this.#step.release?.(error !== undefined);
    } finally {
      try {
        this.#venue.settled(this, error);
      } finally {
        // Emitted last, so that an observer may begin the next operation. Emitted even if the venue's observers throw.
        const progress = this.#progress;
        this.#progress = undefined;
        progress?.next(this.last);
        progress?.complete();
      }
    }
  }

  /**
   * Puts the progress on `error`. If that fails, for example for lack of memory, the operation must still reject with
   * `error`.
   */
  #handOver(error: WantioError): void {
    try {
      Object.assign(error, this.#step.handOver?.());
    } catch (thrown) {
      // An error that is its own cause cannot be printed.
      if (thrown !== error) error.cause ??= thrown;
    }
  }

  #listenForAbort(): void {
    const signal = this.#signal;
    if (signal === undefined || this.#stopListening !== undefined) return;
    const abort = (): void => {
      this.fail(new AbortError(this.name, signal.reason));
    };
    // A signal that fired during the attempt does not fire again.
    if (signal.aborted) abort();
    else this.#stopListening = onAbort(signal, abort);
  }

  #asPromise(): Promise<T> {
    if (this.#promise !== undefined) return this.#promise;
    if (this.#state === 'fulfilled') return (this.#promise = Promise.resolve(this.#value as T));
    if (this.#state === 'rejected') return (this.#promise = Promise.reject(this.#error));
    return (this.#promise = new Promise<T>((resolve, reject) => {
      this.#deferred = { resolve, reject };
    }));
  }
}

/** The functions that settle a promise that a caller has asked for. */
interface Deferred<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Overrides the connection's default limits with those of a call, limit by limit. `undefined` means not given. */
export function mergeTimeouts(defaults: Timeouts, given: Timeouts | undefined): Timeouts {
  if (given === undefined) return defaults;
  return {
    blockMs: given.blockMs ?? defaults.blockMs,
    totalMs: given.totalMs ?? defaults.totalMs,
  };
}

function limited(timeouts: Timeouts): boolean {
  return timeouts.blockMs !== undefined || timeouts.totalMs !== undefined;
}
