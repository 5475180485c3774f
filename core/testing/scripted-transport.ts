/** A transport that follows a script and records its calls. */

import type { Transport } from '../transport.ts';
import { DONE, END, WANT_READ } from '../want.ts';
import type { StepCode, WantCode } from '../want.ts';

/**
 * The outcome of one `read`: a piece of bytes, the end, a want, or an error. A piece that is longer than the reader's
 * memory takes several reads.
 */
export type ReadEvent = Uint8Array | string | typeof END | WantCode | Error;
/** The outcome of one `write`: room for this many bytes, perhaps 0; or a want; or an error. */
export type WriteEvent = number | Error;
/** The outcome of one `handshake`, `flush` or `shutdown`. */
export type StepEvent = StepCode | Error;

/** The outcomes of each kind of call, in order. */
export interface Script {
  /** After the last event, reads want to read. An end or an error is repeated for ever. */
  readonly reads?: readonly ReadEvent[];
  /** After the last event, writes accept everything. */
  readonly writes?: readonly WriteEvent[];
  /** After the last event, each call is done at once. */
  readonly handshakes?: readonly StepEvent[];
  readonly flushes?: readonly StepEvent[];
  readonly shutdowns?: readonly StepEvent[];
}

/** A transport without a channel. Its calls follow a {@link Script}. */
export class ScriptedTransport implements Transport {
  failure: Error | undefined;
  readonly hasBuffered = false;
  readonly hasUnflushed = false;
  readonly received = 0;
  /** How often each call was made. */
  readonly calls = { read: 0, write: 0, handshake: 0, flush: 0, shutdown: 0, close: 0, abort: 0 };
  readonly #reads: ReadEvent[];
  readonly #writes: WriteEvent[];
  readonly #handshakes: StepEvent[];
  readonly #flushes: StepEvent[];
  readonly #shutdowns: StepEvent[];
  readonly #accepted: Uint8Array[] = [];

  constructor(script: Script = {}) {
    this.#reads = [...(script.reads ?? [])];
    this.#writes = [...(script.writes ?? [])];
    this.#handshakes = [...(script.handshakes ?? [])];
    this.#flushes = [...(script.flushes ?? [])];
    this.#shutdowns = [...(script.shutdowns ?? [])];
  }

  /** A copy of each accepted piece, made when it was accepted. */
  get accepted(): readonly Uint8Array[] {
    return this.#accepted;
  }

  /** All accepted bytes as Latin-1 text, one character for each byte. */
  get written(): string {
    return Buffer.concat(this.#accepted).toString('latin1');
  }

  /** Appends events for reads. */
  feed(...events: ReadEvent[]): void {
    this.#reads.push(...events);
  }

  read(into: Uint8Array): number {
    this.calls.read++;
    if (into.length === 0) throw new Error('read was called with memory of 0 bytes');
    const event = this.#reads[0];
    if (event === undefined) return WANT_READ;
    if (event === END) return END;
    if (event instanceof Error) throw event;
    this.#reads.shift();
    if (typeof event === 'number') return event;
    const piece = typeof event === 'string' ? Buffer.from(event) : event;
    const count = Math.min(into.length, piece.length);
    if (count === 0) throw new Error('the script contains an empty piece: no transport returns one');
    into.set(piece.subarray(0, count));
    if (count < piece.length) this.#reads.unshift(piece.subarray(count));
    return count;
  }

  write(from: Uint8Array): number {
    this.calls.write++;
    const event = this.#writes.shift() ?? Infinity;
    if (event instanceof Error) throw event;
    if (event < 0) return event;
    const count = Math.min(event, from.length);
    this.#accepted.push(from.slice(0, count));
    return count;
  }

  handshake(): StepCode {
    this.calls.handshake++;
    return next(this.#handshakes);
  }

  flush(): StepCode {
    this.calls.flush++;
    return next(this.#flushes);
  }

  shutdown(): StepCode {
    this.calls.shutdown++;
    return next(this.#shutdowns);
  }

  onLookupAnswered(): void {
    // The script decides when a look-up is answered, so no notification is needed.
  }

  close(): void {
    this.calls.close++;
  }

  abort(): void {
    this.calls.abort++;
  }
}

function next(events: StepEvent[]): StepCode {
  const event = events.shift() ?? DONE;
  if (event instanceof Error) throw event;
  return event;
}
