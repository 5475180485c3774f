/** A session store that asks a session server. */

import { checkArgument, checkOptions, count, finiteSpan, required, text } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { checkTarget } from '../../../reactor/addresses/address.ts';
import type { Connection } from '../../../reactor/connections/connection.ts';
import { reactorRule } from '../../../reactor/reactor-rule.ts';
import type { Reactor } from '../../../reactor/reactor.ts';
import { FrameChannel } from './session-server-channel.ts';
import { decodeAnswer, encodeRequest } from './session-server-frame.ts';
import type { StoreAnswer, StoreRequest } from './session-server-frame.ts';
import { checkEntry, checkKey } from '../store-entry.ts';
import { closedStore, StoreError, storeError } from '../store-error.ts';
import { users as usersRule } from '../store-rules.ts';
import type { TakingSessionStore } from '../store.ts';

/** The options of {@link SessionServerStore}. */
export interface SessionServerStoreOptions {
  /** The server's socket file. */
  readonly path: string;
  /** How long one request may take, including the connection, in milliseconds; 1 second by default. */
  readonly timeoutMs?: number | undefined;
  /** How many requests may be under way; 1024 by default. One more fails with the reason `'busy'`. */
  readonly maxPending?: number | undefined;
  /** The ids of the users whose servers are trusted; by default only the user of this process. */
  readonly users?: readonly number[] | undefined;
}

export const SERVER_STORE_RULES = {
  path: required(text),
  timeoutMs: finiteSpan,
  maxPending: count(1),
  users: usersRule,
} satisfies Rules<SessionServerStoreOptions>;

/**
 * Asks a `SessionServer` over one connection, which carries many requests at a time. It connects at the first request
 * and stays connected. The connection keeps the reactor running until {@link close} or a drain.
 *
 * When the connection breaks, all requests under way fail, because their outcome is unknown. The next request connects
 * again: at once if the broken connection had answered, otherwise after a pause that grows from 20 milliseconds to 2
 * seconds. During the pause requests fail at once. When a request times out and no answer has arrived since it was
 * made, the connection is closed.
 */
