/** A server that keeps sessions for the processes of its user, over a Unix socket. */

import { setMaxListeners } from 'node:events';

import { checkArgument, checkOptions, count, milliseconds, required, text } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { limit } from '../../../core/timeouts.ts';
import type { Connection } from '../../../reactor/connections/connection.ts';
import type { Listener } from '../../../reactor/listening/listener.ts';
import { reactorRule } from '../../../reactor/reactor-rule.ts';
import type { Reactor } from '../../../reactor/reactor.ts';
import { MemorySessionStore } from '../memory-store.ts';
import { FrameChannel } from './session-server-channel.ts';
import { decodeRequest, encodeAnswer } from './session-server-frame.ts';
import type { StoreAnswer, StoreRequest } from './session-server-frame.ts';
import { Gate } from './session-server-gate.ts';
import { listenPrivately } from './session-server-socket.ts';
import { StoreError } from '../store-error.ts';
import { takingStore, users as usersRule } from '../store-rules.ts';
import { VALUE_AT_MOST } from '../store.ts';
import type { TakingSessionStore } from '../store.ts';

/** Where to serve, what, and to whom. */
export interface SessionServerOptions {
  /** The socket file, made with mode `0600`. The file of a dead server is replaced. */
  readonly path: string;
  /**
   * Where sessions are kept: in the memory of this process unless given. A store that was given stays the caller's to
   * close.
   */
  readonly store?: TakingSessionStore | undefined;
  /**
   * The numbers of the users who may connect: this process's own unless given. The socket's file keeps all but this
   * user and root out until its mode is changed.
   */
  readonly users?: readonly number[] | undefined;
  /** How many clients are served at a time; 1024 unless given. More wait. */
  readonly maxConnections?: number | undefined;
  /** How many requests of one client may be under way; 128 unless given. The client's next ones wait in its socket. */
  readonly maxPending?: number | undefined;
}

export const SERVER_RULES = {
  path: required(text),
  store: takingStore,
  users: usersRule,
  maxConnections: count(1),
  maxPending: count(1),
} satisfies Rules<SessionServerOptions>;

/** How a session server ends. */
export interface SessionServerCloseOptions {
  /** How long that may take in milliseconds, 2 seconds unless given; then the clients are cut off. */
  readonly timeoutMs?: number | undefined;
}

export const CLOSE_RULES = { timeoutMs: milliseconds } satisfies Rules<SessionServerCloseOptions>;

/** Serves a session store to other processes of this machine; they use it through a `SessionServerStore`. */
export class SessionServer {
  /** Tells of clients that failed or were turned away: its event `'clientError'`. */
  readonly listener: Listener;
  readonly #reactor: Reactor;
  readonly #store: TakingSessionStore;
  readonly #ownsStore: boolean;
  readonly #users: ReadonlySet<number>;
  readonly #maxPending: number;
  readonly #connections = new Set<Connection>();
  readonly #ending = new AbortController();
  readonly #end = (): void => {
    this.#ending.abort();
  };
  #closing: Promise<void> | undefined;

  /**
   * Begins to serve.
   * @throws {StoreError} when another server listens there, or the file is no socket; {SystemError} such as `EACCES`.
   */
  static async listen(reactor: Reactor, options: SessionServerOptions): Promise<SessionServer> {
    checkArgument('SessionServer.listen', 'the reactor', reactor, reactorRule);
    checkOptions('SessionServer.listen', options, SERVER_RULES);
    const { maxPending = PENDING, maxConnections = CONNECTIONS } = options;
    const listener = await listenPrivately(reactor, options.path);
    return new SessionServer(reactor, listener, options, maxPending, maxConnections);
  }

  private constructor(
    reactor: Reactor,
    listener: Listener,
    { store, users }: SessionServerOptions,
    maxPending: number,
    maxConnections: number,
  ) {
    this.#reactor = reactor;
    this.listener = listener;
    this.#store = store ?? new MemorySessionStore();
    this.#ownsStore = store === undefined;
    this.#users = new Set(users ?? [process.getuid?.() ?? 0]);
    this.#maxPending = maxPending;
    // Each client listens to it.
    setMaxListeners(0, this.#ending.signal);
    reactor.draining.addEventListener('abort', this.#end);
    listener.serve({ maxConnections }, (connection) => this.#serve(connection, this.#ending.signal));
  }

  /**
   * Answers what was asked, and ends.
   */
  close(options: SessionServerCloseOptions = {}): Promise<void> {
    checkOptions('close', options, CLOSE_RULES);
    return (this.#closing ??= this.#close(limit(options.timeoutMs ?? CLOSE_MS, 'timeoutMs')));
  }

  async #close(timeoutMs: number): Promise<void> {
    this.listener.close();
    this.#reactor.draining.removeEventListener('abort', this.#end);
    this.#end();
    const cancel = this.#reactor.after(timeoutMs, () => {
      for (const connection of [...this.#connections]) connection.abort();
    });
    await Promise.all(
      [...this.#connections].map((connection) => new Promise((resolve) => connection.once('close', resolve))),
    );
    cancel();
    if (this.#ownsStore) await this.#store.close?.();
  }

  async #serve(connection: Connection, signal: AbortSignal): Promise<void> {
    const peer = connection.peerCredentials;
    if (peer === undefined || !this.#users.has(peer.uid))
      throw new StoreError('failed', `user ${String(peer?.uid ?? 'unknown')} may not use this session server`);
    this.#connections.add(connection);
    const closed = new Promise<void>((resolve) => {
      connection.once('close', () => {
        this.#connections.delete(connection);
        resolve();
      });
    });
    const channel = new FrameChannel(connection);
    const gate = new Gate(this.#maxPending);
    for await (const body of channel.bodies(signal)) {
      const { id, request } = decodeRequest(body);
      await gate.enter();
      void this.#answer(request)
        .then((answer) => channel.send(encodeAnswer(id, answer)))
        .finally(() => {
          gate.leave();
        });
    }
    // A client that has ended by itself waits for no answer; one that is sent away gets those to what it had asked.
    if (signal.aborted) await Promise.race([gate.empty(), closed]);
  }

  async #answer(request: StoreRequest): Promise<StoreAnswer> {
    try {
      switch (request.kind) {
        case 'get':
        case 'take': {
          const value = await (request.kind === 'get' ? this.#store.get(request.key) : this.#store.take(request.key));
          // A store of somebody else's may answer anything.
          return value instanceof Uint8Array && value.length <= VALUE_AT_MOST
            ? { kind: 'value', value }
            : { kind: 'none' };
        }
        case 'set':
          await this.#store.set(request.key, request.value, request.ttlMs);
          return { kind: 'done' };
        case 'remove':
          await this.#store.remove(request.key);
          return { kind: 'done' };
      }
    } catch (error) {
      return { kind: 'failed', reason: error instanceof StoreError ? error.reason : 'failed' };
    }
  }
}

const CLOSE_MS = 2_000;
const CONNECTIONS = 1_024;
const PENDING = 128;
