/**
 * The operations of one connection: which are running, which of them can resume, and which selects and observers wait
 * for readiness.
 *
 * Theory of operation. At most one operation sends, one receives and one runs the handshake. Each waits here for what
 * it wants. A dispatch runs at most once a turn. For each kind of work, it asks whether the work is due, and does it if
 * it is. The same question decides whether the connection needs another turn. So the rule for "due" stands once, in
 * `#isDueFor`. Long because the decision that work is due and the code that does it belong together.
 */

import { type Observable, Subject } from 'rxjs';

import { BusyError } from '../../core/errors.ts';
import type { OperationName } from '../../core/errors.ts';
import { Inflow } from '../../core/inflow.ts';
import type { Operation, Venue } from '../../core/operation.ts';
import { Outflow } from '../../core/outflow.ts';
import type { Transport } from '../../core/transport.ts';
import { END, isWant, wantOf } from '../../core/want.ts';
import type { Want } from '../../core/want.ts';
import { BROKEN, HANGUP, READABLE, WRITABLE } from '../handle.ts';
import type { Handle, HandleOwner } from '../handle.ts';
import type { Loop } from '../loop.ts';
import type { OpenConnection } from '../roster.ts';
import { ReadinessSignal } from './readiness-signal.ts';
import type { SignalOwner } from './readiness-signal.ts';

/** An operation that waits, as `wants$` emits it. */
export interface Wanting {
  readonly operation: OperationName;
  readonly want: Want;
}

/** The part of a connection that its slots use. */
export interface SlotsOwner extends OpenConnection {
  /** Called in each turn in which the peer's end or a break is known. */
  reportEnds(): void;
  /** Called after each operation and each try, because it may have read the end. */
  lookForReadEnd(): void;
  /**
   * Ends the connection after a failure of both directions, but not before the data that came before it are received.
   */
  endBy(failure: Error): void;
  /** Ends the connection now. */
  destroy(error: Error): void;
}

/** The slots of one connection, as bits that are added together. */
export const SEND = 1;
/** See {@link SEND}. */
export const RECEIVE = 2;
/** See {@link SEND}. */
export const HANDSHAKE = 4;

/** The kinds of work of a dispatch. */
type Work = 'flush' | 'receive' | 'send' | 'handshake' | 'readable' | 'writable';

/** The slots of one connection. */
export class Slots implements Venue, HandleOwner, SignalOwner {
  readonly transport: Transport;
  readonly inflow: Inflow;
  readonly outflow: Outflow;
  /**
   * Set by the connection. Users' operations begin only while it is open; while it is closing, only those of its end.
   */
  state: 'open' | 'closing' | 'closed' = 'open';
  /** Whether the connection stays open when a handshake times out or is cancelled, and the transport has not failed. */
  keepOpen = false;
  /** What the last operation or try had to wait for. */
  lastWant: Want | null = null;
  sending: Operation<unknown> | undefined;
  receiving: Operation<unknown> | undefined;
  handshaking: Operation<unknown> | undefined;
  readonly #owner: SlotsOwner;
  readonly #loop: Loop;
  readonly #handle: Handle;
  /** Whether the end was read before an observer subscribed, and that observer was not notified yet. */
  #endIsNews = false;
  #readable: ReadinessSignal | undefined;
  #writable: ReadinessSignal | undefined;
  #wants: Subject<Wanting> | undefined;
  /** The selects that wait for this connection. */
  #waiters: Set<Operation<unknown>> | undefined;
  #lookupAnswered = false;
  #turn = -1;
  #startedInTurn = 0;

  constructor(owner: SlotsOwner, transport: Transport, loop: Loop, handle: Handle) {
    this.#owner = owner;
    this.transport = transport;
    this.inflow = new Inflow(transport);
    this.outflow = new Outflow(transport);
    this.#loop = loop;
    this.#handle = handle;
    handle.owner = this;
    transport.onLookupAnswered(() => {
      this.#lookupAnswered = true;
      this.enqueue();
    });
  }

  // Beginning.

  /** @returns the operation that occupies one of `slots`, if any does. */
  busy(slots: number): Operation<unknown> | undefined {
    return (
      ((slots & SEND) !== 0 ? this.sending : undefined) ??
      ((slots & RECEIVE) !== 0 ? this.receiving : undefined) ??
      ((slots & HANDSHAKE) !== 0 ? this.handshaking : undefined)
    );
  }

