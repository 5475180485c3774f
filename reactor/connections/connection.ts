/** A connection: readiness, operations and life of one transport. */

import { setMaxListeners } from 'node:events';

import { EventEmitter } from 'eventemitter3';
import { type Observable, Subject } from 'rxjs';

import { BusyError, ClosedError, SystemError } from '../../core/errors.ts';
import type { OperationName } from '../../core/errors.ts';
import { HandshakeStep } from '../../core/handshake.ts';
import { Inflow } from '../../core/inflow.ts';
import { mergeTimeouts, Operation, OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions, Step, Venue } from '../../core/operation.ts';
import {
  bytes,
  checkArgument,
  checkOptions,
  count,
  either,
  flag,
  listOf,
  milliseconds,
  number,
  oneOf,
  thing,
} from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { Outflow } from '../../core/outflow.ts';
import { patternOf } from '../../core/pattern.ts';
import type { PatternName, Received } from '../../core/pattern.ts';
import { ReceiveIntoStep, ReceiveStep } from '../../core/receive.ts';
import { SendStep } from '../../core/send.ts';
import type { Sendable, SendRange } from '../../core/send.ts';
import { ShutdownStep } from '../../core/shutdown.ts';
import type { Direction } from '../../core/shutdown.ts';
import { timeoutsRule } from '../../core/timeouts.ts';
import type { TimeoutMode, Timeouts } from '../../core/timeouts.ts';
import { layerRule, LAYING_RULES } from '../../core/transport-layer.ts';
import type { LayerOptions, LayingOptions, TransportLayer } from '../../core/transport-layer.ts';
import type { Transport } from '../../core/transport.ts';
import { END, isWant, wantOf } from '../../core/want.ts';
import type { StepCode, Want, WantCode } from '../../core/want.ts';
import type { Address } from '../addresses/address.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import { guarded } from '../guarded.ts';
import { BROKEN, HANGUP, READABLE, WRITABLE } from '../handle.ts';
import type { HandleOwner } from '../handle.ts';
import { InflowTransport } from './inflow-transport.ts';
import { Linger } from './linger.ts';
import { closeLimits, ProgressWatch } from './progress-watch.ts';
import type { CloseLimits, ConnectionCloseOptions } from './progress-watch.ts';
import type { Reactor } from '../reactor.ts';
import { ReadinessSignal } from './readiness-signal.ts';
import type { SignalOwner } from './readiness-signal.ts';
import type { Selectable } from '../select.ts';
import { SOCKET_OPTION_NAMES } from './socket-options.ts';
import type { SocketOptionName } from './socket-options.ts';
import type { PeerCredentials } from '../system-calls.ts';

/** What every connection stands on, handed from layer to layer. */
export interface ConnectionBasis {
  readonly reactor: Reactor;
  readonly socket: ConnectionSocket;
  readonly role: 'client' | 'server';
  /** The name or number that was connected to, in the form of `hostName`. */
  readonly host?: string | undefined;
}

/** What a connection tells once or seldom. */
export interface ConnectionEvents {
  /** The connection is closed and its descriptor given back; with the error that closed it, if one did. */
  close: (error?: Error) => void;
  /**
   * The peer has said that it sends nothing more, whether anybody receives or not. What it sent before can still be
   * received, and it may still be listening. Told once, also when it has happened before anybody listened for it.
   */
  end: () => void;
  /**
   * The peer reset the connection, or the network broke it, whether anybody receives or not. What came before can still
   * be received. Told once, also when it has happened before anybody listened for it.
   */
  broken: (error: Error) => void;
  /** The handshake of a layer such as TLS is complete. */
  secure: () => void;
  /** A secret of a layer such as TLS, as a line for decrypting captures; only of those that were asked to tell. */
  keylog: (line: string) => void;
}

/** An operation that waits, as `wants$` tells it. */
export interface Wanting {
  readonly operation: OperationName;
  readonly want: Want;
}

/** How much went through a connection, and for how long. */
export interface ConnectionStatistics {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Milliseconds since it was opened. */
  readonly ageMs: number;
}

/** What `receive` takes. */
export interface ReceiveOptions extends OperationOptions {
  /** Bytes that count as received before all others, such as an earlier failure's `partial`. */
  readonly prefix?: Uint8Array | undefined;
  /** The bound of what is gathered, in bytes: 64 KiB for a line, 16 MiB for `'*a'` unless given. */
  readonly maxBytes?: number | undefined;
}

/** What `handshake` takes. */
export interface HandshakeOptions extends OperationOptions {
  /** Leaves the connection open when the handshake times out or is cancelled, to be gone on with later. */
  readonly keepOpen?: boolean | undefined;
}

// Where the data end, and so which index is too far, the send knows.
const index = number('a whole number', Number.isInteger);
const maxBytes = number('a number of bytes of at least 1', (value) => value >= 1);
const wholeBytes = count(1);
export const SEND_RULES = { ...OPERATION_RULES, first: index, last: index } satisfies Rules<
  SendRange & OperationOptions
