/** A listening socket. Long because it is a public interface, with its options and events. */

import { EventEmitter } from 'eventemitter3';
import { Observable, Subject } from 'rxjs';

import { BusyError, ClosedError, SystemError } from '../../core/errors.ts';
import { Operation, OPERATION_RULES } from '../../core/operation.ts';
import { checkOptions, count, flag } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import type { OperationOptions, Step } from '../../core/operation.ts';
import { DONE, WANT_READ } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { formatAddress, TARGET_RULES } from '../addresses/address.ts';
import type { Address, Target } from '../addresses/address.ts';
import { Connection } from '../connections/connection.ts';
import type { ConnectionBasis } from '../connections/connection-basis.ts';
import { guarded } from '../guarded.ts';
import { Handle, READABLE, WRITABLE } from '../handle.ts';
import { ListenerFile } from './listener-file.ts';
import type { Loop } from '../loop.ts';
import { ReserveDescriptor } from './reserve-descriptor.ts';
import type { Selectable } from '../select.ts';
import { checkServing, Server } from './serve.ts';
import type { Handler, ServeOptions } from './serve.ts';
import { SOCKET_RULES } from '../connections/socket-options.ts';
import type { SocketOptions } from '../connections/socket-options.ts';
import { applyOptions, SocketTransport } from '../connections/socket-transport.ts';
import { EADDRINUSE, EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC, systemError } from '../system-calls.ts';

/** The address to listen on, and options. The socket options apply to accepted connections. */
export type ListenOptions = Target &
  SocketOptions & {
    /** How many connections may wait to be accepted; 1024 by default. The system may set a lower limit. */
    readonly backlog?: number | undefined;
    /** Whether several processes may listen on the same port. The kernel spreads connections over them. */
    readonly reusePort?: boolean | undefined;
    /** Whether to refuse IPv4 connections on an IPv6 address. */
    readonly ipv6Only?: boolean | undefined;
    /**
     * Whether to replace a stale socket file at `path`: a file of the same user on which no process listens, because
     * the process that created it has died. Processes that do this at the same time take turns with a lock on the file
     * `PATH.lock`, which is not removed. Without this option, `listen` fails with EADDRINUSE.
     */
    readonly replaceStale?: boolean | undefined;
  };

export const LISTEN_RULES = {
  ...TARGET_RULES,
  ...SOCKET_RULES,
  backlog: count(0, 2 ** 31 - 1),
  reusePort: flag,
  ipv6Only: flag,
  replaceStale: flag,
} satisfies Rules<ListenOptions | Address>;

/** The events of a listener. */
export interface ListenerEvents {
  /**
   * The system has no free descriptor, cannot watch one more, or refuses to accept. A client was turned away. The
   * listener accepts no connection for `pauseMs` milliseconds.
   */
  overload: (error: SystemError, pauseMs: number) => void;
  /** A served connection failed, or its handler did. Other connections are not affected. */
  clientError: (error: Error, connection: Connection) => void;
  /** The listener is closed. */
  close: () => void;
}

/**
 * Accepts connections: with {@link serve}, with {@link connections$}, or one at a time. Connections that the program
 * does not accept yet wait in the kernel's backlog. A shortage of descriptors ends neither the listener nor the
 * process.
 * @example
 * import { Reactor } from 'wantio';
 *
 * const reactor = new Reactor();
 * const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * listener.on('clientError', (error) => {
 *   console.error(error.message);
 * });
 * listener.serve({ timeouts: { blockMs: 5_000 }, maxConnections: 1_000 }, async (connection, { signal }) => {
 *   while (!signal.aborted) await connection.send(await connection.receive('*s'));
 * });
 * await reactor.close();
 */
export class Listener extends EventEmitter<ListenerEvents> implements Selectable {
  /** The address of the listener. If it was asked for port 0, this has the port that the system chose. */
  readonly address: Address;

  readonly #loop: Loop;
  readonly #handle: Handle;
  readonly #options: ListenOptions;
  readonly #reserve: ReserveDescriptor;
  readonly #file: ListenerFile | undefined;
  readonly #connections = new Subject<Connection>();
  readonly #peer: { address?: Address | undefined } = {};
  #server: Server | undefined;
  #accepting: Operation<unknown> | undefined;
  #waiters: Set<Operation<unknown>> | undefined;
  #pauseMs = 0;
  #cancelPause: (() => void) | undefined;
  #closed = false;

