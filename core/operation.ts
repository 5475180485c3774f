/** A running operation: a promise of its result that also shows itself while it runs. */

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

/** What every operation takes. */
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
  /** Does what can be done now. Throws when it cannot be done at all. */
  attempt(): StepCode | typeof YIELD;
  /** The result, once `attempt` has returned `DONE`. */
  result(): T;
  /** How far it has come: the index of the last byte sent, or the number of bytes gathered. */
  progress(): number;
  /** Hands over what was achieved, when it fails: called at most once. */
  handOver?(): Progress;
  /** Says that its limit has passed; `true` makes that a result instead of a failure. */
  timedOut?(): boolean;
  /** Gives back what it holds, once settled; after a failure its result was not taken. */
  release?(failed: boolean): void;
}

/** Where an operation waits: it knows the time, and wakes the operation when its want may be satisfied. */
export interface Venue {
  readonly deadlines: Deadlines;
  now(): number;
  /** Takes one of the starts of this turn. @returns whether one was left; without one, the operation begins in the next turn. */
  takeStart(): boolean;
  /**
   * Remember `operation`, and call its `resume` when its `want` may be satisfied; in the next turn when that is `null`.
   */
  park(operation: Operation<unknown>): void;
  /** `operation` is over; forget it. */
  settled(operation: Operation<unknown>, error?: Error): void;
}

/**
 * One handshake, send, receive, connect, accept, select or shutdown, from its start until it is settled. It starts
 * eagerly, and behaves as a Promise: `await` it, or call `then`, `catch` and `finally`. One that fails while nobody
 * looks surfaces as an unhandled rejection.
 */
export class Operation<T> implements Promise<T> {
  /** What it waits for; `null` while it does not wait. */
  want: Want | null = null;
  /** The moment when the present wait began, in the venue's milliseconds. */
  sinceMs = 0;

  /** What the transport had received when the present wait began, for the venue. @internal */
  receivedBefore = 0;

  readonly #step: Step<T>;
  readonly #venue: Venue;
  readonly #budget: TimeoutBudget;
  #signal: AbortSignal | undefined;
  #stopListening: (() => void) | undefined;
  #deadline: Deadline | undefined;
  #waitMode: TimeoutMode = 'block';
  /** Whether the turn was taken that even a limit of zero grants. */
  #hasLooked = false;
  #state: 'running' | 'fulfilled' | 'rejected' = 'running';
  #value: T | undefined;
  #error: Error | undefined;
  #promise: Promise<T> | undefined;
  #deferred: Deferred<T> | undefined;
  #progress: Subject<number> | undefined;

  /** @internal Operations are made by connections, listeners and reactors. */
  constructor(step: Step<T>, venue: Venue, timeouts: Timeouts, signal?: AbortSignal) {
    this.#step = step;
    this.#venue = venue;
    this.#budget = new TimeoutBudget(timeouts, limited(timeouts) ? venue.now() : 0);
    this.#signal = signal;
  }

  /** Begins; called once by the maker. @internal */
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

  /** The same as {@link last}, told whenever a wait begins or ends; it completes when the operation settles. */
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
   * Milliseconds that the present wait may still last, and the limit that will end it; `null` while it does not wait or
   * has no limit.
   */
  get remaining(): { ms: number; mode: TimeoutMode } | null {
    const deadline = this.#deadline;
    if (deadline === undefined || !deadline.armed) return null;
    return { ms: Math.max(0, deadline.at - this.#venue.now()), mode: this.#waitMode };
  }

  /**
   * The operation as an observable: it emits the result and completes, or fails with the operation's error.
   * Unsubscribing before that cancels the operation, for all who wait for it.
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

  /** Goes on after a want may have been satisfied. @internal */
  resume(): void {
    if (this.#state !== 'running') return;
    this.want = null;
    this.#drive();
  }

  /**
   * The one loop that every operation runs through: try, wait for exactly one thing, try again. One call is one attempt;
   * the venue waits, so that this knows neither sockets nor clocks.
   */
  #drive(): void {
    let code;
    let value;
    try {
      code = this.#step.attempt();
      // What the attempt set off, such as the end of its connection, may have settled it.
      if (this.settled) return;
      // A result may fail as well: text longer than a string can be, for one.
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
   * Waits for `want`, or fails when its limits leave no time. A limit of zero leaves one turn: the selector may not
   * have been asked since what is wanted came, and a connect to a near host is complete by then.
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
    // It may have been cancelled meanwhile, by an observer of the progress for one.
    if (this.#state === 'running') this.#venue.park(this);
  }

  /** Gives way after an attempt: goes on in the next turn, inside its total limit. */
  #yield(): void {
    if (this.#deadline !== undefined) this.#venue.deadlines.cancel(this.#deadline);
    // Giving way to others is no wait: a limit of zero allows it.
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
    // Nobody has looked yet. A rejected promise made now is reported by the process unless somebody looks in time.
    else this.#promise = Promise.reject(error);
    this.#cleanUp(error);
  }

  /** Rejects without having begun: nothing was done, nothing is handed over. @internal */
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
        // Told last, so that an observer may begin the next operation; told even if the venue's own observers throw.
        const progress = this.#progress;
        this.#progress = undefined;
        progress?.next(this.last);
        progress?.complete();
      }
    }
  }

  /**
   * Puts on `error` what was achieved. What cannot be handed over, for want of memory perhaps, must not keep the
   * failure from being told.
   */
  #handOver(error: WantioError): void {
    try {
      Object.assign(error, this.#step.handOver?.());
    } catch (thrown) {
      // An error that is its own cause could not be printed.
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

/** The two ends of a promise that somebody has asked for. */
interface Deferred<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Limits of a call over the defaults of its connection, limit by limit; one that is `undefined` was not given. */
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
