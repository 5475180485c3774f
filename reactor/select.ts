/** The operation `select`, like select(2). */

import type { Operation } from '../core/operation.ts';
import { checkArgument, partWith, signal, thing } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import { DONE, WANT_READ } from '../core/want.ts';
import type { StepCode } from '../core/want.ts';
import type { LoopStep } from './loop.ts';

/** An object that `select` can wait for: a connection or a listener. */
export interface Selectable {
  /** Whether a receive, or an accept, may succeed now. A closed object counts as ready, so that the caller notices. */
  readonly readableNow: boolean;
  /** Whether a send may succeed now. A closed object counts as ready. */
  readonly writableNow: boolean;
  /** @internal */
  watch(operation: Operation<unknown>): void;
  /** @internal */
  unwatch(operation: Operation<unknown>): void;
}

/** The sets to wait for. */
export interface Selection<R extends Selectable = Selectable, W extends Selectable = Selectable> {
  readonly read?: Iterable<R>;
  readonly write?: Iterable<W>;
}

const selectable = partWith('a connection or a listener', 'watch', 'unwatch');
const members = thing(
  'an iterable of connections and listeners',
  (value) => typeof value === 'object' && value !== null && Symbol.iterator in value,
);
export const SELECTION_RULES = { read: members, write: members } satisfies Rules<Selection>;

/** The options of `select` and `sleep`. */
export interface SelectOptions {
  /** Cancels the operation. */
  readonly signal?: AbortSignal | undefined;
}

export const SELECT_RULES = { signal } satisfies Rules<SelectOptions>;

/** The ready members, in the order in which they were given. */
export interface Selected<R extends Selectable = Selectable, W extends Selectable = Selectable> {
  readonly readable: R[];
  readonly writable: W[];
  /** Whether the time passed before any member became ready. */
  readonly timedOut: boolean;
}

/**
 * Waits until a member of either set is ready. The first attempt runs in the turn after the call, once the selector has
 * been polled.
 */
export class SelectStep<R extends Selectable, W extends Selectable> implements LoopStep<Selected<R, W>> {
  readonly name = 'select';
  readonly #read: readonly R[];
  readonly #write: readonly W[];
  #operation: Operation<unknown> | undefined;
  #readable: R[] = [];
  #writable: W[] = [];

  constructor(selection: Selection<R, W>) {
    this.#read = [...(selection.read ?? [])];
    this.#write = [...(selection.write ?? [])];
    for (const member of [...this.#read, ...this.#write]) checkArgument('select', 'a member', member, selectable);
  }

  runsIn(operation: Operation<unknown>): void {
    this.#operation = operation;
    for (const member of this.#read) member.watch(operation);
    for (const member of this.#write) member.watch(operation);
  }

  attempt(): StepCode {
    this.#readable = this.#read.filter((member) => member.readableNow);
    this.#writable = this.#write.filter((member) => member.writableNow);
    return this.progress() > 0 ? DONE : WANT_READ;
  }

  result(): Selected<R, W> {
    return { readable: this.#readable, writable: this.#writable, timedOut: this.progress() === 0 };
  }

  progress(): number {
    return this.#readable.length + this.#writable.length;
  }

  timedOut(): boolean {
    return true;
  }

  release(): void {
    const operation = this.#operation;
    if (operation === undefined) return;
    for (const member of this.#read) member.unwatch(operation);
    for (const member of this.#write) member.unwatch(operation);
  }
}
