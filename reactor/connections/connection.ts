/**
 * A connection: the public interface of one transport. Long because it has everything that users call. The running
 * operations are in `slots.ts`; the ways to end are in `closing.ts` and `ends.ts`.
 */

import { EventEmitter } from 'eventemitter3';
import type { Observable } from 'rxjs';

import { BusyError, ClosedError, SystemError } from '../../core/errors.ts';
import type { OperationName } from '../../core/errors.ts';
import { Framing, patternOfFraming } from '../../core/framing.ts';
import { HandshakeStep } from '../../core/handshake.ts';
import { mergeTimeouts, Operation, OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions, Step } from '../../core/operation.ts';
import { bytes, checkArgument, checkOptions, milliseconds } from '../../core/options.ts';
import { BYTE_LINE, LINE, patternOf, TOO_EARLY, until } from '../../core/pattern.ts';
import type { Pattern, PatternName, Received } from '../../core/pattern.ts';
import { endedEarly, measured, ReceiveIntoStep, ReceiveStep, SkipStep, taken } from '../../core/receive.ts';
import { SendStep } from '../../core/send.ts';
import type { Sendable, SendRange } from '../../core/send.ts';
import { ShutdownStep } from '../../core/shutdown.ts';
import type { Direction } from '../../core/shutdown.ts';
import { timeoutsRule } from '../../core/timeouts.ts';
import type { TimeoutMode, Timeouts } from '../../core/timeouts.ts';
import { layerRule, LAYING_RULES } from '../../core/transport-layer.ts';
import type { LayingOptions, TransportLayer } from '../../core/transport-layer.ts';
import type { Transport } from '../../core/transport.ts';
import { END, WANT_READ } from '../../core/want.ts';
import type { StepCode, Want, WantCode } from '../../core/want.ts';
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
  framingRule,
  HANDSHAKE_RULES,
  LINES_RULES,
  piece,
  RECEIVE_RULES,
  SEND_RULES,
  sendable,
  socketOption,
  socketValue,
  timeoutMode,
  TRY_RECEIVE_RULES,
  wholeBytes,
} from './connection-options.ts';
import type {
  ConnectionEvents,
  ConnectionStatistics,
  HandshakeOptions,
  ReceiveOptions,
  TryReceiveOptions,
} from './connection-options.ts';
import { Ends } from './ends.ts';
import { InflowTransport } from './inflow-transport.ts';
import { Linger } from './linger.ts';
import { Messages } from './messages.ts';
import { closeLimits } from './progress-watch.ts';
import type { CloseLimits, ConnectionCloseOptions } from './progress-watch.ts';
import { HANDSHAKE, RECEIVE, SEND, Slots } from './slots.ts';
import type { Wanting } from './slots.ts';
import type { SocketOptionName } from './socket-options.ts';

/**
 * A bidirectional stream of bytes.
 * @example
 * import { OperationTimeoutError, Reactor } from 'wantio';
 *
 * const reactor = new Reactor();
 * const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * const connection = await reactor.connect({ host: '127.0.0.1', port: listener.port });
 * const peer = await listener.accept();
 *
 * await peer.send('length 5\r\nhello');
 * const header = await connection.receiveUntil('\r\n', { maxBytes: 100 });
 * const length = Number(Buffer.from(header).toString().slice('length '.length));
 * if (Buffer.from(await connection.receive(length)).toString() !== 'hello') throw new Error('the body is another one');
 * try {
 *   await connection.receive('*l', { timeouts: { blockMs: 10 } });
 * } catch (error) {
 *   if (!(error instanceof OperationTimeoutError)) throw error;
 * }
 * await Promise.all([connection.close(), peer.close()]);
 * await reactor.close();
 */
export class Connection extends EventEmitter<ConnectionEvents> implements Selectable {
  /** @internal */ readonly basis: ConnectionBasis;
  /** @internal */ readonly transport: Transport;
  readonly #slots: Slots;
  readonly #openedAt: number;
  #timeouts: Timeouts = {};
  #isRef = true;
  /** Whether a layer such as TLS has taken the connection over. */
  #isTakenOver = false;
  #closedBy: Error | undefined;
  #closing: Closing | undefined;
  #closed: Promise<void> | undefined;
  #linger: Linger | undefined;
  #ends: Ends | undefined;

