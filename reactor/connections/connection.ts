/**
 * A connection: the face of one transport. It is longer than other files because it is the one surface that users see;
 * the operations behind it are in `slots.ts`, its ends in `closing.ts` and `ends.ts`.
 */

import { EventEmitter } from 'eventemitter3';
import type { Observable } from 'rxjs';

import { BusyError, ClosedError, SystemError } from '../../core/errors.ts';
import type { OperationName } from '../../core/errors.ts';
import { HandshakeStep } from '../../core/handshake.ts';
import { mergeTimeouts, Operation, OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions, Step } from '../../core/operation.ts';
import { bytes, checkArgument, checkOptions, milliseconds } from '../../core/options.ts';
import { patternOf, until } from '../../core/pattern.ts';
import type { PatternName, Received } from '../../core/pattern.ts';
import { ReceiveIntoStep, ReceiveStep, SkipStep } from '../../core/receive.ts';
import { SendStep } from '../../core/send.ts';
import type { Sendable, SendRange } from '../../core/send.ts';
import { ShutdownStep } from '../../core/shutdown.ts';
import type { Direction } from '../../core/shutdown.ts';
import { timeoutsRule } from '../../core/timeouts.ts';
import type { TimeoutMode, Timeouts } from '../../core/timeouts.ts';
import { layerRule, LAYING_RULES } from '../../core/transport-layer.ts';
import type { LayingOptions, TransportLayer } from '../../core/transport-layer.ts';
import type { Transport } from '../../core/transport.ts';
import type { END, StepCode, Want, WantCode } from '../../core/want.ts';
import type { Address } from '../addresses/address.ts';
import { guarded } from '../guarded.ts';
import type { Selectable } from '../select.ts';
import type { PeerCredentials } from '../system-calls.ts';
import { Closing } from './closing.ts';
import { layered } from './connection-basis.ts';
import type { ConnectionBasis } from './connection-basis.ts';
import {
  bytesToSkip,
  direction,
  HANDSHAKE_RULES,
  LINES_RULES,
  piece,
  RECEIVE_RULES,
  SEND_RULES,
  sendable,
  socketOption,
  socketValue,
  timeoutMode,
  wholeBytes,
} from './connection-options.ts';
import type { ConnectionEvents, ConnectionStatistics, HandshakeOptions, ReceiveOptions } from './connection-options.ts';
import { Ends } from './ends.ts';
import { InflowTransport } from './inflow-transport.ts';
import { Linger } from './linger.ts';
import { closeLimits } from './progress-watch.ts';
import type { CloseLimits, ConnectionCloseOptions } from './progress-watch.ts';
import { HANDSHAKE, RECEIVE, SEND, Slots } from './slots.ts';
import type { Wanting } from './slots.ts';
import type { SocketOptionName } from './socket-options.ts';

/** A bidirectional stream of bytes. */
export class Connection extends EventEmitter<ConnectionEvents> implements Selectable {
  /** @internal */ readonly basis: ConnectionBasis;
  /** @internal */ readonly transport: Transport;
  readonly #slots: Slots;
  readonly #openedAt: number;
  #timeouts: Timeouts = {};
  #isRef = true;
  /** Whether a layer above has it now. */
  #isGiven = false;
  #closedBy: Error | undefined;
  #closing: Closing | undefined;
  #closed: Promise<void> | undefined;
  #linger: Linger | undefined;
  #ends: Ends | undefined;