  /** Starts `operation` in `slots`, which are free. */
  start<T>(operation: Operation<T>, slots: number): Operation<T> {
    this.answered();
    if ((slots & SEND) !== 0) this.sending = operation;
    if ((slots & RECEIVE) !== 0) this.receiving = operation;
    if ((slots & HANDSHAKE) !== 0) this.handshaking = operation;
    return operation.start();
  }

  /** @throws {BusyError} when an operation occupies the slot that a try needs. */
  assertFree(name: OperationName, running: Operation<unknown> | undefined): void {
    if (running !== undefined) throw new BusyError(name, running.name);
    this.answered();
  }

  /** Records the result of a try. @returns it. */
  note<N extends number>(code: N): N {
    this.lastWant = code < 0 && isWant(code) ? wantOf(code) : null;
    if (code === END) this.#owner.lookForReadEnd();
    this.#wakeOthers();
    return code;
  }

  /** The operations that are running. */
  get running(): Operation<unknown>[] {
    return [...new Set([this.sending, this.receiving, this.handshaking])].filter(
      (operation) => operation !== undefined,
    );
  }

  // The venue of its operations.

  get deadlines() {
    return this.#loop.deadlines;
  }

  now(): number {
    return this.#loop.now();
  }

  takeStart(): boolean {
    const { turns } = this.#loop;
    if (this.#turn !== turns) {
      this.#turn = turns;
      this.#startedInTurn = 0;
    }
    return ++this.#startedInTurn <= STARTS_PER_TURN;
  }

  park(operation: Operation<unknown>): void {
    const { want } = operation;
    operation.receivedBefore = this.transport.received;
    this.lastWant = want;
    // The answer that resumed the operation is used up. The operation now waits for the answer to a new look-up.
    if (want === 'lookup') this.#lookupAnswered = false;
    if (want !== null) this.#wants?.next({ operation: operation.name, want });
    // It may be ready again already: another operation has moved bytes, or the attempt stopped early to let others run.
    if (!operation.settled && this.isDue) this.enqueue();
  }

  settled(operation: Operation<unknown>, error?: Error): void {
    if (operation === this.sending) this.sending = undefined;
    if (operation === this.receiving) this.receiving = undefined;
    if (operation === this.handshaking) this.handshaking = undefined;
    if (error === undefined) this.lastWant = null;
    else if (this.transport.failure !== undefined) this.#owner.endBy(this.transport.failure);
    else if (operation.name === 'handshake' && !this.keepOpen) this.#owner.destroy(error);
    this.#owner.lookForReadEnd();
    this.#wakeOthers();
  }

  // Readiness.

