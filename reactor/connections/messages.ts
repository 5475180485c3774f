/** The iteration over the messages that a connection receives. */

import { ClosedError } from '../../core/errors.ts';
import type { Operation } from '../../core/operation.ts';
import type { Pattern } from '../../core/pattern.ts';
import type { ReceiveOptions } from './connection-options.ts';
import type { Slots } from './slots.ts';

/** The connection whose messages these are. */
export interface MessageSource {
  /** Begins a receive by `pattern`. */
  receiveBy<T>(pattern: Pattern<T>, options: ReceiveOptions | undefined): Operation<T>;
  unread(bytes: Uint8Array): void;
}

/**
 * An async generator of messages. A message that has come whole costs no operation: it is taken from the received bytes
 * at once. Only when there is none, a receive waits for it, or reports why none can come. So the errors, the limits and
 * the turns of other connections are those of receives.
 */
export class Messages<T> implements AsyncGenerator<T, void, undefined> {
  readonly #source: MessageSource;
  readonly #slots: Slots;
  readonly #pattern: Pattern<T>;
  readonly #options: ReceiveOptions | undefined;
  readonly #maxBytes: number;
  #isOver = false;
  /** The latest call that has not settled. Calls run one after the other. */
  #running: Promise<unknown> | undefined;

  constructor(source: MessageSource, slots: Slots, pattern: Pattern<T>, options: ReceiveOptions | undefined) {
    this.#source = source;
    this.#slots = slots;
    this.#pattern = pattern;
    this.#options = options;
    this.#maxBytes = options?.maxBytes ?? pattern.defaultMaxBytes;
  }

  next(): Promise<IteratorResult<T, void>> {
    if (this.#running === undefined && !this.#isOver) {
      const message = this.#taken();
      if (message !== NONE) return Promise.resolve({ done: false, value: message });
    }
    return this.#afterRunning(() => this.#received());
  }

  return(): Promise<IteratorResult<T, void>> {
    return this.#afterRunning(() => {
      this.#isOver = true;
      return Promise.resolve(OVER);
    });
  }

  throw(error: unknown): Promise<IteratorResult<T, void>> {
    return this.#afterRunning(() => {
      this.#isOver = true;
      return Promise.reject(error);
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #afterRunning(run: () => Promise<IteratorResult<T, void>>): Promise<IteratorResult<T, void>> {
    const settles = async (previous: Promise<unknown> | undefined): Promise<IteratorResult<T, void>> => {
      try {
        if (previous !== undefined) await previous.catch(() => undefined);
        return await run();
      } finally {
        if (this.#running === running) this.#running = undefined;
      }
    };
    const running = settles(this.#running);
    return (this.#running = running);
  }

  /** @returns the next message if all of it has come. Whatever is not as it should be is left to a receive. */
  #taken(): T | typeof NONE {
    const { state, receiving, inflow } = this.#slots;
    if (state !== 'open' || receiving !== undefined || inflow.input.length === 0) return NONE;
    if (this.#options?.signal?.aborted === true) return NONE;
    try {
      const count = this.#pattern.measure(inflow.input, false, this.#maxBytes);
      return count < 0 ? NONE : this.#pattern.take(inflow.input, count);
    } catch {
      // The bytes are still there, so the receive fails in the same way.
      return NONE;
    }
  }

  async #received(): Promise<IteratorResult<T, void>> {
    if (this.#isOver) return OVER;
    try {
      return { done: false, value: await this.#source.receiveBy(this.#pattern, this.#options) };
    } catch (error) {
      this.#isOver = true;
      const partial = error instanceof Error && 'partial' in error ? (error.partial as Uint8Array) : undefined;
      if (error instanceof ClosedError && this.#slots.inflow.ended && partial?.length === 0) return OVER;
      if (partial !== undefined) this.#source.unread(partial);
      throw error;
    }
  }
}

const NONE = Symbol('no message');
const OVER: IteratorReturnResult<void> = { done: true, value: undefined };