  /** Listeners, `reactor.connect` and layers make connections: a layer calls this with the `basis` that it was given. */
  constructor(transport: Transport, basis: ConnectionBasis) {
    super();
    this.transport = transport;
    this.basis = basis;
    this.#slots = new Slots(this, transport, basis.loop, basis.socket.handle);
    this.#openedAt = basis.loop.now();
    basis.loop.opened('connection', this);
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
    return this.#begin(new SendStep(this.#slots.outflow, data, options), options, SEND);
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
      this.#slots.inflow,
      patternOf(pattern === undefined ? '*l' : pattern),
      options?.maxBytes,
    );
    return this.#begin(step as Step<Received<P>>, options, RECEIVE, options?.prefix);
  }

  /**
   * Receives all bytes before `delimiter`, and removes the delimiter. The bytes are not decoded. A failure carries the
   * gathered bytes as `partial`, as for {@link receive}.
   * @param delimiter text (as UTF-8) or bytes, at least one.
   * @param options `maxBytes` bounds the message without its delimiter: 64 KiB unless given.
   * @throws {RangeError} when the delimiter is empty or `maxBytes` is not valid.
   */
  receiveUntil(delimiter: string | Uint8Array, options?: ReceiveOptions): Operation<Uint8Array> {
    checkArgument('receiveUntil', 'the delimiter', delimiter, piece);
    if (options !== undefined) checkOptions('receiveUntil', options, RECEIVE_RULES);
    const bytes = typeof delimiter === 'string' ? Buffer.from(delimiter) : delimiter.slice();
    const step = new ReceiveStep(this.#slots.inflow, until(bytes), options?.maxBytes);
    return this.#begin(step, options, RECEIVE, options?.prefix);
  }

  /**
   * Receives `count` bytes and discards them; resolves to `count`. After a failure the bytes that came are gone, and the
   * operation's `last` says how many.
   * @throws {RangeError} when `count` is not a whole number of at least 0.
   */
  skip(count: number, options?: OperationOptions): Operation<number> {
    checkArgument('skip', 'the count', count, bytesToSkip);
    if (options !== undefined) checkOptions('skip', options, OPERATION_RULES);
    return this.#begin(new SkipStep(this.#slots.inflow, count), options, RECEIVE);
  }

  /** Receives what is there, at least one byte, into the caller's memory; resolves to the count, 0 at the end. */
  receiveInto(into: Uint8Array, options?: OperationOptions): Operation<number> {
    checkArgument('receiveInto', 'the memory', into, bytes);
    if (options !== undefined) checkOptions('receiveInto', options, OPERATION_RULES);
    return this.#begin(new ReceiveIntoStep(this.#slots.inflow, into), options, RECEIVE);
  }

  /**
   * Runs the layer's handshake; a plain connection has none and is done at once. Sends and receives run it by
   * themselves. On fatal errors the connection is closed, on timeout and cancel too, unless `keepOpen` is set or a
   * limit of zero asks for one try.
   */
  handshake(options?: HandshakeOptions): Operation<void> {
    if (options !== undefined) checkOptions('handshake', options, HANDSHAKE_RULES);
    const { blockMs, totalMs } = mergeTimeouts(this.#timeouts, options?.timeouts);
    if (this.#slots.handshaking === undefined)
      this.#slots.keepOpen = options?.keepOpen === true || blockMs === 0 || totalMs === 0;
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
    const { handshaking } = this.#slots;
    if (handshaking?.name === 'handshake' && handshaking.want !== null) handshaking.succeed(undefined);
  }

  /** Says that nothing more will be sent, waits until the peer says so, or both. */
  shutdown(what: Direction = 'send', options?: OperationOptions): Operation<void> {
    checkArgument('shutdown', 'the direction', what, direction);
    if (options !== undefined) checkOptions('shutdown', options, OPERATION_RULES);
    return this.#begin(
      new ShutdownStep(this.#slots.inflow, this.#slots.outflow, what),
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
    return (this.#closed ??= this.closed ? this.#isGone() : this.#end(limits, (closing) => closing.politely()));
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
    return (this.#closed ??= this.closed ? this.#isGone() : this.#end(limits, (closing) => closing.byBreaking(reason)));
  }

  /**
   * Breaks the connection now: the peer sees a reset. Running operations fail.
   * @param reason what they, the connection's `closeReason` and its `signal` are told.
   */
  abort(reason?: Error): void {
    this.#linger?.abort();
    if (this.closed) return;
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

  /** Closes it, at the end of an `await using` block. */
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
    return this.#messages(() => this.receive('*l', options));
  }

  /**
   * Lines as bytes, until the peer ends: each without its LF, and without a CR before that. Nothing is decoded, so two
   * different lines stay different. It ends as {@link lines} does.
   */
  byteLines(options?: Omit<ReceiveOptions, 'prefix'>): AsyncGenerator<Uint8Array, void, undefined> {
    if (options !== undefined) checkOptions('byteLines', options, LINES_RULES);
    return this.#byteLines(options);
  }

  async *#byteLines(options: Omit<ReceiveOptions, 'prefix'> | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const line of this.#messages(() => this.receiveUntil('\n', options)))
      yield line.at(-1) === CR ? line.subarray(0, -1) : line;
  }

  async *#messages<T>(receive: () => Operation<T>): AsyncGenerator<T, void, undefined> {
    for (;;) {
      let message;
      try {
        message = await receive();
      } catch (error) {
        const partial = error instanceof Error && 'partial' in error ? (error.partial as Uint8Array) : undefined;
        if (error instanceof ClosedError && this.#slots.inflow.ended && partial?.length === 0) return;
        if (partial !== undefined) this.unread(partial);
        throw error;
      }
      yield message;
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
    this.#assertFree('receive', this.#slots.receiving);
    const { input } = this.#slots.inflow;
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
    this.#assertFree('receive', this.#slots.receiving);
    const { input } = this.#slots.inflow;
    return input.length > 0 ? input.takeInto(into) : this.#tryRead(into);
  }

  /**
   * Offers bytes for sending.
   * @returns how many were taken, which may be 0; or a want. What was taken goes out by itself.
   */
  trySend(from: Uint8Array): number {
    if (!(from instanceof Uint8Array)) checkArgument('trySend', 'the data', from, bytes);
    this.#assertFree('send', this.#slots.sending);
    try {
      return this.#slots.note(this.#slots.outflow.write(from));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Runs the handshake as far as it goes now; @returns `DONE` or a want. It never closes on a want. */
  tryHandshake(): StepCode {
    this.#assertFree('handshake', undefined);
    try {
      return this.#slots.note(this.transport.handshake());
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Puts bytes back, to be received next. */
  unread(given: Uint8Array): void {
    checkArgument('unread', 'the data', given, bytes);
    if (this.#slots.state !== 'open') return;
    this.#slots.inflow.input.prepend(given);
    this.#slots.answered();
    this.#slots.armed();
  }

  // Readiness.

  /**
   * Emits this connection, once in a turn at most, while bytes or the end can be received. A hint: a try may still
   * want.
   */
  get readable$(): Observable<this> {
    return this.#slots.readable() as Observable<this>;
  }

  /** Emits this connection, once in a turn at most, while it takes bytes. A hint: a try may still want. */
  get writable$(): Observable<this> {
    return this.#slots.writable() as Observable<this>;
  }

  /** Tells each wait of an operation as it begins. */
  get wants$(): Observable<Wanting> {
    return this.#slots.wants();
  }

  /** Why the last operation or try could not go on at once: LuaSec's `want()`. */
  want(): Want | 'nothing' {
    return this.#slots.lastWant ?? 'nothing';
  }

  /**
   * Aborted when the connection is closed by either side or breaks, whether anybody receives or not; the reason is what
   * ended it, or a `ClosedError`. A peer that only says that it sends nothing more does not abort it: see the event
   * `'end'`.
   */
  get signal(): AbortSignal {
    return this.#lazyEnds.signal(() => (this.closed ? this.#goneReason : undefined));
  }

  override on<E extends EventEmitter.EventNames<ConnectionEvents>>(
    event: E,
    listener: EventEmitter.EventListener<ConnectionEvents, E>,
    context?: unknown,
  ): this {
    super.on(event, listener, context);
    if (event === 'end' || event === 'broken') this.#lazyEnds.lookAgain();
    return this;
  }

  /** The same as {@link on}. */
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
    if (event === 'end' || event === 'broken') this.#lazyEnds.lookAgain();
    return this;
  }

  /** Whether a receive may succeed now; buffered bytes and the end count. */
  get readableNow(): boolean {
    return this.#slots.readableNow;
  }

  /** Whether a send may succeed now. */
  get writableNow(): boolean {
    return this.#slots.writableNow;
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
    this.#assertFree('handshake', this.#slots.busy(SEND | RECEIVE | HANDSHAKE));
    const { inflow } = this.#slots;
    const below = inflow.input.length > 0 ? new InflowTransport(inflow) : this.transport;
    const above = layered(layer, below, this.basis, options);
    above.#timeouts = this.#timeouts;
    this.#isGiven = true;
    this.#leave(undefined);
    this.basis.loop.closed('connection', this);
    return above;
  }

  /** The operations that are running on it. @internal */
  get operations(): Operation<unknown>[] {
    return this.#slots.running;
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
    return {
      bytesIn: this.#slots.inflow.total,
      bytesOut: this.#slots.outflow.total,
      ageMs: this.basis.loop.now() - this.#openedAt,
    };
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
    return this.#slots.state === 'closed';
  }

  // What follows is for the parts of a connection.

  /** Wakes `operation`, a select, when this connection has news. @internal */
  watch(operation: Operation<unknown>): void {
    this.#slots.watch(operation);
  }

  /** @internal */
  unwatch(operation: Operation<unknown>): void {
    this.#slots.unwatch(operation);
  }

  /** @internal */
  reportEnds(): void {
    this.#ends?.report();
  }

  /** @internal */
  lookForReadEnd(): void {
    this.#ends?.lookForReadEnd();
  }

  /**
   * Ends the connection by a failure of both directions: at once, or when a receive meets it behind all that came
   * before. @internal
   */
  endBy(failure: Error): void {
    const { inflow, state } = this.#slots;
    const isOwed = state === 'open' && (inflow.input.length > 0 || this.transport.hasBuffered);
    if (isOwed) this.#slots.enqueue();
    else this.#destroy(failure);
  }

  /** Ends the connection at once. @internal */
  destroy(error?: Error, lingers?: CloseLimits): void {
    this.#destroy(error, lingers);
  }

  /** @internal */
  onceClosed(task: () => void): void {
    this.once('close', task);
  }

  get #lazyEnds(): Ends {
    return (this.#ends ??= new Ends(this, this.#slots, this.basis.socket));
  }

  get #goneReason(): Error {
    return this.closeReason ?? new ClosedError('the connection is closed');
  }

  #setRef(isRef: boolean): this {
    if (this.#isRef !== isRef && !this.closed) this.basis.loop.countRef(isRef);
    this.#isRef = isRef;
    return this;
  }

  #begin<T>(step: Step<T>, options: OperationOptions | undefined, slots: number, prefix?: Uint8Array): Operation<T> {
    const timeouts = mergeTimeouts(this.#timeouts, options?.timeouts);
    const operation = new Operation(step, this.#slots, timeouts, options?.signal);
    const busy = this.#slots.busy(slots);
    if (busy !== undefined) return operation.refuse(new BusyError(step.name, busy.name));
    if (this.#slots.state !== 'open') return operation.refuse(this.#closedError(step.name, 'refused'));
    if (prefix !== undefined) this.#slots.inflow.input.prepend(prefix);
    return this.#slots.start(operation, slots);
  }

  #tryRead(into: Uint8Array | undefined): number {
    const { inflow } = this.#slots;
    try {
      return this.#slots.note(into === undefined ? inflow.pull() : inflow.pullInto(into));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Ends the connection when the transport failed for both directions; @returns what to throw. */
  #failed(error: unknown): unknown {
    if (this.transport.failure !== undefined) this.endBy(this.transport.failure);
    return error;
  }

  /** @throws unless a try of that kind may be made now. It counts as an answer to readiness. */
  #assertFree(name: OperationName, running: Operation<unknown> | undefined): void {
    if (this.#slots.state !== 'open') throw this.#closedError(name, 'refused');
    this.#slots.assertFree(name, running);
  }

  #closedError(name: OperationName, what: 'refused' | 'failed'): ClosedError {
    const error = new ClosedError(`${name} ${what}: ${this.closeReason?.message ?? 'the connection is closed'}`, {
      cause: this.closeReason,
    });
    error.operation = name;
    return error;
  }

  async #end(limits: CloseLimits, how: (closing: Closing) => Promise<void>): Promise<void> {
    this.#closing = new Closing(this, this.#slots, this.basis, limits);
    await how(this.#closing);
    await this.#isGone();
  }

  /** Resolves when the descriptor is given back: later than the end of a connection that lingers. */
  async #isGone(): Promise<void> {
    await this.#linger?.over;
  }

  /**
   * Ends everything at once: operations fail, observables complete, the descriptor is given back, or lingers within
   * limits (`null`: it does not).
   */
  #destroy(
    error?: Error,
    lingers: CloseLimits | null = error === undefined || error instanceof SystemError || this.#slots.inflow.ended
      ? null
      : ALERT_LIMITS,
  ): void {
    if (this.closed) return;
    const { loop, socket } = this.basis;
    socket.handle.owner = undefined;
    this.#leave(error);
    this.#slots.inflow.input.clear();
    if (lingers === null) this.transport.close();
    else this.#linger = new Linger(this.transport, socket, loop, lingers);
    loop.closed('connection', this);
    guarded(() => this.emit('close', error));
  }

  #leave(error: Error | undefined): void {
    this.#slots.state = 'closed';
    this.#closedBy = error;
    this.#closing?.stop();
    if (!this.#isRef) this.basis.loop.countRef(true);
    this.#slots.close((operation) => this.#closedError(operation.name, 'failed'));
    this.#ends?.abort(() => this.#goneReason);
  }
}

// An alert needs no longer than a round trip; what lies before it is waited for while it is taken.
const ALERT_LIMITS = closeLimits({ idleMs: 500 });
const TRY_BYTES = 64 * 1024;
const CR = 13;
