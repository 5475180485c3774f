/** A transport that plays a script and writes down what it was told. */

import type { Transport } from '../transport.ts';
import { DONE, END, WANT_READ } from '../want.ts';
import type { StepCode, WantCode } from '../want.ts';

/**
 * What one `read` meets: a piece of bytes (longer than the reader's memory, it takes several), the end, a want, or a
 * failure.
 */
export type ReadEvent = Uint8Array | string | typeof END | WantCode | Error;
/** What one `write` meets: room for so many bytes, which may be none, a want, or a failure. */
export type WriteEvent = number | Error;
/** What one `handshake`, `flush` or `shutdown` meets. */
export type StepEvent = StepCode | Error;

/** The events of each kind of call, in order. */
export interface Script {
  /** After the last of these, reads want to read. The end and a failure stay. */
  readonly reads?: readonly ReadEvent[];
  /** After the last of these, there is room for everything. */
  readonly writes?: readonly WriteEvent[];
  /** After the last of these, each is done at once. */
  readonly handshakes?: readonly StepEvent[];
  readonly flushes?: readonly StepEvent[];
  readonly shutdowns?: readonly StepEvent[];
}

/** A transport without a channel: {@link Script} says what its calls meet. */
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

  /** Each piece that was accepted, copied when it was. */
  get accepted(): readonly Uint8Array[] {
    return this.#accepted;
  }

  /** All that was accepted, as text of one character a byte. */
  get written(): string {
    return Buffer.concat(this.#accepted).toString('latin1');
  }

  /** Lets more come to be read. */
  feed(...events: ReadEvent[]): void {
    this.#reads.push(...events);
  }

  read(into: Uint8Array): number {
    this.calls.read++;
    if (into.length === 0) throw new Error('a transport must not be asked to read into nothing');
    const event = this.#reads[0];
    if (event === undefined) return WANT_READ;
    if (event === END) return END;
    if (event instanceof Error) throw event;
    this.#reads.shift();
    if (typeof event === 'number') return event;
    const piece = typeof event === 'string' ? Buffer.from(event) : event;
    const count = Math.min(into.length, piece.length);
    if (count === 0) throw new Error('a script must not hold an empty piece: no transport reads none');
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
    // The script answers look-ups.
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
