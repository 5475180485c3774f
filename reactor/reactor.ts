/** The reactor: the loop as its users see it, and the factory of connections and listeners. */

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

/** What a reactor tells. */
export interface ReactorEvents {
  /** A handle was told to be ready 64 times while nobody did any input or output on it. */
  spin: (connection: Connection) => void;
}

/** How a reactor ends. */
export interface CloseOptions {
  /** How long running work may take to end, in milliseconds; 10 seconds by default. What is left then is aborted. */
  readonly timeoutMs?: number | undefined;
}

export const CLOSE_RULES = { timeoutMs: milliseconds } satisfies Rules<CloseOptions>;

/**
 * One event loop over non-blocking descriptors, inside of Node's. It keeps the process alive while it has anything
 * open.
 */
export class Reactor extends EventEmitter<ReactorEvents> {
  /** What connections, listeners and protocols stand on. @internal */
  readonly loop: Loop;
  #state: 'open' | 'draining' | 'closed' = 'open';
  #closing: Promise<void> | undefined;
  #end: () => void = () => undefined;
  /** Resolves when the reactor is closed. */
  readonly ended = new Promise<void>((resolve) => {
    this.#end = resolve;
  });

  /**
   * @param ground what it stands on: the system's sockets unless given.
   * @throws {UnsupportedError} where real sockets cannot be had: no Linux, or a worker thread.
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
    // Connections alone enter themselves as such.
    return this.loop.roster.connections as ReadonlySet<unknown> as ReadonlySet<Connection>;
  }

  /** Every open listener. */
  get openListeners(): ReadonlySet<Listener> {
    return this.loop.roster.listeners as ReadonlySet<unknown> as ReadonlySet<Listener>;
  }

  /** Aborted when {@link close} begins, so that handlers can stop at a good place. */
  get draining(): AbortSignal {
    return this.loop.draining;
  }

  /** The ground's monotonic time in milliseconds. */
  now(): number {
    return this.loop.now();
  }

  /**
   * Runs `task` once, in `ms` milliseconds of the reactor's time: virtual time in a simulated world. It does not keep the
   * process alive. `Infinity` means never.
   * @returns cancels it.
   * @throws {TypeError | RangeError} when `ms` is not a number of milliseconds, or `task` is not a function.
   */
  after(ms: number, task: () => void): () => void {
    checkArgument('after', 'ms', ms, milliseconds);
    checkArgument('after', 'the task', task, func);
    return this.loop.after(ms, task);
  }

  /**
   * Listens on a TCP address or on the path of a Unix socket. Port 0 lets the system choose; see `listener.address`.
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
   * Connects to a host by name or number, or to a Unix socket: looks the name up, tries its addresses by the rules of
   * happy eyeballs (RFC 8305), all inside the call's deadlines. What was made is closed when it fails.
   * @throws {SystemError} such as `ECONNREFUSED` or `ENOTFOUND`, through the operation.
   */
  connect(options: ConnectOptions): Operation<Connection> {
    this.#assertOpen('connect');
    checkOptions('connect', options, CONNECT_RULES);
    checkTarget(options);
    return this.loop.run(new ConnectStep(this.loop, options), options);
  }

  /**
   * Connects, lays `layer` over the connection and runs its handshake; what was made is closed when it fails. The block
   * limit holds for each wait, the total for all of it together. `serverName` is the host unless given.
   */
  connectSecure<C extends Connection>(options: ConnectSecureOptions<C>): Operation<C> {
    this.#assertOpen('connect');
    checkOptions('connectSecure', options, CONNECT_SECURE_RULES);
    checkTarget(options);
    if (options.serverName !== undefined) hostName(options.serverName, 'serverName');
    // The layer makes connections of its own type; without one there would be none to return.
    return this.loop.run(
      new ConnectStep(this.loop, options, options.secure, options.serverName) as unknown as LoopStep<C>,
      options,
    );
  }

  /**
   * Waits until at least one of the sets is ready, as select(2) does, without its limits. Bytes that were received and
   * not taken count as readable.
   * @param ms how long to wait; no limit without it, and 0 only looks.
   * @returns the ready ones; `timedOut` when none became ready in time.
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
   * Lets `ms` milliseconds of the reactor's time pass: of virtual time in a simulated world. It keeps the process alive
   * meanwhile.
   * @throws {AbortError} when the signal is aborted, through the operation.
   */
  sleep(ms: number, options?: SelectOptions): Operation<void> {
    checkArgument('sleep', 'ms', ms, milliseconds);
    if (options !== undefined) checkOptions('sleep', options, SELECT_RULES);
    this.#assertOpen('sleep');
    return this.loop.run<void>(new SleepStep(), { timeouts: { totalMs: ms }, signal: options?.signal });
  }

  /** Every operation that is running now, with what it waits for. */
  operations(): OperationSnapshot[] {
    return this.loop.roster.snapshots();
  }

  /** Keeps the process alive while anything is open; this is so from the start. */
  ref(): this {
    this.loop.setRef(true);
    return this;
  }

  /** Lets the process end although something is open. */
  unref(): this {
    this.loop.setRef(false);
    return this;
  }

  /**
   * Drains: stops accepting, tells `draining`, waits until every connection and operation has ended, and aborts what is
   * left at the deadline. Calling it again waits for the same end; {@link abort} does not wait.
   */
  close(options?: CloseOptions): Promise<void> {
    if (options !== undefined) checkOptions('close', options, CLOSE_RULES);
    const timeoutMs = limit(options?.timeoutMs ?? DRAIN_MS, 'timeoutMs');
    return (this.#closing ??= this.#close(timeoutMs));
  }

  /** Breaks every connection now. */
  abort(): void {
    this.loop.roster.abort();
  }

  /** Closes it, at the end of an `await using` block. */
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
