/** A listening socket. */

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

/** Where and how to listen. The socket options are those of accepted connections. */
export type ListenOptions = Target &
  SocketOptions & {
    /** How many connections may wait to be accepted; 1024 by default, and no more than the system allows. */
    readonly backlog?: number | undefined;
    /** Let several processes listen on the same port; the kernel spreads connections over them. */
    readonly reusePort?: boolean | undefined;
    /** Accept no IPv4 on an IPv6 address. */
    readonly ipv6Only?: boolean | undefined;
    /**
     * Replace the socket file that a process which is gone has left at `path`: one of the same user, at which nobody
     * listens. Processes that do so at the same time take turns by a lock on `PATH.lock`, which stays. Without it, such
     * a file is EADDRINUSE.
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

/** What a listener tells. */
export interface ListenerEvents {
  /**
   * The system could not give a descriptor, could not watch it, or refuses to accept: a client was turned away, and
   * accepting pauses for so long.
   */
  overload: (error: SystemError, pauseMs: number) => void;
  /** A served connection failed, or its handler did. The others go on. */
  clientError: (error: Error, connection: Connection) => void;
  /** The listener is closed. */
  close: () => void;
}

/**
 * Accepts connections: by {@link serve}, as {@link connections$}, or one at a time. While nobody takes them, they wait
 * in the kernel's backlog. A shortage of descriptors ends neither the listener nor the process.
 */
export class Listener extends EventEmitter<ListenerEvents> implements Selectable {
  /** Where it listens; the port that the system chose, when 0 was asked for. */
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

  /** @internal Made by `reactor.listen`. @throws {SystemError} such as `EADDRINUSE`. */
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
   * Each accepted connection, while somebody is subscribed; its owner closes it. Completes when the listener is closed.
   */
  readonly connections$: Observable<Connection> = new Observable((subscriber) => {
    const subscription = this.#connections.subscribe(subscriber);
    this.#loop.enqueue(this.#handle);
    return subscription;
  });

  /**
   * Gives every connection to `handler` and owns its life: accept and handshake inside their deadlines, a polite close
   * when the handler settles, failures to the `'clientError'` event. No client can end the process or hold up another.
   * @throws {BusyError} when it serves already.
   */
  serve<C extends Connection = Connection>(options: ServeOptions<C>, handler: Handler<C>): this {
    checkServing(options, handler);
    if (this.#closed) throw new ClosedError('serve refused: the listener is closed');
    if (this.#server !== undefined)
      throw new BusyError('accept', 'accept', 'the listener serves already, and takes every connection');
    // The layer of `options` makes the very type of connection that the handler takes.
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

  /** Accepts one connection; it is the caller's to close. */
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

  /** Accepts one connection if one waits; `undefined` otherwise. Never waits. */
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
      else if (SHORTAGES.has(-fd)) this.#pause(fd);
      // Whatever else accept(2) says is about the connection that waited, which is gone; said so often in a row, it is
      // about all.
      else if (tries === ACCEPTS_PER_TURN) this.#rest(systemError(fd, 'accept4', formatAddress(this.address)));
    }
    return undefined;
  }

  /** Stops listening. What waits in the backlog is refused by the kernel; accepted connections go on. */
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

  /** Closes it, at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /**
   * The TCP port that it listens on.
   * @throws {TypeError} when it listens on a Unix socket: see `address`.
   */
  get port(): number {
    if (this.address.family === 'unix') throw new TypeError('a listener on a Unix socket has no port; see its address');
    return this.address.port;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether a connection may wait to be accepted. */
  get readableNow(): boolean {
    return this.#closed || ((this.#handle.readiness & READABLE) !== 0 && this.#cancelPause === undefined);
  }

  /** Never, unless closed. */
  get writableNow(): boolean {
    return this.#closed;
  }

  // What follows is for the machinery below and beside.

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
    // The dispatch of this listener looks for the operation by itself; one that has given way gets another turn.
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

  /** Whether somebody takes every connection now. */
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
    // What the kernel refuses here it would refuse for each accepted connection, where nobody is told.
    applyOptions(calls, fd, options, address.family);
    const bound = calls.bind(fd, address);
    if (bound === -EADDRINUSE && address.family === 'unix')
      throw systemError(
        bound,
        'bind',
        `${formatAddress(address)}; if the process that made this file is gone, replaceStale: true replaces it`,
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
      // The client has gone already, or the kernel is short of memory or of watches: this connection is lost, the next
      // may do better.
      calls.close(fd);
      if (error instanceof SystemError && SHORTAGES.has(error.errno)) this.#rest(error);
      return undefined;
    }
    this.#pauseMs = 0;
    // A connection that has just been accepted has room for sending.
    handle.readiness = WRITABLE;
    return new SocketTransport(calls, selector, handle, this.#peer.address);
  }

  /** Turns one client away, so that it is not left waiting, and gives the process time to close something. */
  #pause(shortage: number): void {
    const { calls } = this.#loop.ground;
    this.#reserve.spend(() => {
      const fd = calls.accept(this.#handle.fd, this.#peer);
      if (fd >= 0) calls.close(fd);
    });
    this.#rest(systemError(shortage, 'accept4', formatAddress(this.address)));
  }

  /** Accepts nothing for a while, longer each time until a connection is accepted, and tells why. */
  #rest(shortage: SystemError): void {
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
