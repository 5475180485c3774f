/** A connection: readiness, operations and life of one transport. */

import { EventEmitter } from 'eventemitter3';
import { type Observable, Subject } from 'rxjs';

import { BusyError, ClosedError, SystemError } from '../core/errors.ts';
import type { OperationName } from '../core/errors.ts';
import { HandshakeStep } from '../core/handshake.ts';
import { Inflow } from '../core/inflow.ts';
import { mergeTimeouts, Operation } from '../core/operation.ts';
import type { OperationOptions, Step, Venue } from '../core/operation.ts';
import { Outflow } from '../core/outflow.ts';
import { patternOf } from '../core/pattern.ts';
import type { PatternName, Received } from '../core/pattern.ts';
import { ReceiveIntoStep, ReceiveStep } from '../core/receive.ts';
import { SendStep } from '../core/send.ts';
import type { Sendable, SendRange } from '../core/send.ts';
import { ShutdownStep } from '../core/shutdown.ts';
import type { Direction } from '../core/shutdown.ts';
import { checkTimeouts, limit } from '../core/timeouts.ts';
import type { TimeoutMode, Timeouts } from '../core/timeouts.ts';
import type { LayerOptions, TransportLayer } from '../core/transport-layer.ts';
import type { Transport } from '../core/transport.ts';
import { type END, isWant, wantOf } from '../core/want.ts';
import type { StepCode, Want, WantCode } from '../core/want.ts';
import type { Address } from './address.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import { guarded } from './guarded.ts';
import { BROKEN, READABLE, WRITABLE } from './handle.ts';
import type { HandleOwner } from './handle.ts';
import { InflowTransport } from './inflow-transport.ts';
import { Linger } from './linger.ts';
import type { Reactor } from './reactor.ts';
import { ReadinessSignal } from './readiness-signal.ts';
import type { SignalOwner } from './readiness-signal.ts';
import type { Selectable } from './select.ts';
import type { SocketOptionName } from './socket-options.ts';
import type { PeerCredentials } from './system-calls.ts';

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
  /** The peer reset the connection, or the network broke it, while nobody was receiving. Told to those who listen, once. */
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

/** A bidirectional stream of bytes. */
export class Connection extends EventEmitter<ConnectionEvents> implements Venue, HandleOwner, Selectable, SignalOwner {
  /** @internal */ readonly basis: ConnectionBasis;
  /** The limits of operations that bring none of their own; copied when an operation starts. */
  timeouts: Timeouts = {};

  /** @internal */ readonly transport: Transport;
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
   * Sends `data`, or the part of it from byte `first` to byte `last`. The bytes must not change until the operation settles.
   * @returns resolves to the index of the last byte sent, once nothing of it is held back below. A failure carries `last`
   * and `rest`: send again from `last + 1`.
   * @throws {RangeError} when the range lies outside of the data.
   */
  send(data: Sendable, options?: SendRange & OperationOptions): Operation<number> {
    return this.#begin(new SendStep(this.#outflow, data, options), options, SEND);
  }