export class SessionServerStore implements TakingSessionStore {
  readonly #reactor: Reactor;
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #maxPending: number;
  readonly #users: ReadonlySet<number>;
  readonly #pending = new Map<number, PendingRequest>();
  #channel: FrameChannel | undefined;
  #isConnecting = false;
  /** When the last answer arrived on the present connection. */
  #heardAt = -Infinity;
  #pauseMs = 0;
  #retryAt = -Infinity;
  #nextId = 0;
  #closed = false;
  readonly #drain = (): void => {
    void this.close();
  };

  /** @throws {TypeError | RangeError} when an option is unknown or invalid. */
  constructor(reactor: Reactor, options: SessionServerStoreOptions) {
    checkArgument('new SessionServerStore', 'the reactor', reactor, reactorRule);
    checkOptions('new SessionServerStore', options, SERVER_STORE_RULES);
    const { path, timeoutMs = TIMEOUT_MS, maxPending = PENDING, users } = options;
    checkTarget({ path });
    this.#reactor = reactor;
    this.#path = path;
    this.#timeoutMs = timeoutMs;
    this.#maxPending = maxPending;
    this.#users = new Set(users ?? [process.getuid?.() ?? 0]);
    reactor.draining.addEventListener('abort', this.#drain);
  }

  /** @throws {RangeError} when the key is invalid; {StoreError} when there is no answer. */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    const answer = await this.#request({ kind: 'get', key });
    return answer.kind === 'value' ? answer.value : undefined;
  }

  /**
   * Only one client of the server gets the session. The session is lost if the answer is too late.
   * @throws {RangeError} when the key is invalid; {StoreError} when there is no answer, or the server's store failed.
   */
  async take(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    const answer = await this.#request({ kind: 'take', key });
    return answer.kind === 'value' ? answer.value : undefined;
  }

  /**
   * @throws {RangeError} when an argument is invalid; {StoreError} when there is no answer, or the server's store
   * failed.
   */
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    checkEntry(key, value, ttlMs);
    await this.#request({ kind: 'set', key, value, ttlMs });
  }

  /**
   * @throws {RangeError} when the key is invalid; {StoreError} when there is no answer, or the server's store failed.
   */
  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#request({ kind: 'remove', key });
  }

  /** Closes the connection. Requests under way fail with the reason `'closed'`. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#reactor.draining.removeEventListener('abort', this.#drain);
    const channel = this.#channel;
    this.#channel = undefined;
    this.#failAll(closedStore());
    await channel?.connection.close();
  }

  #request(request: StoreRequest): Promise<StoreAnswer> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const id = this.#takeId();
    return new Promise((resolve, reject) => {
      const cancel = this.#reactor.after(this.#timeoutMs, () => {
        this.#expire(id);
      });
      const pending: PendingRequest = {
        frame: encodeRequest(id, request),
        isFor: request.kind,
        askedAt: this.#reactor.now(),
        resolve,
        reject,
        cancel,
      };
      this.#pending.set(id, pending);
      if (this.#channel !== undefined) void this.#channel.send(pending.frame);
      else if (!this.#isConnecting) void this.#connect();
    });
  }

  #refusal(): StoreError | undefined {
    if (this.#closed) return closedStore();
    if (Math.max(this.#pending.size, this.#channel?.waiting ?? 0) >= this.#maxPending)
      return new StoreError(
        'busy',
        `${String(this.#maxPending)} requests to the session server are under way (option maxPending)`,
      );
    const pauseMs = this.#retryAt - this.#reactor.now();
    if (this.#channel === undefined && !this.#isConnecting && pauseMs > 0)
      return new StoreError(
        'failed',
        `the session server at ${this.#path} cannot be reached; the next attempt is possible in ${String(Math.ceil(pauseMs))} ms`,
      );
    return undefined;
  }

  #takeId(): number {
    do this.#nextId = (this.#nextId + 1) >>> 0;
    while (this.#pending.has(this.#nextId));
    return this.#nextId;
  }

  async #connect(): Promise<void> {
    this.#isConnecting = true;
    let connection: Connection | undefined;
    try {
      connection = await this.#reactor.connect({ path: this.#path, timeouts: { totalMs: this.#timeoutMs } });
      this.#isConnecting = false;
      if (this.#closed) {
        connection.abort();
        return;
      }
      const owner = connection.peerCredentials?.uid;
      if (owner === undefined || !this.#users.has(owner))
        throw new StoreError(
          'failed',
          `the session server at ${this.#path} is run by user ${String(owner ?? 'unknown')}, who is not trusted (option users)`,
        );
      const channel = new FrameChannel(connection);
      this.#channel = channel;
      this.#heardAt = -Infinity;
      for (const { frame } of this.#pending.values()) void channel.send(frame);
      void this.#listen(channel);
    } catch (error) {
      this.#isConnecting = false;
      connection?.abort();
      this.#pause();
      this.#failAll(storeError(`connecting to the session server at ${this.#path}`, error));
    }
  }

  async #listen(channel: FrameChannel): Promise<void> {
    let reason: unknown = new Error('it closed the connection');
    try {
      for await (const body of channel.bodies()) {
        if (channel !== this.#channel) return;
        const { id, answer } = decodeAnswer(body);
        this.#heardAt = this.#reactor.now();
        this.#pauseMs = 0;
        this.#settle(id, answer);
      }
    } catch (error) {
      reason = error;
    }
    this.#lose(channel, reason);
  }

  /** Closes a broken connection. Its requests fail and are not retried, because the server may have executed them. */
  #lose(channel: FrameChannel, reason: unknown): void {
    if (channel !== this.#channel) return;
    this.#channel = undefined;
    if (this.#heardAt === -Infinity || this.#pauseMs > 0) this.#pause();
    channel.connection.abort();
    this.#failAll(storeError(`the session server at ${this.#path}`, reason));
  }

  #pause(): void {
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, this.#pauseMs * 2));
    this.#retryAt = this.#reactor.now() + this.#pauseMs;
  }

  #settle(id: number, answer: StoreAnswer): void {
    const pending = this.#forget(id);
    if (pending === undefined) return;
    if (answer.kind === 'failed')
      pending.reject(new StoreError(answer.reason, `the session server's store failed (${answer.reason})`));
    else if ((answer.kind === 'done') === (pending.isFor === 'get' || pending.isFor === 'take'))
      pending.reject(new StoreError('failed', 'the session server sent an answer of the wrong kind'));
    else pending.resolve(answer);
  }

  #expire(id: number): void {
    const pending = this.#forget(id);
    if (pending === undefined) return;
    pending.reject(
      new StoreError('timeout', `the session server at ${this.#path} did not answer in ${String(this.#timeoutMs)} ms`),
    );
    if (this.#channel === undefined || this.#heardAt >= pending.askedAt) return;
    this.#pauseMs = Math.max(this.#pauseMs, 1);
    this.#lose(this.#channel, new Error('it does not answer'));
  }

  #failAll(error: Error): void {
    for (const id of [...this.#pending.keys()]) this.#forget(id)?.reject(error);
  }

  #forget(id: number): PendingRequest | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.cancel();
    return pending;
  }
}

interface PendingRequest {
  readonly frame: Uint8Array;
  readonly isFor: StoreRequest['kind'];
  readonly askedAt: number;
  readonly resolve: (answer: StoreAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly cancel: () => void;
}

const TIMEOUT_MS = 1_000;
const PENDING = 1_024;
const SHORTEST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 2_000;