>;
export const RECEIVE_RULES = { ...OPERATION_RULES, prefix: bytes, maxBytes } satisfies Rules<ReceiveOptions>;
export const LINES_RULES = { ...OPERATION_RULES, maxBytes } satisfies Rules<Omit<ReceiveOptions, 'prefix'>>;
export const HANDSHAKE_RULES = { ...OPERATION_RULES, keepOpen: flag } satisfies Rules<HandshakeOptions>;
const piece = either(
  bytes,
  thing('text', (value) => typeof value === 'string'),
);
const sendable = either(piece, listOf(piece));
const direction = oneOf('send', 'receive', 'both');
const timeoutMode = oneOf('block', 'total');
const socketOption = oneOf(...SOCKET_OPTION_NAMES);
const socketValue = either(flag, count(-1, 2 ** 31 - 1));

/** A bidirectional stream of bytes. */
export class Connection extends EventEmitter<ConnectionEvents> implements Venue, HandleOwner, Selectable, SignalOwner {
  /** @internal */ readonly basis: ConnectionBasis;

  /** @internal */ readonly transport: Transport;
  #timeouts: Timeouts = {};
  readonly #inflow: Inflow;
  readonly #outflow: Outflow;
  readonly #openedAt: number;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closedBy: Error | undefined;
  /** Whether a layer above has it now. */
  #isGiven = false;
  #closing: Promise<void> | undefined;
  #sending: Operation<unknown> | undefined;
  #receiving: Operation<unknown> | undefined;
  #handshaking: Operation<unknown> | undefined;
  /** Whether the end was read, and somebody who has begun to wait since then has yet to be told. */
  #endIsNews = false;
  #endTold = false;
  /** What broke it, once that was told. */
  #brokenBy: Error | undefined;
  #gone: AbortController | undefined;
  #linger: Linger | undefined;
  /** Watches over its end, once that has begun. */
  #watch: ProgressWatch | undefined;
  #isRef = true;
  #readable: ReadinessSignal | undefined;
  #writable: ReadinessSignal | undefined;
  #wants: Subject<Wanting> | undefined;
  #waiters: Set<Operation<unknown>> | undefined;
  #lastWant: Want | null = null;
  #lookupAnswered = false;
  #keepOpen = false;
  #turn = -1;
  #startedInTurn = 0;

  /** @internal Connections are made by listeners, by `reactor.connect` and by layers. */
  constructor(transport: Transport, basis: ConnectionBasis) {
    super();
    this.transport = transport;
    this.basis = basis;
    this.#inflow = new Inflow(transport);
    this.#outflow = new Outflow(transport);
    this.#openedAt = basis.reactor.now();
    const { handle } = basis.socket;
    handle.owner = this;
    basis.reactor.opened(this);
    transport.onLookupAnswered(() => {
      this.#lookupAnswered = true;
      basis.reactor.enqueue(handle);
    });
  }

  // Operations.