  /**
   * Receives what `pattern` asks for: `'*l'` a line (text without its LF and with every CR removed), `'*a'` everything until
   * the end, `'*s'` some bytes (none at the end), or that many bytes. A failure carries the gathered bytes as `partial`:
   * pass them back as `prefix`, or {@link unread} them.
   * @throws {RangeError} when the pattern or `maxBytes` is not valid.
   */
  receive<P extends PatternName = '*l'>(pattern?: P, options?: ReceiveOptions): Operation<Received<P>> {
    const step: unknown = new ReceiveStep(this.#inflow, patternOf(pattern ?? '*l'), options?.maxBytes);
    return this.#begin(step as Step<Received<P>>, options, RECEIVE, options?.prefix);
  }

  /** Receives what is there, at least one byte, into the caller's memory; resolves to the count, 0 at the end. */
  receiveInto(into: Uint8Array, options?: OperationOptions): Operation<number> {
    return this.#begin(new ReceiveIntoStep(this.#inflow, into), options, RECEIVE);
  }

  /**
   * Runs the layer's handshake; a plain connection has none and is done at once. Sends and receives run it by themselves.
   * On fatal errors the connection is closed, on timeout and cancel too, unless `keepOpen` is set or a limit of zero asks for one try.
   */
  handshake(options?: OperationOptions & { readonly keepOpen?: boolean }): Operation<void> {
    const { blockMs, totalMs } = mergeTimeouts(this.timeouts, options?.timeouts);
    if (this.#handshaking === undefined) this.#keepOpen = options?.keepOpen === true || blockMs === 0 || totalMs === 0;
    return this.#begin(new HandshakeStep(this.transport), options, HANDSHAKE);
  }

  /** Runs a layer's own step beside sends and receives, in the place of the handshake. @internal */
  protected runLikeHandshake(step: Step<void>, options: OperationOptions | undefined): Operation<void> {
    return this.#begin(step, options, HANDSHAKE);
  }

  /** The layer's handshake is complete, whoever has completed it: who waits for just that is done, whatever comes next. @internal */
  protected handshakeIsComplete(): void {
    const handshaking = this.#handshaking;
    if (handshaking?.name === 'handshake' && handshaking.want !== null) handshaking.succeed(undefined);
  }

  /** Says that nothing more will be sent, waits until the peer says so, or both. */
  shutdown(direction: Direction = 'send', options?: OperationOptions): Operation<void> {
    return this.#begin(new ShutdownStep(this.#inflow, this.#outflow, direction), options, direction === 'send' ? SEND : direction === 'receive' ? RECEIVE : SEND | RECEIVE);
  }

  /**
   * Ends the connection politely: lets a running send finish, says goodbye, waits for the peer's end while dropping what still
   * comes (so that no reset destroys the last data on their way), then closes. A running receive fails.
   * @param options how long that may take in milliseconds, 2 seconds unless given; then it is closed all the same.
   */
  close(options?: { readonly timeoutMs?: number }): Promise<void> {
    const timeoutMs = limit(options?.timeoutMs ?? CLOSE_MS, 'timeoutMs');
    return (this.#closing ??= this.#state === 'closed' ? Promise.resolve() : this.#close(timeoutMs));
  }

  /** Breaks the connection now: the peer sees a reset. Running operations fail. */
  abort(): void {
    if (this.#state === 'closed') return;
    this.transport.abort();
    this.#destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Lines until the peer ends. An end in the middle of a line is a `ClosedError`; the unfinished bytes stay in the connection. */
  async *lines(options?: Omit<ReceiveOptions, 'prefix'>): AsyncGenerator<string, void, undefined> {
    for (;;) {
      let line;
      try {
        line = await this.receive('*l', options);
      } catch (error) {
        const partial = error instanceof Error && 'partial' in error ? error.partial as Uint8Array : undefined;
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
   * Receives what is there, up to `maxBytes`.
   * @returns the bytes; `END` at the end, or a want: try again when the connection is ready for it.
   */
  tryReceive(maxBytes = TRY_BYTES): Uint8Array | typeof END | WantCode {
    this.#assertFree('receive', this.#receiving);
    const { input } = this.#inflow;
    const count = input.length > 0 ? input.length : this.#tryRead(undefined);
    return count < 0 ? count as typeof END | WantCode : input.take(Math.min(maxBytes, input.length));
  }

  /** Receives what is there into `into`; @returns the count, `END`, or a want. @throws {RangeError} when `into` is empty. */
  tryReceiveInto(into: Uint8Array): number {
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
  unread(bytes: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.#inflow.input.prepend(bytes);
    this.#readable?.answered();
    this.armed();
  }

  // Readiness.

  /** Emits this connection, once in a turn at most, while bytes or the end can be received. A hint: a try may still want. */
  get readable$(): Observable<this> {
    this.#readable ??= new ReadinessSignal(this);
    return this.#readable.observable as Observable<this>;
  }

  /** Emits this connection, once in a turn at most, while it takes bytes. A hint: a try may still want. */
  get writable$(): Observable<this> {
    this.#writable ??= new ReadinessSignal(this);
    return this.#writable.observable as Observable<this>;
  }

  /** Tells each wait of an operation as it begins. */
  get wants$(): Observable<Wanting> {
    this.#wants ??= new Subject();
    return this.#wants.asObservable();
  }

  /** Why the last operation or try could not go on at once: LuaSec's `want()`. */
  want(): Want | 'nothing' {
    return this.#lastWant ?? 'nothing';
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

  /** Sets one limit of the operations to come; negative or `Infinity` for none. LuaSec's `settimeout`. */
  setTimeout(ms: number | undefined, mode: TimeoutMode = 'block'): void {
    this.timeouts = checkTimeouts(mode === 'block' ? { ...this.timeouts, blockMs: ms } : { ...this.timeouts, totalMs: ms });
  }

  /**
   * Lays a protocol such as TLS over this connection and returns the connection above it. This one is no longer usable by
   * itself. Bytes that were received and not taken go to the layer.
   * @throws {BusyError} while an operation is running.
   */
  secure<C extends Connection>(layer: TransportLayer<C, ConnectionBasis>, options?: Partial<LayerOptions>): C {
    this.#assertFree('handshake', this.#sending ?? this.#receiving ?? this.#handshaking);
    const { basis } = this;
    const layered: LayerOptions = { role: options?.role ?? basis.role, serverName: options?.serverName ?? (basis.role === 'client' ? basis.host : undefined), peer: peerOf(basis, this.remoteAddress) };
    const below = this.#inflow.input.length > 0 ? new InflowTransport(this.#inflow) : this.transport;
    const transport = layer.transport(below, layered);
    const above = layer.connection(transport, basis, layered);
    above.timeouts = this.timeouts;
    this.#isGiven = true;
    this.#leave(undefined);
    basis.reactor.closed(this);
    return above;
  }

  /** The operations that are running on it. @internal */
  get operations(): Operation<unknown>[] {
    return [...new Set([this.#sending, this.#receiving, this.#handshaking])].filter((operation) => operation !== undefined);
  }

  get localAddress(): Address | undefined {
    return this.basis.socket.localAddress;
  }

  get remoteAddress(): Address | undefined {
    return this.basis.socket.remoteAddress;
  }

  /** Who is at the other end of a Unix socket, as the kernel vouches for it; `undefined` on other sockets and once closed. */
  get peerCredentials(): PeerCredentials | undefined {
    return this.basis.socket.peerCredentials;
  }

  /** Sets an option of the socket. @throws {SystemError} when the kernel refuses. */
  setOption(name: SocketOptionName, value: number | boolean): void {
    this.basis.socket.setOption(name, Number(value));
  }

  /** Reads an option of the socket. @throws {SystemError} when the kernel refuses. */
  option(name: SocketOptionName): number {
    return this.basis.socket.option(name);
  }

  get statistics(): ConnectionStatistics {
    return { bytesIn: this.#inflow.total, bytesOut: this.#outflow.total, ageMs: this.now() - this.#openedAt };
  }

  /** The error that closed it, if one did. */
  get closeReason(): Error | undefined {
    // An error takes its time to make, and hardly anybody asks.
    if (this.#isGiven) this.#closedBy ??= new ClosedError('the connection was given to the layer above it; use that one');
    return this.#closedBy;
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
    else if (this.transport.failure !== undefined) this.#destroy(this.transport.failure);
    else if (operation.name === 'handshake' && !this.#keepOpen) this.#destroy(error);
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

  /** Gives readiness that is there already to whoever has just begun to wait for it, in the next turn. @internal */
  armed(): void {
    if (this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);
  }

  /** @internal */
  dispatch(): void {
    const { transport } = this;
    if ((this.basis.socket.handle.readiness & BROKEN) !== 0 && this.listenerCount('broken') > 0) this.#tellBroken();
    if (transport.hasUnflushed && (this.basis.socket.handle.readiness & WRITABLE) !== 0) this.#flush();
    const receiving = this.#receiving;
    if (receiving !== undefined && this.#mayResume(receiving)) receiving.resume();
    const sending = this.#sending;
    if (sending !== undefined && sending !== receiving && this.#mayResume(sending)) sending.resume();
    const handshaking = this.#handshaking;
    if (handshaking !== undefined && this.#mayResume(handshaking) && this.basis.reactor.takeHandshakeStep()) handshaking.resume();
    if (this.#readable !== undefined && this.#canTell(this.#readable, this.#hasInput)) this.#tell(this.#readable);
    if (this.#writable !== undefined && this.#canTell(this.#writable, this.writableNow)) this.#tell(this.#writable);
    if (this.#waiters !== undefined) for (const waiter of this.#waiters) this.basis.reactor.wake(waiter);
    if (this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);
  }

  get #hasInput(): boolean {
    const { input, ended } = this.#inflow;
    return input.length > 0 || (!ended && ((this.basis.socket.handle.readiness & READABLE) !== 0 || this.transport.hasBuffered));
  }

  /** Whether somebody waits for something that is there, held-back bytes included: the system may have taken none for want of memory. */
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
        return (readiness & READABLE) !== 0 || (operation === this.#receiving && this.transport.hasBuffered) || this.transport.received !== operation.receivedBefore;
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

  #tellBroken(): void {
    const { socket } = this.basis;
    socket.handle.readiness &= ~BROKEN;
    const error = socket.takeError();
    if (error !== undefined) guarded(() => this.emit('broken', error));
  }

  #tell(signal: ReadinessSignal): void {
    if (signal.emit(this)) guarded(() => this.basis.reactor.emit('spin', this));
  }

  #begin<T>(step: Step<T>, options: OperationOptions | undefined, slots: number, prefix?: Uint8Array): Operation<T> {
    const operation = new Operation(step, this, mergeTimeouts(this.timeouts, options?.timeouts), options?.signal);
    const busy = ((slots & SEND) !== 0 ? this.#sending : undefined) ?? ((slots & RECEIVE) !== 0 ? this.#receiving : undefined) ?? ((slots & HANDSHAKE) !== 0 ? this.#handshaking : undefined);
    if (busy !== undefined || this.#state !== 'open') {
      return operation.refuse(busy === undefined ? this.#closedError(step.name) : new BusyError(step.name, busy.name));
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

  /** Closes when the transport failed for both directions; @returns what to throw. */
  #failed(error: unknown): unknown {
    if (this.transport.failure !== undefined) this.#destroy(this.transport.failure);
    return error;
  }

  /** @throws unless a try of that kind may be made now. It counts as an answer to readiness. */
  #assertFree(name: OperationName, running: Operation<unknown> | undefined): void {
    if (this.#state !== 'open') throw this.#closedError(name);
    if (running !== undefined) throw new BusyError(name, running.name);
    this.#readable?.answered();
    this.#writable?.answered();
  }

  #note<N extends number>(code: N): N {
    this.#lastWant = code < 0 && isWant(code) ? wantOf(code) : null;
    this.#wakeOthers();
    return code;
  }

  /** A handshake that one operation or try has brought on is that of all: those that wait for the same bytes must look again. */
  #wakeOthers(): void {
    const waits = this.#sending !== undefined || this.#receiving !== undefined || this.#handshaking !== undefined || this.transport.hasUnflushed;
    if (waits && this.#state !== 'closed' && this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);
  }

  #closedError(name: OperationName): ClosedError {
    const error = new ClosedError(`${name} refused: ${this.closeReason?.message ?? 'the connection is closed'}`, { cause: this.closeReason });
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

  async #close(timeoutMs: number): Promise<void> {
    const endsAt = this.now() + timeoutMs;
    const sending = this.#sending;
    this.#receiving?.fail(new ClosedError('receive failed: the connection was closed'));
    this.#handshaking?.fail(new ClosedError('handshake failed: the connection was closed'));
    this.#state = 'closing';
    try {
      if (sending !== undefined) await endOf(sending, timeoutMs, this.basis.reactor);
      // Whoever aborted it meanwhile has left nobody to say goodbye to.
      if (this.closed) return;
      const farewell = new Operation(new ShutdownStep(this.#inflow, this.#outflow, 'both', false), this, { totalMs: Math.max(0, endsAt - this.now()) });
      this.#sending = farewell;
      await farewell.start();
    } catch {
      // Whatever kept the goodbye from being said, what remains is to close.
    }
    this.#destroy();
  }

  /** Ends everything at once: operations fail, signals complete, the descriptor is given back. */
  #destroy(error?: Error): void {
    if (this.#state === 'closed') return;
    this.basis.socket.handle.owner = undefined;
    this.#leave(error);
    this.#inflow.input.clear();
    if (error === undefined || error instanceof SystemError || this.#inflow.ended) this.transport.close();
    else new Linger(this.transport, this.basis.socket, this.basis.reactor);
    this.basis.reactor.closed(this);
    guarded(() => this.emit('close', error));
  }

  #leave(error: Error | undefined): void {
    this.#state = 'closed';
    this.#closedBy = error;
    for (const operation of [this.#sending, this.#receiving, this.#handshaking]) operation?.fail(this.#closedError(operation.name));
    for (const waiter of this.#waiters ?? []) this.basis.reactor.wake(waiter);
    this.#readable?.complete();
    this.#writable?.complete();
    this.#wants?.complete();
  }
}

/** What a client knows its peer by. */
function peerOf({ role, host }: ConnectionBasis, address: Address | undefined): string | undefined {
  if (role === 'server' || address === undefined) return undefined;
  return address.family === 'unix' ? address.path : `${host ?? address.host}:${String(address.port)}`;
}

/** Waits for `operation` to settle in whatever way, and makes it fail when that takes longer than `ms`. */
async function endOf(operation: Operation<unknown>, ms: number, reactor: Reactor): Promise<void> {
  const cancel = reactor.after(ms, () => {
    operation.fail(new ClosedError(`${operation.name} failed: the connection was closed before it was done`));
  });
  await operation.then(undefined, () => undefined);
  cancel();
}

const SEND = 1;
const RECEIVE = 2;
const HANDSHAKE = 4;
const CLOSE_MS = 2_000;
const TRY_BYTES = 64 * 1024;
// A connection whose every operation succeeds at once still lets the others have their turn.
const STARTS_PER_TURN = 32;
