/** The reactor: the public interface of the loop, and the factory of connections and listeners. */

import { EventEmitter } from 'eventemitter3';

import { ClosedError } from '../core/errors.ts';
import type { Operation } from '../core/operation.ts';
import { checkArgument, checkOptions, func, milliseconds } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import { limit } from '../core/timeouts.ts';
import { checkTarget, isPath } from './addresses/address.ts';
import { hostName } from './addresses/host-name.ts';
import { resolve } from './addresses/resolve.ts';
import { CONNECT_RULES, CONNECT_SECURE_RULES } from './connecting/connect-options.ts';
import type { ConnectOptions, ConnectSecureOptions } from './connecting/connect-options.ts';
import { ConnectStep } from './connecting/connect.ts';
import type { Connection } from './connections/connection.ts';
import { epollGround } from './epoll/epoll-ground.ts';
import { GROUND_RULES } from './ground.ts';
import type { Ground } from './ground.ts';
import { Listener, LISTEN_RULES } from './listening/listener.ts';
import type { ListenOptions } from './listening/listener.ts';
import { Loop } from './loop.ts';
import type { LoopStep } from './loop.ts';
import type { OperationSnapshot } from './roster.ts';
import { SELECT_RULES, SELECTION_RULES, SelectStep } from './select.ts';
import type { Selectable, Selected, Selection, SelectOptions } from './select.ts';
import { SleepStep } from './sleep.ts';

/** The events of a reactor. */
export interface ReactorEvents {
  /** A connection was reported as ready 64 times, and no handler did any input or output on it. It is a likely bug. */
  spin: (connection: Connection) => void;
}

/** The options of `reactor.close`. */
export interface CloseOptions {
  /** How long running work may take to end, in milliseconds; 10 seconds by default. The rest is aborted. */
  readonly timeoutMs?: number | undefined;
}

export const CLOSE_RULES = { timeoutMs: milliseconds } satisfies Rules<CloseOptions>;

/**
 * An event loop over non-blocking descriptors, inside Node's event loop. It keeps the process alive while it has an
 * open connection, listener or operation.
 * @example
 * import { Reactor } from 'wantio';
 *
 * const reactor = new Reactor();
 * const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * listener.serve({}, async (connection) => {
 *   for await (const line of connection.lines({ maxBytes: 4096 })) await connection.send(`you said ${line}\n`);
 * });
 * const connection = await reactor.connect({ host: '127.0.0.1', port: listener.port });
 * await connection.send('hello\n');
 * if ((await connection.receive()) !== 'you said hello') throw new Error('the server says something else');
 * await connection.close();
 * await reactor.close();
 */
export class Reactor extends EventEmitter<ReactorEvents> {
  /** The loop, for connections, listeners and protocols. @internal */
  readonly loop: Loop;
  #state: 'open' | 'draining' | 'closed' = 'open';
  #closing: Promise<void> | undefined;
  #end: () => void = () => undefined;
  /** Resolves when the reactor is closed. */
  readonly ended = new Promise<void>((resolve) => {
    this.#end = resolve;
  });

  /**
   * @param ground the platform; by default, the sockets of the system.
   * @throws {UnsupportedError} when real sockets are not available: outside Linux, or in a worker thread.
   */
  constructor(ground: Ground = epollGround()) {
    super();
    checkOptions('new Reactor', ground, GROUND_RULES);
    this.loop = new Loop(ground, (connection) => {
      this.emit('spin', connection as unknown as Connection);
    });
  }

  /** Every open connection. */
  get connections(): ReadonlySet<Connection> {
    // Only Connection objects add themselves to this set.
    return this.loop.roster.connections as ReadonlySet<unknown> as ReadonlySet<Connection>;
  }

  /** Every open listener. */
  get openListeners(): ReadonlySet<Listener> {
    return this.loop.roster.listeners as ReadonlySet<unknown> as ReadonlySet<Listener>;
  }

  /** A signal that is aborted when {@link close} begins, so that handlers can finish soon. */
  get draining(): AbortSignal {
    return this.loop.draining;
  }

  /** The ground's monotonic time in milliseconds. */
  now(): number {
    return this.loop.now();
  }

  /**
   * Runs `task` once, after `ms` milliseconds of the reactor's time, which is virtual in a simulated world. The wait
   * does not keep the process alive.
   * @param ms a number of milliseconds; `Infinity` for never.
   * @returns a function that cancels it.
   * @throws {TypeError | RangeError} when `ms` is not a number of milliseconds, or `task` is not a function.
   */
  after(ms: number, task: () => void): () => void {
    checkArgument('after', 'ms', ms, milliseconds);
    checkArgument('after', 'the task', task, func);
    return this.loop.after(ms, task);
  }