  /**
   * Listeners, `reactor.connect` and layers create connections. A layer calls this with the `basis` that it got from
   * `connection`.
   */
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
   * @returns resolves to the index of the last byte sent, once the kernel has accepted all bytes. An error carries
   * `last` and `rest`: to retry, send from `last + 1`.
   * @throws {RangeError} when the range lies outside of the data.
   */
  send(data: Sendable, options?: SendRange & OperationOptions): Operation<number> {
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) checkArgument('send', 'the data', data, sendable);
    if (options !== undefined) checkOptions('send', options, SEND_RULES);
    return this.#begin(new SendStep(this.#slots.outflow, data, options), options, SEND);
  }

  /**
   * Sends a message of a framing: the same as `send(framing.encode(message), options)`. If the message is or contains
   * bytes, they must not change until the operation settles.
   * @throws {FramingError} when the framing cannot carry the message.
   */
  sendMessage<Out>(framing: Framing<unknown, Out>, message: Out, options?: OperationOptions): Operation<number> {
    checkArgument('sendMessage', 'the framing', framing, framingRule);
    if (options !== undefined) checkOptions('sendMessage', options, OPERATION_RULES);
    return this.send(framing.encode(message), options);
  }

  /**
   * Receives what `pattern` asks for: `'*l'` a line (text without its LF and with every CR removed), `'*a'` everything
   * until the end, `'*s'` some bytes (none at the end), or a number for that many bytes. An error carries the gathered
   * bytes as `partial`: pass them back as `prefix`, or call {@link unread} with them.
   * @throws {RangeError} when the pattern or `maxBytes` is not valid.
   */
  receive<P extends PatternName = '*l'>(pattern?: P, options?: ReceiveOptions): Operation<Received<P>>;
  /**
   * Receives one message of a framing. It fails with a `BoundsError` when the message is longer than `maxBytes`, and
   * with a `FramingError` when the bytes are no message. An error carries the gathered bytes as `partial`.
   * @throws {RangeError} when `maxBytes` is not valid.
   */
  receive<In>(framing: Framing<In, never>, options?: ReceiveOptions): Operation<In>;
  receive(pattern: PatternName | Framing<unknown, never> = '*l', options?: ReceiveOptions): Operation<unknown> {
    if (options !== undefined) checkOptions('receive', options, RECEIVE_RULES);
    return this.receiveBy<unknown>(
      pattern instanceof Framing ? patternOfFraming(pattern) : patternOf(pattern),
      options,
    );
  }

  /** @internal */
  receiveBy<T>(pattern: Pattern<T>, options: ReceiveOptions | undefined): Operation<T> {
    const step = new ReceiveStep(this.#slots.inflow, pattern, options?.maxBytes);
    return this.#begin(step, options, RECEIVE, options?.prefix);
  }

  /**
   * Receives all bytes before `delimiter`, and removes the delimiter. The bytes are not decoded. An error carries the
   * gathered bytes as `partial`, as for {@link receive}.
   * @param delimiter a string (as UTF-8) or bytes, at least one byte.
   * @param options `maxBytes` limits the message without its delimiter; 64 KiB by default.
   * @throws {RangeError} when the delimiter is empty or `maxBytes` is not valid.
   */
  receiveUntil(delimiter: string | Uint8Array, options?: ReceiveOptions): Operation<Uint8Array> {
    checkArgument('receiveUntil', 'the delimiter', delimiter, piece);
    if (options !== undefined) checkOptions('receiveUntil', options, RECEIVE_RULES);
    const bytes = typeof delimiter === 'string' ? Buffer.from(delimiter) : delimiter.slice();
    return this.receiveBy(until(bytes), options);
  }

  /**
   * Receives `count` bytes and discards them. Resolves to `count`. After a failure, the received bytes are lost; the
   * `last` of the operation is their number.
   * @throws {RangeError} when `count` is not a whole number of at least 0.
   */
  skip(count: number, options?: OperationOptions): Operation<number> {
    checkArgument('skip', 'the count', count, bytesToSkip);
    if (options !== undefined) checkOptions('skip', options, OPERATION_RULES);
    return this.#begin(new SkipStep(this.#slots.inflow, count), options, RECEIVE);
  }

  /** Receives any bytes, at least one, into the caller's memory. Resolves to the count, which is 0 at the end. */
  receiveInto(into: Uint8Array, options?: OperationOptions): Operation<number> {
    checkArgument('receiveInto', 'the memory', into, bytes);
    if (options !== undefined) checkOptions('receiveInto', options, OPERATION_RULES);
    return this.#begin(new ReceiveIntoStep(this.#slots.inflow, into), options, RECEIVE);
  }

  /**
   * Runs the layer's handshake. A plain connection has none, so the operation succeeds at once. Sends and receives run
   * the handshake by themselves. A fatal error closes the connection. A timeout or a cancel closes it too, unless
   * `keepOpen` is set or a limit is zero.
   */
  handshake(options?: HandshakeOptions): Operation<void> {
    if (options !== undefined) checkOptions('handshake', options, HANDSHAKE_RULES);
    const { blockMs, totalMs } = mergeTimeouts(this.#timeouts, options?.timeouts);
    if (this.#slots.handshaking === undefined)
      this.#slots.keepOpen = options?.keepOpen === true || blockMs === 0 || totalMs === 0;
    return this.#begin(new HandshakeStep(this.transport), options, HANDSHAKE);
  }

  /** Runs a layer's own step, in the slot of the handshake, so that it can run beside sends and receives. @internal */
  protected runLikeHandshake(step: Step<void>, options: OperationOptions | undefined): Operation<void> {
    return this.#begin(step, options, HANDSHAKE);
  }

  /**
   * Called when the layer's handshake is complete. A waiting `handshake` operation succeeds now, even if another
   * operation has completed the handshake. A later failure of the connection does not change that.
   * @internal
   */
  protected handshakeIsComplete(): void {
    const { handshaking } = this.#slots;
    if (handshaking?.name === 'handshake' && handshaking.want !== null) handshaking.succeed(undefined);
  }

  /**
   * Half-closes the connection, waits until the peer does, or both.
   * @param what `'send'` tells the peer that nothing more will be sent, `'receive'` waits until the peer has ended its
   * direction and drops the data that still arrive, `'both'` does both.
   */
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
   * Closes the connection gracefully. It lets a running send finish, half-closes the connection, waits for the peer's
   * half-close, then closes the descriptor. It drops data that arrive while it waits, because unread data would
   * make the kernel send a reset, which would destroy the last data on their way. A running receive fails. When a limit
   * passes, the connection is closed anyway.
   * @param options how long the close may take: by default 30 seconds, with at most 2 without progress.
   * @returns resolves when the descriptor is closed.
   */
  close(options?: ConnectionCloseOptions): Promise<void> {
    const limits = closeLimits(options);
    return (this.#closed ??= this.closed ? this.#isGone() : this.#end(limits, (closing) => closing.gracefully()));
  }

  /**
   * Ends the connection in such a way that the peer knows that bytes are missing. It first delivers the accepted bytes:
   * it lets a running send finish, and waits within the limits until the peer's system has acknowledged everything.
   * Then it resets the connection; over TLS, it ends without a close_notify instead. A running receive fails.
   * @param options how long that may take, as for {@link close}.
   * @param reason the `closeReason`, the reason of `signal`, and the `cause` of the errors of later operations.
   * @returns resolves when the descriptor is closed.
   */
  breakOff(options?: ConnectionCloseOptions, reason?: Error): Promise<void> {
    const limits = closeLimits(options);
    return (this.#closed ??= this.closed ? this.#isGone() : this.#end(limits, (closing) => closing.byBreakOff(reason)));
  }

  /**
   * Breaks the connection now: the peer sees a reset. Running operations fail.
   * @param reason the `closeReason`, the reason of `signal`, and the `cause` of operations that fail.
   */
  abort(reason?: Error): void {
    this.#linger?.abort();
    if (this.closed) return;
    this.transport.abort();
    this.#destroy(reason, null);
  }

  /** Keeps the process alive while the connection is open. This is the default. */
  ref(): this {
    return this.#setRef(true);
  }

  /** Lets the process exit while the connection is open. */
  unref(): this {
    return this.#setRef(false);
  }

  /** Closes the connection at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Receives lines until the peer ends. When it ends in the middle of a line, the iteration throws a `ClosedError`, and
   * the unfinished bytes stay in the connection.
   */
  lines(options?: Omit<ReceiveOptions, 'prefix'>): AsyncGenerator<string, void, undefined> {
    // Checked here, because the body of a generator runs only when the first line is asked for.
    if (options !== undefined) checkOptions('lines', options, LINES_RULES);
    return new Messages(this, this.#slots, LINE, options);
  }

  /**
   * Receives lines as bytes until the peer ends, each without its LF and without a CR before that. The bytes are not
   * decoded, so two different lines stay different. It ends like {@link lines}.
   */
  byteLines(options?: Omit<ReceiveOptions, 'prefix'>): AsyncGenerator<Uint8Array, void, undefined> {
    if (options !== undefined) checkOptions('byteLines', options, LINES_RULES);
    return new Messages(this, this.#slots, BYTE_LINE, options);
  }

  /**
   * Receives the messages of `framing` until the peer ends. When it ends in the middle of a message, the iteration
   * throws a `ClosedError`. Whenever the iteration stops, the bytes that it has not turned into messages stay in the
   * connection.
   */
  messages<In>(
    framing: Framing<In, never>,
    options?: Omit<ReceiveOptions, 'prefix'>,
  ): AsyncGenerator<In, void, undefined> {
    checkArgument('messages', 'the framing', framing, framingRule);
    if (options !== undefined) checkOptions('messages', options, LINES_RULES);
    return new Messages(this, this.#slots, patternOfFraming(framing), options);
  }

  /** Receives bytes as they come, until the peer ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const bytes = await this.receive('*s');
      if (bytes.length === 0) return;
      yield bytes;
    }
  }

  // Steps that never wait.

  /**
   * Receives the bytes that are there now.
   * @param atMost the most bytes to return, at least 1; 64 KiB by default.
   * @returns the bytes, `END` at the end, or a want: try again when the connection is ready for that.
   */
  tryReceive(atMost?: number): Uint8Array | typeof END | WantCode;
  /**
   * Receives the next message of a framing, if all of it is there.
   * @param options `maxBytes` limits the message; the framing's own limit by default.
   * @returns the message in an object, `END` at the end, or a want: try again when the connection is ready for that.
   * @throws {BoundsError | FramingError} when the bytes are no message within the limit. They stay in the connection.
   * @throws {ClosedError} when the peer has ended in the middle of a message.
   */
  tryReceive<In>(
    framing: Framing<In, never>,
    options?: TryReceiveOptions,
  ): { readonly message: In } | typeof END | WantCode;
  tryReceive(
    wanted: number | Framing<unknown, never> = TRY_BYTES,
    options?: TryReceiveOptions,
  ): Uint8Array | { readonly message: unknown } | typeof END | WantCode {
    if (wanted instanceof Framing) return this.#tryReceiveMessage(wanted, options);
    if (!(Number.isSafeInteger(wanted) && wanted >= 1)) checkArgument('tryReceive', 'atMost', wanted, wholeBytes);
    this.#assertFree('receive', this.#slots.receiving);
    const { input } = this.#slots.inflow;
    const count = input.length > 0 ? input.length : this.#tryRead(undefined);
    return count < 0 ? (count as typeof END | WantCode) : input.take(Math.min(wanted, input.length));
  }

  #tryReceiveMessage(
    framing: Framing<unknown, never>,
    options: TryReceiveOptions | undefined,
  ): { readonly message: unknown } | typeof END | WantCode {
    if (options !== undefined) checkOptions('tryReceive', options, TRY_RECEIVE_RULES);
    this.#assertFree('receive', this.#slots.receiving);
    const { inflow } = this.#slots;
    const pattern = patternOfFraming(framing);
    for (let budget = TRY_AT_MOST; ;) {
      const count = measured(inflow, pattern, options?.maxBytes ?? framing.defaultMaxBytes);
      if (count >= 0) return { message: taken(inflow, pattern, count) };
      if (count === TOO_EARLY) {
        if (inflow.input.length === 0) return END;
        throw endedEarly(inflow);
      }
      // The connection is still ready, so the next turn tries again.
      if (budget <= 0) return WANT_READ;
      const pulled = this.#tryRead(undefined);
      budget -= pulled;
      if (pulled === END || pulled >= 0) continue;
      // The connection is ready again when more bytes come, not because these are here.
      inflow.input.lookedAtAll();
      return pulled as WantCode;
    }
  }

  /**
   * Receives the bytes that are there now into `into`.
   * @returns the count, `END` at the end, or a want: try again when the connection is ready for that.
   * @throws {RangeError} when `into` is empty.
   */
  tryReceiveInto(into: Uint8Array): number {
    if (!(into instanceof Uint8Array)) checkArgument('tryReceiveInto', 'the memory', into, bytes);
    // A system call with an empty buffer returns 0, like one at the end.
    if (into.length === 0) throw new RangeError('tryReceiveInto needs room for at least one byte');
    this.#assertFree('receive', this.#slots.receiving);
    const { input } = this.#slots.inflow;
    return input.length > 0 ? input.takeInto(into) : this.#tryRead(into);
  }

  /**
   * Offers bytes for sending.
   * @returns how many bytes were accepted, which may be 0, or a want. Accepted bytes go out without another call.
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

  /** Runs the handshake as far as possible now. @returns `DONE`, or a want, which leaves the connection open. */
  tryHandshake(): StepCode {
    this.#assertFree('handshake', undefined);
    try {
      return this.#slots.note(this.transport.handshake());
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /**
   * Puts bytes back in front of all others. The next receive gets them. Does nothing once the connection is closing.
   */
  unread(given: Uint8Array): void {
    checkArgument('unread', 'the data', given, bytes);
    if (this.#slots.state !== 'open') return;
    this.#slots.inflow.input.prepend(given);
    this.#slots.answered();
    this.#slots.armed();
  }

  // Readiness.

  /**
   * Emits this connection, at most once a turn, while bytes or the end can be received; after `tryReceive` of a framing
   * has returned a want, when more bytes have come. It is a hint: a try may still return a want.
   */
  get readable$(): Observable<this> {
    return this.#slots.readable() as Observable<this>;
  }

  /**
   * Emits this connection, at most once a turn, while it accepts bytes. It is a hint: a try may still return a want.
   */
  get writable$(): Observable<this> {
    return this.#slots.writable() as Observable<this>;
  }

  /** Emits each wait of an operation when it begins. */
  get wants$(): Observable<Wanting> {
    return this.#slots.wants();
  }

  /** Returns what the last operation or try had to wait for, like LuaSec's `want()`. */
  want(): Want | 'nothing' {
    return this.#slots.lastWant ?? 'nothing';
  }

  /**
   * A signal that is aborted when this side closes the connection or when it breaks. It does not need a running
   * receive. Its reason is the error that ended the connection, or a `ClosedError`. A half-close by the peer does not
   * abort it: see the event `'end'`.
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

  /**
   * Whether a receive may succeed now. Buffered bytes and the end count, but not the bytes of a message that
   * `tryReceive` has found incomplete.
   */
  get readableNow(): boolean {
    return this.#slots.readableNow;
  }

  /** Whether a send may succeed now. */
  get writableNow(): boolean {
    return this.#slots.writableNow;
  }

  // The connection itself.

  /**
   * The default limits of operations. An operation copies them when it starts.
   * @throws {TypeError | RangeError} when a limit is not valid.
   */
  get timeouts(): Timeouts {
    return this.#timeouts;
  }

  set timeouts(timeouts: Timeouts) {
    checkArgument('connection', 'timeouts', timeouts, timeoutsRule);
    this.#timeouts = timeouts;
  }

  /**
   * Sets one of the default limits, for the operations that start from now on, like LuaSec's `settimeout`.
   * @param ms the limit in milliseconds; negative or `Infinity` for none.
   */
  setTimeout(ms: number, mode: TimeoutMode = 'block'): void {
    checkArgument('setTimeout', 'ms', ms, milliseconds);
    checkArgument('setTimeout', 'the mode', mode, timeoutMode);
    this.#timeouts = mode === 'block' ? { ...this.#timeouts, blockMs: ms } : { ...this.#timeouts, totalMs: ms };
  }

  /**
   * Lays a protocol such as TLS over this connection, and returns the connection of that layer. From then on, only the
   * returned connection is usable. Received bytes that no receive has taken go to the layer.
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
    this.#isTakenOver = true;
    this.#leave(undefined);
    this.basis.loop.closed('connection', this);
    return above;
  }

  /** The operations that are running on the connection. @internal */
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
   * The process at the other end of a Unix socket, as the kernel reports it. `undefined` on other sockets and once the
   * connection is closed.
   */
  get peerCredentials(): PeerCredentials | undefined {
    return this.basis.socket.peerCredentials;
  }

  /** Sets an option of the socket. @throws {SystemError} when the kernel refuses the option or its value. */
  setOption(name: SocketOptionName, value: number | boolean): void {
    checkArgument('setOption', 'the name', name, socketOption);
    checkArgument('setOption', name, value, socketValue);
    this.basis.socket.setOption(name, Number(value));
  }

  /** Reads an option of the socket. @throws {SystemError} when the kernel refuses the option. */
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

  /** The error that closed the connection, if one did. */
  get closeReason(): Error | undefined {
    // Created on demand: errors are expensive, and few callers read this.
    if (this.#isTakenOver)
      this.#closedBy ??= new ClosedError(
        'a layer has taken the connection over; use the connection that secure() returned',
      );
    return this.#closedBy;
  }

  /** Whether a layer of the connection, such as TLS, encrypts it. */
  get encrypted(): boolean {
    return false;
  }

  get closed(): boolean {
    return this.#slots.state === 'closed';
  }

  // For the parts of a connection.

  /** Wakes `operation`, a select, when the readiness of this connection has changed. @internal */
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
   * Ends the connection after a failure of both directions. When received bytes are left, it ends only after a receive
   * has taken them and met the failure. @internal
   */
  endBy(failure: Error): void {
    const { inflow, state } = this.#slots;
    const hasUnread = state === 'open' && (inflow.input.length > 0 || this.transport.hasBuffered);
    if (hasUnread) this.#slots.enqueue();
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

  /** Ends the connection if the transport has failed for both directions. @returns `error`, for the caller to throw. */
  #failed(error: unknown): unknown {
    if (this.transport.failure !== undefined) this.endBy(this.transport.failure);
    return error;
  }

  /** @throws unless this kind of try is allowed now. The try counts as a response to emitted readiness. */
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

  /** Resolves when the descriptor is closed. A descriptor that lingers outlives its connection. */
  async #isGone(): Promise<void> {
    await this.#linger?.over;
  }

  /**
   * Ends everything at once: operations fail, and observables complete. The descriptor is closed at once when `lingers`
   * is `null`; otherwise it lingers within these limits.
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

// An alert needs no more than one round trip. Bytes before it may take longer, as long as the peer acknowledges some.
const ALERT_LIMITS = closeLimits({ idleMs: 500 });
// The most that one try reads for a message before other connections get their turn.
const TRY_AT_MOST = 1024 * 1024;
const TRY_BYTES = 64 * 1024;