  /** @internal `reactor.listen` creates listeners. @throws {SystemError} such as `EADDRINUSE`. */
  constructor(loop: Loop, address: Address, options: ListenOptions) {
    super();
    this.#loop = loop;
    this.#options = options;
    const { calls, selector } = loop.ground;
    const fd = calls.socket(address.family);
    if (fd < 0) throw systemError(fd, 'socket');
    this.#handle = new Handle(fd);
    try {
      this.#file = address.family === 'unix' ? new ListenerFile(calls, address) : undefined;
      if (options.replaceStale === true)
        this.#file?.replacing(() => {
          this.#bind(address);
        });
      else this.#bind(address);
      selector.register(this.#handle);
    } catch (error) {
      calls.close(fd);
      this.#file?.remove();
      throw error;
    }
    this.#reserve = new ReserveDescriptor(calls);
    this.#handle.owner = this;
    this.address = calls.localAddress(fd) ?? address;
    loop.opened('listener', this);
  }

  /**
   * Accepts connections while it has a subscriber, and emits each. The subscriber must close them. Completes when the
   * listener is closed.
   */
  readonly connections$: Observable<Connection> = new Observable((subscriber) => {
    const subscription = this.#connections.subscribe(subscriber);
    this.#loop.enqueue(this.#handle);
    return subscription;
  });

  /**
   * Accepts every connection and passes it to `handler`. It runs the handshake within its limit, closes the connection
   * when the handler settles, and reports failures by the event `'clientError'`. No client can end the process or block
   * another client.
   * @throws {BusyError} when `serve` was called before.
   * @throws {ClosedError} when the listener is closed.
   */
  serve<C extends Connection = Connection>(options: ServeOptions<C>, handler: Handler<C>): this {
    checkServing(options, handler);
    if (this.#closed) throw new ClosedError('serve refused: the listener is closed');
    if (this.#server !== undefined)
      throw new BusyError('accept', 'accept', 'the listener already passes every connection to the handler of serve()');
    // The layer of `options` creates connections of the type that the handler takes.
    this.#server = new Server(this.#loop, options, handler as unknown as Handler, {
      failed: (error, connection) => {
        if (this.listenerCount('clientError') === 0) return false;
        guarded(() => this.emit('clientError', error, connection));
        return true;
      },
      roomAgain: () => {
        this.#resume();
      },
    });
    this.#resume();
    return this;
  }

  /** Accepts one connection. The caller must close it. */
  accept(options?: OperationOptions): Operation<Connection> {
    if (options !== undefined) checkOptions('accept', options, OPERATION_RULES);
    const operation = new Operation(new AcceptStep(this), this, options?.timeouts ?? {}, options?.signal);
    if (this.#closed) return operation.refuse(new ClosedError('accept refused: the listener is closed'));
    if (this.#accepting !== undefined)
      return operation.refuse(
        new BusyError('accept', 'accept', 'an accept of this listener is still running; await it first'),
      );
    this.#accepting = operation;
    return operation.start();
  }

  /** Accepts one connection if one is waiting, without waiting itself. @returns `undefined` when none is. */
  tryAccept(): Connection | undefined {
    if (this.#closed) throw new ClosedError('accept refused: the listener is closed');
    const socket = this.#acceptSocket();
    return socket === undefined ? undefined : new Connection(socket, this.#basisOf(socket));
  }

  #acceptSocket(): SocketTransport | undefined {
    const handle = this.#handle;
    for (let tries = 1; (handle.readiness & READABLE) !== 0 && this.#cancelPause === undefined; tries++) {
      const fd = this.#loop.ground.calls.accept(handle.fd, this.#peer);
      if (fd >= 0) return this.#adopt(fd);
      if (fd === -EAGAIN) handle.readiness &= ~READABLE;
      else if (SHORTAGES.has(-fd)) this.#turnAway(fd);
      // Any other error of accept(2) is that of one waiting connection, which is gone. But after this many in a row,
      // the error must be that of the listener.
      else if (tries === ACCEPTS_PER_TURN)
        this.#pauseAccepting(systemError(fd, 'accept4', formatAddress(this.address)));
    }
    return undefined;
  }

  /** Stops listening. The kernel resets connections that wait in the backlog. Accepted connections stay open. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelPause?.();
    const { calls, selector } = this.#loop.ground;
    this.#handle.owner = undefined;
    selector.deregister(this.#handle);
    calls.close(this.#handle.fd);
    this.#reserve.close();
    this.#file?.remove();
    this.#accepting?.fail(new ClosedError('accept failed: the listener was closed'));
    for (const waiter of this.#waiters ?? []) this.#loop.wake(waiter);
    this.#connections.complete();
    this.#loop.closed('listener', this);
    guarded(() => this.emit('close'));
  }

  /** Closes the listener at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /**
   * The TCP port of the listener.
   * @throws {TypeError} when it listens on a Unix socket, which has no port: see `address`.
   */
  get port(): number {
    if (this.address.family === 'unix') throw new TypeError('a listener on a Unix socket has no port; see its address');
    return this.address.port;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether an accept may succeed now. A closed listener counts as ready. */
  get readableNow(): boolean {
    return this.#closed || ((this.#handle.readiness & READABLE) !== 0 && this.#cancelPause === undefined);
  }

  /** False, unless the listener is closed. */
  get writableNow(): boolean {
    return this.#closed;
  }

  // For the other parts of the reactor.

  /** @internal */
  get deadlines() {
    return this.#loop.deadlines;
  }

  /** @internal */
  get operations(): Operation<unknown>[] {
    return this.#accepting === undefined ? [] : [this.#accepting];
  }

  /** @internal */
  takeStart(): boolean {
    return true;
  }

  /** @internal */
  now(): number {
    return this.#loop.now();
  }

  /** @internal */
  park({ want }: Operation<unknown>): void {
    // The dispatch of this listener resumes the operation. One that has yielded needs another turn for that.
    if (want === null || this.readableNow) this.#resume();
  }

  /** @internal */
  settled(operation: Operation<unknown>): void {
    if (operation === this.#accepting) this.#accepting = undefined;
  }

  /** @internal */
  watch(operation: Operation<unknown>): void {
    (this.#waiters ??= new Set()).add(operation);
  }

  /** @internal */
  unwatch(operation: Operation<unknown>): void {
    this.#waiters?.delete(operation);
  }

  /** @internal */
  dispatch(): void {
    this.#accepting?.resume();
    for (let left = ACCEPTS_PER_TURN; left > 0 && !this.#closed && this.#isTaken; left--) {
      const socket = this.#acceptSocket();
      if (socket === undefined) break;
      const basis = this.#basisOf(socket);
      if (this.#server !== undefined) this.#server.take(basis);
      else this.#connections.next(new Connection(socket, basis));
    }
    for (const waiter of this.#waiters ?? []) this.#loop.wake(waiter);
    if (!this.#closed && this.readableNow && (this.#isTaken || this.#accepting !== undefined))
      this.#loop.enqueue(this.#handle);
  }

  /** Whether there is a consumer for every connection: a handler of `serve` or a subscriber. */
  get #isTaken(): boolean {
    return this.#server?.hasRoom ?? this.#connections.observed;
  }

  #resume(): void {
    if (!this.#closed) this.#loop.enqueue(this.#handle);
  }

  #bind(address: Address): void {
    const { calls } = this.#loop.ground;
    const { fd } = this.#handle;
    const options = this.#options;
    const check = (result: number, syscall: string): void => {
      if (result < 0) throw systemError(result, syscall, formatAddress(address));
    };
    if (address.family !== 'unix') check(calls.setOption(fd, 'reuseAddress', 1), 'setsockopt');
    if (options.reusePort === true) check(calls.setOption(fd, 'reusePort', 1), 'setsockopt');
    if (address.family === 'IPv6')
      check(calls.setOption(fd, 'ipv6Only', Number(options.ipv6Only === true)), 'setsockopt');
    // Set here too, so that `listen` fails when the kernel refuses an option. The failure of an accepted connection
    // would not be reported.
    applyOptions(calls, fd, options, address.family);
    const bound = calls.bind(fd, address);
    if (bound === -EADDRINUSE && address.family === 'unix')
      throw systemError(
        bound,
        'bind',
        `${formatAddress(address)}; if the process that created this file has died, set replaceStale: true to replace it`,
      );
    check(bound, 'bind');
    this.#file?.claim();
    check(calls.listen(fd, options.backlog ?? BACKLOG), 'listen');
  }

  #basisOf(socket: SocketTransport): ConnectionBasis {
    return { loop: this.#loop, socket, role: 'server' };
  }

  #adopt(fd: number): SocketTransport | undefined {
    const { calls, selector } = this.#loop.ground;
    const handle = new Handle(fd);
    try {
      applyOptions(calls, fd, this.#options, this.address.family);
      selector.register(handle);
    } catch (error) {
      // The client is gone already, or the kernel is short of memory or of watches. This connection is lost; the next
      // one may succeed.
      calls.close(fd);
      if (error instanceof SystemError && SHORTAGES.has(error.errno)) this.#pauseAccepting(error);
      return undefined;
    }
    this.#pauseMs = 0;
    // A connection that was just accepted is writable.
    handle.readiness = WRITABLE;
    return new SocketTransport(calls, selector, handle, this.#peer.address);
  }

  /** Closes one waiting connection, so that its client does not wait in vain, and pauses accepting. */
  #turnAway(shortage: number): void {
    const { calls } = this.#loop.ground;
    this.#reserve.spend(() => {
      const fd = calls.accept(this.#handle.fd, this.#peer);
      if (fd >= 0) calls.close(fd);
    });
    this.#pauseAccepting(systemError(shortage, 'accept4', formatAddress(this.address)));
  }

  /**
   * Pauses accepting, so that the process has time to close descriptors, and reports why. Each pause is twice as long
   * as the last, until a connection is accepted.
   */
  #pauseAccepting(shortage: SystemError): void {
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, this.#pauseMs * 2));
    this.#cancelPause = this.#loop.after(this.#pauseMs, () => {
      this.#cancelPause = undefined;
      this.#resume();
    });
    guarded(() => this.emit('overload', shortage, this.#pauseMs));
  }
}

/** Takes the next connection of a listener. */
class AcceptStep implements Step<Connection> {
  readonly name = 'accept';
  readonly #listener: Listener;
  #connection: Connection | undefined;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  attempt(): StepCode {
    this.#connection = this.#listener.tryAccept();
    return this.#connection === undefined ? WANT_READ : DONE;
  }

  result(): Connection {
    return this.#connection as Connection;
  }

  progress(): number {
    return 0;
  }
}

const SHORTAGES = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC]);
const BACKLOG = 1024;
const ACCEPTS_PER_TURN = 64;
const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1_000;