  /**
   * Listens on a TCP address or on the path of a Unix socket. With port 0, the system chooses a port; see
   * `listener.address`.
   * @throws {SystemError} such as `EADDRINUSE`.
   */
  async listen(options: ListenOptions): Promise<Listener> {
    this.#assertOpen('listen');
    checkOptions('listen', options, LISTEN_RULES);
    checkTarget(options);
    const [address] = isPath(options)
      ? [{ family: 'unix', path: options.path } as const]
      : await resolve(this.loop.ground, options.host, options.port, this.draining);
    this.#assertOpen('listen');
    return new Listener(this.loop, address, options);
  }

  /**
   * Connects to a host, by name or IP address, or to a Unix socket. It looks the name up and tries its addresses by the
   * rules of Happy Eyeballs (RFC 8305). The timeouts cover all of this. When it fails, all its sockets are closed.
   * @returns rejects with a `SystemError` such as `ECONNREFUSED` or `ENOTFOUND` when it fails.
   */
  connect(options: ConnectOptions): Operation<Connection> {
    this.#assertOpen('connect');
    checkOptions('connect', options, CONNECT_RULES);
    checkTarget(options);
    return this.loop.run(new ConnectStep(this.loop, options), options);
  }

  /**
   * Connects, lays the layer `options.secure` over the connection, and runs its handshake. When it fails, the
   * connection is closed. The block limit applies to each wait, the total limit to everything together. `serverName` is
   * the host by default.
   */
  connectSecure<C extends Connection>(options: ConnectSecureOptions<C>): Operation<C> {
    this.#assertOpen('connect');
    checkOptions('connectSecure', options, CONNECT_SECURE_RULES);
    checkTarget(options);
    if (options.serverName !== undefined) hostName(options.serverName, 'serverName');
    // With a layer, the step returns a connection of the layer's type.
    return this.loop.run(
      new ConnectStep(this.loop, options, options.secure, options.serverName) as unknown as LoopStep<C>,
      options,
    );
  }

  /**
   * Waits until at least one member of the sets is ready, like select(2), but without a limit on their number. A
   * connection with received bytes that no receive has taken counts as readable.
   * @param ms how long to wait, in milliseconds; 0 does not wait. No limit by default.
   * @returns resolves to the ready members; `timedOut` is `true` when none became ready in time.
   */
  select<R extends Selectable = never, W extends Selectable = never>(
    selection: Selection<R, W>,
    ms?: number,
    options?: SelectOptions,
  ): Operation<Selected<R, W>> {
    this.#assertOpen('select');
    checkOptions('select', selection, SELECTION_RULES);
    if (ms !== undefined) checkArgument('select', 'ms', ms, milliseconds);
    if (options !== undefined) checkOptions('select', options, SELECT_RULES);
    return this.loop.runNextTurn(new SelectStep(selection), { timeouts: { totalMs: ms }, signal: options?.signal });
  }

  /**
   * Waits for `ms` milliseconds of the reactor's time, which is virtual in a simulated world. It keeps the process
   * alive until then.
   * @returns rejects with an `AbortError` when the signal is aborted.
   */
  sleep(ms: number, options?: SelectOptions): Operation<void> {
    checkArgument('sleep', 'ms', ms, milliseconds);
    if (options !== undefined) checkOptions('sleep', options, SELECT_RULES);
    this.#assertOpen('sleep');
    return this.loop.run<void>(new SleepStep(), { timeouts: { totalMs: ms }, signal: options?.signal });
  }

  /** Describes every operation that is running now, and what it waits for. */
  operations(): OperationSnapshot[] {
    return this.loop.roster.snapshots();
  }

  /** Keeps the process alive while anything is open. This is the default. */
  ref(): this {
    this.loop.setRef(true);
    return this;
  }

  /** Lets the process exit while something is open. */
  unref(): this {
    this.loop.setRef(false);
    return this;
  }

  /**
   * Drains the reactor: closes the listeners, aborts the signal `draining`, and waits until every connection and
   * operation has ended. When the limit passes, it aborts the rest. A second call waits for the same end. To end at
   * once, call {@link abort}.
   */
  close(options?: CloseOptions): Promise<void> {
    if (options !== undefined) checkOptions('close', options, CLOSE_RULES);
    const timeoutMs = limit(options?.timeoutMs ?? DRAIN_MS, 'timeoutMs');
    return (this.#closing ??= this.#close(timeoutMs));
  }

  /** Closes every listener, resets every connection, and fails every operation now. */
  abort(): void {
    this.loop.roster.abort();
  }

  /** Closes the reactor at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#state = 'draining';
    this.loop.roster.closeListeners();
    this.loop.beginDraining(new ClosedError('the reactor is closing'));
    const cancel = this.loop.after(timeoutMs, () => {
      this.abort();
    });
    await this.loop.whenIdle();
    cancel();
    this.#state = 'closed';
    this.loop.stop();
    this.#end();
  }

  #assertOpen(what: string): void {
    if (this.#state !== 'open') throw new ClosedError(`${what} refused: the reactor is closed or closing`);
  }
}

const DRAIN_MS = 10_000;