  /**
   * Sends `data`, or the part of it from byte `first` to byte `last`. The bytes must not change until the operation
   * settles.
   * @returns resolves to the index of the last byte sent, once nothing of it is held back below. A failure carries
   * `last` and `rest`: send again from `last + 1`.
   * @throws {RangeError} when the range lies outside of the data.
   */
  send(data: Sendable, options?: SendRange & OperationOptions): Operation<number> {
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) checkArgument('send', 'the data', data, sendable);
    if (options !== undefined) checkOptions('send', options, SEND_RULES);
    return this.#begin(new SendStep(this.#outflow, data, options), options, SEND);
  }

  /**
   * Receives what `pattern` asks for: `'*l'` a line (text without its LF and with every CR removed), `'*a'` everything
   * until the end, `'*s'` some bytes (none at the end), or that many bytes. A failure carries the gathered bytes as
   * `partial`: pass them back as `prefix`, or {@link unread} them.
   * @throws {RangeError} when the pattern or `maxBytes` is not valid.
   */
  receive<P extends PatternName = '*l'>(pattern?: P, options?: ReceiveOptions): Operation<Received<P>> {
    if (options !== undefined) checkOptions('receive', options, RECEIVE_RULES);
    const step: unknown = new ReceiveStep(
      this.#inflow,
      patternOf(pattern === undefined ? '*l' : pattern),
      options?.maxBytes,
    );
    return this.#begin(step as Step<Received<P>>, options, RECEIVE, options?.prefix);
  }

  /** Receives what is there, at least one byte, into the caller's memory; resolves to the count, 0 at the end. */
  receiveInto(into: Uint8Array, options?: OperationOptions): Operation<number> {
    checkArgument('receiveInto', 'the memory', into, bytes);
    if (options !== undefined) checkOptions('receiveInto', options, OPERATION_RULES);
    return this.#begin(new ReceiveIntoStep(this.#inflow, into), options, RECEIVE);
  }

  /**
   * Runs the layer's handshake; a plain connection has none and is done at once. Sends and receives run it by
   * themselves. On fatal errors the connection is closed, on timeout and cancel too, unless `keepOpen` is set or a
   * limit of zero asks for one try.
   */
  handshake(options?: HandshakeOptions): Operation<void> {
    if (options !== undefined) checkOptions('handshake', options, HANDSHAKE_RULES);
    const { blockMs, totalMs } = mergeTimeouts(this.#timeouts, options?.timeouts);
    if (this.#handshaking === undefined) this.#keepOpen = options?.keepOpen === true || blockMs === 0 || totalMs === 0;
    return this.#begin(new HandshakeStep(this.transport), options, HANDSHAKE);
  }

  /** Runs a layer's own step beside sends and receives, in the place of the handshake. @internal */
  protected runLikeHandshake(step: Step<void>, options: OperationOptions | undefined): Operation<void> {
    return this.#begin(step, options, HANDSHAKE);
  }

  /**
   * The layer's handshake is complete, whoever has completed it: who waits for just that is done, whatever comes next.
   * @internal
   */
  protected handshakeIsComplete(): void {
    const handshaking = this.#handshaking;
    if (handshaking?.name === 'handshake' && handshaking.want !== null) handshaking.succeed(undefined);
  }

  /** Says that nothing more will be sent, waits until the peer says so, or both. */
  shutdown(what: Direction = 'send', options?: OperationOptions): Operation<void> {
    checkArgument('shutdown', 'the direction', what, direction);
    if (options !== undefined) checkOptions('shutdown', options, OPERATION_RULES);
    return this.#begin(
      new ShutdownStep(this.#inflow, this.#outflow, what),
      options,
      what === 'send' ? SEND : what === 'receive' ? RECEIVE : SEND | RECEIVE,
    );
  }

  /**
   * Ends the connection politely: lets a running send finish, says goodbye, waits for the peer's end while dropping
   * what still comes (so that no reset destroys the last data on their way), then closes. A running receive fails. It
   * goes on as long as the peer takes what it was sent, within the limits; then the connection is closed all the same.
   * @param options how long that may take: 30 seconds, of which at most 2 without progress, unless given.
   * @returns resolves when the descriptor is given back.
   */
  close(options?: ConnectionCloseOptions): Promise<void> {
    const limits = closeLimits(options);
    return (this.#closing ??= this.#state === 'closed' ? this.#isGone() : this.#close(limits));
  }

  /**
   * Ends the connection so that the peer knows that bytes are missing, but not before it has what was accepted for it:
   * lets a running send finish and waits until the peer's system has taken everything, within the limits; then it
   * resets the connection, or ends it without the goodbye of its protocol (over TLS without close_notify). A running
   * receive fails.
   * @param options how long that may take, as for {@link close}.
   * @param reason what the connection's operations, its `closeReason` and its `signal` are told.
   * @returns resolves when the descriptor is given back.
   */
  breakOff(options?: ConnectionCloseOptions, reason?: Error): Promise<void> {
    const limits = closeLimits(options);
    return (this.#closing ??= this.#state === 'closed' ? this.#isGone() : this.#breakOff(limits, reason));
  }

  /**
   * Breaks the connection now: the peer sees a reset. Running operations fail.
   * @param reason what they, the connection's `closeReason` and its `signal` are told.
   */
  abort(reason?: Error): void {
    this.#linger?.abort();
    if (this.#state === 'closed') return;
    this.transport.abort();
    this.#destroy(reason, null);
  }

  /** Lets the connection keep the process alive while it is open; this is so from the start. */
  ref(): this {
    return this.#setRef(true);
  }

  /** Lets the process end although the connection is open. */
  unref(): this {
    return this.#setRef(false);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Lines until the peer ends. An end in the middle of a line is a `ClosedError`; the unfinished bytes stay in the
   * connection.
   */
  lines(options?: Omit<ReceiveOptions, 'prefix'>): AsyncGenerator<string, void, undefined> {
    // Here, because a generator begins with its first line.
    if (options !== undefined) checkOptions('lines', options, LINES_RULES);
    return this.#lines(options);
  }

  async *#lines(options: Omit<ReceiveOptions, 'prefix'> | undefined): AsyncGenerator<string, void, undefined> {
    for (;;) {
      let line;
      try {
        line = await this.receive('*l', options);
      } catch (error) {
        const partial = error instanceof Error && 'partial' in error ? (error.partial as Uint8Array) : undefined;
        if (error instanceof ClosedError && this.#inflow.ended && partial?.length === 0) return;
        if (partial !== undefined) this.unread(partial);
        throw error;
      }
      yield line;
    }
  }

  /** Bytes as they come, until the peer ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const bytes = await this.receive('*s');
      if (bytes.length === 0) return;
      yield bytes;
    }
  }

  // Steps that never wait.

  /**
   * Receives what is there, up to `atMost` bytes.
   * @returns the bytes; `END` at the end, or a want: try again when the connection is ready for it.
   */
  tryReceive(atMost = TRY_BYTES): Uint8Array | typeof END | WantCode {
    if (!(Number.isSafeInteger(atMost) && atMost >= 1)) checkArgument('tryReceive', 'maxBytes', atMost, wholeBytes);
    this.#assertFree('receive', this.#receiving);
    const { input } = this.#inflow;
    const count = input.length > 0 ? input.length : this.#tryRead(undefined);
    return count < 0 ? (count as typeof END | WantCode) : input.take(Math.min(atMost, input.length));
  }

  /**
   * Receives what is there into `into`;
   * @returns the count, `END`, or a want.
   * @throws {RangeError} when `into` is empty.
   */
  tryReceiveInto(into: Uint8Array): number {
    if (!(into instanceof Uint8Array)) checkArgument('tryReceiveInto', 'the memory', into, bytes);
    // A system call with no room returns 0, which is how the end looks.
    if (into.length === 0) throw new RangeError('tryReceiveInto needs room for at least one byte');
    this.#assertFree('receive', this.#receiving);
    const { input } = this.#inflow;
    return input.length > 0 ? input.takeInto(into) : this.#tryRead(into);
  }

  /**
   * Offers bytes for sending.
   * @returns how many were taken, which may be 0; or a want. What was taken goes out by itself.
   */
  trySend(from: Uint8Array): number {
    if (!(from instanceof Uint8Array)) checkArgument('trySend', 'the data', from, bytes);
    this.#assertFree('send', this.#sending);
    try {
      return this.#note(this.#outflow.write(from));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Runs the handshake as far as it goes now; @returns `DONE` or a want. It never closes on a want. */
  tryHandshake(): StepCode {
    this.#assertFree('handshake', undefined);
    try {
      return this.#note(this.transport.handshake());
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Puts bytes back, to be received next. */
  unread(given: Uint8Array): void {
    checkArgument('unread', 'the data', given, bytes);
    if (this.#state !== 'open') return;
    this.#inflow.input.prepend(given);
    this.#readable?.answered();
    this.armed();
  }

  // Readiness.

  /**
   * Emits this connection, once in a turn at most, while bytes or the end can be received. A hint: a try may still
   * want.
   */
  get readable$(): Observable<this> {
    return (this.#readable ??= this.#newSignal()).observable as Observable<this>;
  }

  /** Emits this connection, once in a turn at most, while it takes bytes. A hint: a try may still want. */
  get writable$(): Observable<this> {
    return (this.#writable ??= this.#newSignal()).observable as Observable<this>;
  }

  /** Tells each wait of an operation as it begins. */
  get wants$(): Observable<Wanting> {
    if (this.#wants === undefined) {
      this.#wants = new Subject();
      if (this.#state === 'closed') this.#wants.complete();
    }
    return this.#wants.asObservable();
  }

  /** Why the last operation or try could not go on at once: LuaSec's `want()`. */
  want(): Want | 'nothing' {
    return this.#lastWant ?? 'nothing';
  }

  /**
   * Aborted when the connection is closed by either side or breaks, whether anybody receives or not; the reason is what
   * ended it, or a `ClosedError`. A peer that only says that it sends nothing more does not abort it: see the event
   * `'end'`.
   */
  get signal(): AbortSignal {
    if (this.#gone === undefined) {
      this.#gone = new AbortController();
      // One connection may have many parts of a program that depend on it.
      setMaxListeners(0, this.#gone.signal);
      if (this.#state === 'closed') this.#gone.abort(this.#goneReason);
      else if (this.#brokenBy !== undefined) this.#gone.abort(this.#brokenBy);
      else this.#lookForEnds();
    }
    return this.#gone.signal;
  }

  override on<E extends EventEmitter.EventNames<ConnectionEvents>>(
    event: E,
    listener: EventEmitter.EventListener<ConnectionEvents, E>,
    context?: unknown,
  ): this {
    super.on(event, listener, context);
    if (event === 'end' || event === 'broken') this.#lookForEnds();
    return this;
  }

  override addListener<E extends EventEmitter.EventNames<ConnectionEvents>>(
    event: E,
    listener: EventEmitter.EventListener<ConnectionEvents, E>,
    context?: unknown,
  ): this {
    return this.on(event, listener, context);
  }

  override once<E extends EventEmitter.EventNames<ConnectionEvents>>(
    event: E,
    listener: EventEmitter.EventListener<ConnectionEvents, E>,
    context?: unknown,
  ): this {
    super.once(event, listener, context);
    if (event === 'end' || event === 'broken') this.#lookForEnds();
    return this;
  }

  /** Whether a receive may succeed now; buffered bytes and the end count. */
  get readableNow(): boolean {
    return this.#state === 'closed' || this.#inflow.ended || this.#hasInput;
  }

  /** Whether a send may succeed now. */
  get writableNow(): boolean {
    return this.#state === 'closed' || (this.basis.socket.handle.readiness & WRITABLE) !== 0;
  }

  // The connection itself.

  /**
   * The limits of operations that bring none of their own; copied when an operation starts.
   * @throws {TypeError | RangeError} for what is none.
   */
  get timeouts(): Timeouts {
    return this.#timeouts;
  }

  set timeouts(timeouts: Timeouts) {
    checkArgument('connection', 'timeouts', timeouts, timeoutsRule);
    this.#timeouts = timeouts;
  }

  /** Sets one limit of the operations to come; negative or `Infinity` for none. LuaSec's `settimeout`. */
  setTimeout(ms: number, mode: TimeoutMode = 'block'): void {
    checkArgument('setTimeout', 'ms', ms, milliseconds);
    checkArgument('setTimeout', 'the mode', mode, timeoutMode);
    this.#timeouts = mode === 'block' ? { ...this.#timeouts, blockMs: ms } : { ...this.#timeouts, totalMs: ms };
  }

  /**
   * Lays a protocol such as TLS over this connection and returns the connection above it. This one is no longer usable
   * by itself. Bytes that were received and not taken go to the layer.
   * @throws {BusyError} while an operation is running.
   */
  secure<C extends Connection>(layer: TransportLayer<C, ConnectionBasis>, options?: LayingOptions): C {
    checkArgument('secure', 'the layer', layer, layerRule);
    if (options !== undefined) checkOptions('secure', options, LAYING_RULES);
    this.#assertFree('handshake', this.#sending ?? this.#receiving ?? this.#handshaking);
    const { basis } = this;
    const layered: LayerOptions = {
      role: options?.role ?? basis.role,
      serverName: options?.serverName ?? (basis.role === 'client' ? basis.host : undefined),
      peer: peerOf(basis, this.remoteAddress),
    };
    const below = this.#inflow.input.length > 0 ? new InflowTransport(this.#inflow) : this.transport;
    const transport = layer.transport(below, layered);
    const above = layer.connection(transport, basis, layered);
    above.#timeouts = this.#timeouts;
    this.#isGiven = true;
    this.#leave(undefined);
    basis.reactor.closed(this);
    return above;
  }

  /** The operations that are running on it. @internal */
  get operations(): Operation<unknown>[] {
    return [...new Set([this.#sending, this.#receiving, this.#handshaking])].filter(
      (operation) => operation !== undefined,
    );
  }

  get localAddress(): Address | undefined {
    return this.basis.socket.localAddress;
  }

  get remoteAddress(): Address | undefined {
    return this.basis.socket.remoteAddress;
  }

  /**
   * Who is at the other end of a Unix socket, as the kernel vouches for it; `undefined` on other sockets and once
   * closed.
   */
  get peerCredentials(): PeerCredentials | undefined {
    return this.basis.socket.peerCredentials;
  }

  /** Sets an option of the socket. @throws {SystemError} when the kernel refuses. */
  setOption(name: SocketOptionName, value: number | boolean): void {
    checkArgument('setOption', 'the name', name, socketOption);
    checkArgument('setOption', name, value, socketValue);
    this.basis.socket.setOption(name, Number(value));
  }

  /** Reads an option of the socket. @throws {SystemError} when the kernel refuses. */
  option(name: SocketOptionName): number {
    checkArgument('option', 'the name', name, socketOption);
    return this.basis.socket.option(name);
  }

  get statistics(): ConnectionStatistics {
    return { bytesIn: this.#inflow.total, bytesOut: this.#outflow.total, ageMs: this.now() - this.#openedAt };
  }

  /** The error that closed it, if one did. */
  get closeReason(): Error | undefined {
    // An error takes its time to make, and hardly anybody asks.
    if (this.#isGiven)
      this.#closedBy ??= new ClosedError('the connection was given to the layer above it; use that one');
    return this.#closedBy;
  }

  /** Whether a layer of the connection encrypts: one over TLS says so. */
  get encrypted(): boolean {
    return false;
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  // What follows is for the machinery below and beside.

  /** @internal */
  get deadlines() {
    return this.basis.reactor.deadlines;
  }

  /** @internal */
  now(): number {
    return this.basis.reactor.now();
  }

  /** @internal */
  get exhausted(): boolean {
    const { turns } = this.basis.reactor;
    if (this.#turn !== turns) {
      this.#turn = turns;
      this.#startedInTurn = 0;
    }
    return ++this.#startedInTurn > STARTS_PER_TURN;
  }

  /** @internal */
  park(operation: Operation<unknown>): void {
    const { want } = operation;
    operation.receivedBefore = this.transport.received;
    this.#lastWant = want;
    // The answer that woke it has been used; this is another question.
    if (want === 'lookup') this.#lookupAnswered = false;
    if (want !== null) this.#wants?.next({ operation: operation.name, want });
    // It may be ready again already: another operation moved bytes, or the try gave way before the end.
    if (!operation.settled && this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);
  }

  /** @internal */
  settled(operation: Operation<unknown>, error?: Error): void {
    if (operation === this.#sending) this.#sending = undefined;
    if (operation === this.#receiving) this.#receiving = undefined;
    if (operation === this.#handshaking) this.#handshaking = undefined;
    if (error === undefined) this.#lastWant = null;
    else if (this.transport.failure !== undefined) this.#endBy(this.transport.failure);
    else if (operation.name === 'handshake' && !this.#keepOpen) this.#destroy(error);
    this.#endWasRead();
    this.#wakeOthers();
  }

  /** Wakes `operation`, a select, when this connection has news. @internal */
  watch(operation: Operation<unknown>): void {
    (this.#waiters ??= new Set()).add(operation);
  }

  /** @internal */
  unwatch(operation: Operation<unknown>): void {
    this.#waiters?.delete(operation);
  }

  /** Gives readiness that is there already to those who have just begun to wait for it, in the next turn. @internal */
  armed(): void {
    this.#endIsNews = this.#inflow.ended;
    if (this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);
  }

  /** @internal */
  dispatch(): void {
    const { transport } = this;
    if ((this.basis.socket.handle.readiness & (BROKEN | HANGUP)) !== 0 || this.#inflow.ended) this.#tellEnds();
    if (transport.hasUnflushed && (this.basis.socket.handle.readiness & WRITABLE) !== 0) this.#flush();
    const receiving = this.#receiving;
    if (receiving !== undefined && this.#mayResume(receiving)) receiving.resume();
    const sending = this.#sending;
    if (sending !== undefined && sending !== receiving && this.#mayResume(sending)) sending.resume();
    const handshaking = this.#handshaking;
    if (handshaking !== undefined && this.#mayResume(handshaking) && this.basis.reactor.takeHandshakeStep())
      handshaking.resume();
    if (this.#readable !== undefined && this.#canTell(this.#readable, this.#hasInput)) this.#tell(this.#readable);
    if (this.#writable !== undefined && this.#canTell(this.#writable, this.writableNow)) this.#tell(this.#writable);
    if (this.#waiters !== undefined) for (const waiter of this.#waiters) this.basis.reactor.wake(waiter);
    if (this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);
  }

  get #hasInput(): boolean {
    const { input, ended } = this.#inflow;
    return (
      input.length > 0 ||
      (ended ? this.#endIsNews : (this.basis.socket.handle.readiness & READABLE) !== 0 || this.#holdsNews)
    );
  }

  /** Whether the transport has data for a read, or a failure that none was told of. */
  get #holdsNews(): boolean {
    return this.transport.hasBuffered || this.transport.failure !== undefined;
  }

  /**
   * Whether somebody waits for something that is there, held-back bytes included: the system may have taken none for
   * want of memory.
   */
  get #isDue(): boolean {
    return (
      (this.transport.hasUnflushed && (this.basis.socket.handle.readiness & WRITABLE) !== 0) ||
      (this.#receiving !== undefined && this.#mayResume(this.#receiving)) ||
      (this.#sending !== undefined && this.#mayResume(this.#sending)) ||
      (this.#handshaking !== undefined && this.#mayResume(this.#handshaking)) ||
      (this.#readable !== undefined && this.#canTell(this.#readable, this.#hasInput)) ||
      (this.#writable !== undefined && this.#canTell(this.#writable, this.writableNow))
    );
  }

  #mayResume(operation: Operation<unknown>): boolean {
    const { readiness } = this.basis.socket.handle;
    switch (operation.want) {
      case 'read':
        // Data that wait in the transport are for receives alone; what the others wait for has yet to come.
        return (
          (readiness & READABLE) !== 0 ||
          (operation === this.#receiving && this.#holdsNews) ||
          this.transport.received !== operation.receivedBefore
        );
      case 'write':
        return (readiness & WRITABLE) !== 0;
      case 'lookup':
        return this.#lookupAnswered;
      case null:
        return true;
    }
  }

  #canTell(signal: ReadinessSignal, ready: boolean): boolean {
    return ready && this.#state === 'open' && signal.armed;
  }

  #newSignal(): ReadinessSignal {
    const signal = new ReadinessSignal(this);
    if (this.#state === 'closed') signal.complete();
    return signal;
  }

  /** Lets the next turn tell what has happened already to those who have just begun to listen for it. */
  #lookForEnds(): void {
    const { handle } = this.basis.socket;
    if (this.#state !== 'closed' && ((handle.readiness & (BROKEN | HANGUP)) !== 0 || this.#inflow.ended))
      this.basis.reactor.enqueue(handle);
  }

  /** An end that was read may have come without news of the socket: a goodbye of TLS. */
  #endWasRead(): void {
    if (this.#inflow.ended && !this.#endTold && this.listenerCount('end') > 0) this.#lookForEnds();
  }

  /** Tells of the peer's end, and of what broke the connection, to those who listen. */
  #tellEnds(): void {
    const { socket } = this.basis;
    const isBroken = (socket.handle.readiness & BROKEN) !== 0;
    if (!this.#endTold && !isBroken && this.listenerCount('end') > 0) {
      this.#endTold = true;
      guarded(() => this.emit('end'));
    }
    if (!isBroken || (this.#gone === undefined && this.listenerCount('broken') === 0)) return;
    const broken = socket.brokenBy();
    socket.handle.readiness &= ~BROKEN;
    if (broken === undefined) return;
    // The peer may have said why.
    const error = (this.#brokenBy = this.transport.failure ?? broken);
    guarded(() => this.emit('broken', error));
    guarded(() => this.#gone?.abort(error));
  }

  get #goneReason(): Error {
    return this.closeReason ?? new ClosedError('the connection is closed');
  }

  #setRef(isRef: boolean): this {
    if (this.#isRef !== isRef && this.#state !== 'closed') this.basis.reactor.countRef(isRef);
    this.#isRef = isRef;
    return this;
  }

  #tell(signal: ReadinessSignal): void {
    if (signal === this.#readable) this.#endIsNews = false;
    if (signal.emit(this)) guarded(() => this.basis.reactor.emit('spin', this));
  }

  #begin<T>(step: Step<T>, options: OperationOptions | undefined, slots: number, prefix?: Uint8Array): Operation<T> {
    const operation = new Operation(step, this, mergeTimeouts(this.#timeouts, options?.timeouts), options?.signal);
    const busy =
      ((slots & SEND) !== 0 ? this.#sending : undefined) ??
      ((slots & RECEIVE) !== 0 ? this.#receiving : undefined) ??
      ((slots & HANDSHAKE) !== 0 ? this.#handshaking : undefined);
    if (busy !== undefined || this.#state !== 'open') {
      return operation.refuse(
        busy === undefined ? this.#closedError(step.name, 'refused') : new BusyError(step.name, busy.name),
      );
    }
    if (prefix !== undefined) this.#inflow.input.prepend(prefix);
    this.#readable?.answered();
    this.#writable?.answered();
    if ((slots & SEND) !== 0) this.#sending = operation;
    if ((slots & RECEIVE) !== 0) this.#receiving = operation;
    if ((slots & HANDSHAKE) !== 0) this.#handshaking = operation;
    return operation.start();
  }

  #tryRead(into: Uint8Array | undefined): number {
    try {
      return this.#note(into === undefined ? this.#inflow.pull() : this.#inflow.pullInto(into));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Ends the connection when the transport failed for both directions; @returns what to throw. */
  #failed(error: unknown): unknown {
    if (this.transport.failure !== undefined) this.#endBy(this.transport.failure);
    return error;
  }

  /**
   * Ends the connection by a failure of both directions: at once, or when a receive meets it behind all that came
   * before.
   */
  #endBy(failure: Error): void {
    const isOwed = this.#state === 'open' && (this.#inflow.input.length > 0 || this.transport.hasBuffered);
    if (isOwed) this.basis.reactor.enqueue(this.basis.socket.handle);
    else this.#destroy(failure);
  }

  /** @throws unless a try of that kind may be made now. It counts as an answer to readiness. */
  #assertFree(name: OperationName, running: Operation<unknown> | undefined): void {
    if (this.#state !== 'open') throw this.#closedError(name, 'refused');
    if (running !== undefined) throw new BusyError(name, running.name);
    this.#readable?.answered();
    this.#writable?.answered();
  }

  #note<N extends number>(code: N): N {
    this.#lastWant = code < 0 && isWant(code) ? wantOf(code) : null;
    if (code === END) this.#endWasRead();
    this.#wakeOthers();
    return code;
  }

  /**
   * A handshake that one operation or try has brought on is that of all: those that wait for the same bytes must look
   * again.
   */
  #wakeOthers(): void {
    const waits =
      this.#sending !== undefined ||
      this.#receiving !== undefined ||
      this.#handshaking !== undefined ||
      this.transport.hasUnflushed;
    if (waits && this.#state !== 'closed' && this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);
  }

  #closedError(name: OperationName, what: 'refused' | 'failed'): ClosedError {
    const error = new ClosedError(`${name} ${what}: ${this.closeReason?.message ?? 'the connection is closed'}`, {
      cause: this.closeReason,
    });
    error.operation = name;
    return error;
  }

  #flush(): void {
    try {
      this.transport.flush();
    } catch {
      // The transport remembers, and tells the next send; what the peer sent before may still be received.
    }
  }

  async #close(limits: CloseLimits): Promise<void> {
    const farewell = new ShutdownStep(this.#inflow, this.#outflow, 'both', false);
    const watch = await this.#leaveWith(farewell, limits, 'closed');
    // More came than is dropped: the kernel holds it, and a reset that answers it must not destroy what is on its way
    // to the peer.
    if (!this.#inflow.ended) await this.#acknowledged(watch);
    this.#destroy();
    await this.#isGone();
  }

  async #breakOff(limits: CloseLimits, reason: Error | undefined): Promise<void> {
    // Of nothing, which is sent when nothing is held below any more.
    const flush = new SendStep(this.#outflow, NOTHING, undefined);
    const watch = await this.#leaveWith(flush, limits, 'broken off');
    await this.#acknowledged(watch);
    if (this.closed) return;
    const hasGoodbye = this.transport !== this.basis.socket;
    if (watch.expired || !hasGoodbye) {
      this.abort(reason);
      return;
    }
    this.#destroy(reason, limits);
    await this.#isGone();
  }

  /**
   * Ends running operations, lets a running send finish, and then `last`; whatever keeps them from it, what remains is
   * to close.
   */
  async #leaveWith(last: Step<unknown>, limits: CloseLimits, how: string): Promise<ProgressWatch> {
    let running = this.#sending;
    this.#receiving?.fail(new ClosedError(`receive failed: the connection was ${how}`));
    this.#handshaking?.fail(new ClosedError(`handshake failed: the connection was ${how}`));
    this.#state = this.closed ? 'closed' : 'closing';
    const watch = (this.#watch = new ProgressWatch(this.basis.reactor, this.basis.socket, limits, () => {
      running?.fail(new ClosedError(`${running.name} failed: the connection was ${how} before it was done`));
    }));
    await running?.then(undefined, () => undefined);
    if (watch.expired || this.closed) return watch;
    this.#sending = running = new Operation(last, this, {});
    await running.start().then(undefined, () => undefined);
    return watch;
  }

  /** Waits until the peer's system has taken everything, the watch gives up, or the connection is gone. */
  #acknowledged(watch: ProgressWatch): Promise<void> {
    return new Promise((resolve) => {
      if (watch.expired || this.closed) resolve();
      else {
        this.once('close', () => {
          resolve();
        });
        watch.onExpire(resolve);
        watch.whenAcknowledged(resolve);
      }
    });
  }

  /** Resolves when the descriptor is given back: later than the end of a connection that lingers. */
  async #isGone(): Promise<void> {
    await this.#linger?.over;
  }

  /**
   * Ends everything at once: operations fail, signals complete, the descriptor is given back, or lingers within limits
   * (`null`: it does not).
   */
  #destroy(
    error?: Error,
    lingers: CloseLimits | null = error === undefined || error instanceof SystemError || this.#inflow.ended
      ? null
      : ALERT_LIMITS,
  ): void {
    if (this.#state === 'closed') return;
    this.basis.socket.handle.owner = undefined;
    this.#leave(error);
    this.#inflow.input.clear();
    if (lingers === null) this.transport.close();
    else this.#linger = new Linger(this.transport, this.basis.socket, this.basis.reactor, lingers);
    this.basis.reactor.closed(this);
    guarded(() => this.emit('close', error));
  }

  #leave(error: Error | undefined): void {
    this.#state = 'closed';
    this.#closedBy = error;
    this.#watch?.stop();
    if (!this.#isRef) this.basis.reactor.countRef(true);
    for (const operation of [this.#sending, this.#receiving, this.#handshaking])
      operation?.fail(this.#closedError(operation.name, 'failed'));
    for (const waiter of this.#waiters ?? []) this.basis.reactor.wake(waiter);
    this.#readable?.complete();
    this.#writable?.complete();
    this.#wants?.complete();
    const gone = this.#gone;
    if (gone !== undefined)
      guarded(() => {
        gone.abort(this.#goneReason);
      });
  }
}

/** What a client knows its peer by. */
function peerOf({ role, host }: ConnectionBasis, address: Address | undefined): string | undefined {
  if (role === 'server' || address === undefined) return undefined;
  return address.family === 'unix' ? address.path : `${host ?? address.host}:${String(address.port)}`;
}

// An alert needs no longer than a round trip; what lies before it is waited for while it is taken.
const ALERT_LIMITS = closeLimits({ idleMs: 500 });
const SEND = 1;
const RECEIVE = 2;
const HANDSHAKE = 4;
const TRY_BYTES = 64 * 1024;
const NOTHING = new Uint8Array(0);
// A connection whose every operation succeeds at once still lets the others have their turn.
const STARTS_PER_TURN = 32;