  readable(): Observable<unknown> {
    return (this.#readable ??= this.#newSignal()).observable;
  }

  writable(): Observable<unknown> {
    return (this.#writable ??= this.#newSignal()).observable;
  }

  wants(): Observable<Wanting> {
    if (this.#wants === undefined) {
      this.#wants = new Subject();
      if (this.state === 'closed') this.#wants.complete();
    }
    return this.#wants.asObservable();
  }

  /** Wakes `operation`, a select, when the readiness of this connection has changed. */
  watch(operation: Operation<unknown>): void {
    (this.#waiters ??= new Set()).add(operation);
  }

  unwatch(operation: Operation<unknown>): void {
    this.#waiters?.delete(operation);
  }

  /** Called when an observer has subscribed. Readiness that is there already is emitted in the next turn. */
  armed(): void {
    this.#endIsNews = this.inflow.ended;
    if (this.isDue) this.enqueue();
  }

  /** Called when input or output was tried. Observers may be notified again. */
  answered(): void {
    this.#readable?.answered();
    this.#writable?.answered();
  }

  /** Whether a receive may succeed now. Buffered bytes and the end count. */
  get readableNow(): boolean {
    return this.state === 'closed' || this.inflow.ended || this.#hasInput;
  }

  /** Whether a send may succeed now. */
  get writableNow(): boolean {
    return this.state === 'closed' || (this.#handle.readiness & WRITABLE) !== 0;
  }

  /** Whether any work is due. Unflushed bytes count: the system may have accepted none for lack of memory. */
  get isDue(): boolean {
    for (const work of WORK) if (this.#isDueFor(work)) return true;
    return false;
  }

  enqueue(): void {
    this.#loop.enqueue(this.#handle);
  }

  dispatch(): void {
    if ((this.#handle.readiness & (BROKEN | HANGUP)) !== 0 || this.inflow.ended) this.#owner.reportEnds();
    for (const work of WORK) if (this.#isDueFor(work)) this.#do(work);
    if (this.#waiters !== undefined) for (const waiter of this.#waiters) this.#loop.wake(waiter);
    if (this.isDue) this.enqueue();
  }

  /** Ends everything that waits here: operations fail, selects wake, observables complete. */
  close(failureOf: (operation: Operation<unknown>) => Error): void {
    for (const operation of [this.sending, this.receiving, this.handshaking]) operation?.fail(failureOf(operation));
    for (const waiter of this.#waiters ?? []) this.#loop.wake(waiter);
    this.#readable?.complete();
    this.#writable?.complete();
    this.#wants?.complete();
  }

  #isDueFor(work: Work): boolean {
    switch (work) {
      case 'flush':
        return this.transport.hasUnflushed && (this.#handle.readiness & WRITABLE) !== 0;
      case 'receive':
        return this.receiving !== undefined && this.#mayResume(this.receiving);
      case 'send':
        // A shutdown of both directions occupies both slots. It resumes as a receive.
        return this.sending !== undefined && this.sending !== this.receiving && this.#mayResume(this.sending);
      case 'handshake':
        return this.handshaking !== undefined && this.#mayResume(this.handshaking);
      case 'readable':
        return this.#readable !== undefined && this.#mayEmit(this.#readable, this.#hasInput);
      case 'writable':
        return this.#writable !== undefined && this.#mayEmit(this.#writable, this.writableNow);
    }
  }

  #do(work: Work): void {
    switch (work) {
      case 'flush':
        this.#flush();
        break;
      case 'receive':
        this.receiving?.resume();
        break;
      case 'send':
        this.sending?.resume();
        break;
      case 'handshake':
        if (this.#loop.takeHandshakeStep()) this.handshaking?.resume();
        break;
      case 'readable':
        this.#endIsNews = false;
        this.#emit(this.#readable);
        break;
      case 'writable':
        this.#emit(this.#writable);
        break;
    }
  }

  #mayResume(operation: Operation<unknown>): boolean {
    const { readiness } = this.#handle;
    switch (operation.want) {
      case 'read':
        // Data in the transport can only satisfy a receive. Other operations wait for bytes that have not come yet.
        return (
          (readiness & READABLE) !== 0 ||
          (operation === this.receiving && this.#holdsNews) ||
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

  #mayEmit(signal: ReadinessSignal, ready: boolean): boolean {
    return ready && this.state === 'open' && signal.armed;
  }

  #emit(signal: ReadinessSignal | undefined): void {
    if (signal?.emit(this.#owner) === true) this.#loop.reportSpin(this.#owner);
  }

  get #hasInput(): boolean {
    const { input, ended } = this.inflow;
    return input.hasNews || (ended ? this.#endIsNews : (this.#handle.readiness & READABLE) !== 0 || this.#holdsNews);
  }

  /** Whether the transport has data for a read, or a failure that no operation has reported. */
  get #holdsNews(): boolean {
    return this.transport.hasBuffered || this.transport.failure !== undefined;
  }

  #newSignal(): ReadinessSignal {
    const signal = new ReadinessSignal(this);
    if (this.state === 'closed') signal.complete();
    return signal;
  }

  /**
   * All operations share one handshake. When one operation or try has advanced it, the others must try again: the bytes
   * that they wait for are already read.
   */
  #wakeOthers(): void {
    const waits =
      this.sending !== undefined ||
      this.receiving !== undefined ||
      this.handshaking !== undefined ||
      this.transport.hasUnflushed;
    if (waits && this.state !== 'closed' && this.isDue) this.enqueue();
  }

  #flush(): void {
    try {
      this.transport.flush();
    } catch {
      // The transport keeps the failure for the next send; what the peer sent before can still be received.
    }
  }
}

// In the order in which a dispatch does it.
const WORK: readonly Work[] = ['flush', 'receive', 'send', 'handshake', 'readable', 'writable'];
// The limit lets other connections run, even when every operation of this one succeeds at once.
const STARTS_PER_TURN = 32;
