/**
 * The receiving side of a connection: its transport, the bytes received but not yet taken, and whether it has ended.
 */

import { InputBuffer } from './input-buffer.ts';
import type { Transport } from './transport.ts';
import { END } from './want.ts';

/** The source of bytes for receives. */
export class Inflow {
  readonly input = new InputBuffer();
  /** Whether the end was read. */
  ended = false;
  /** Bytes read from the transport so far. */
  total = 0;
  readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Reads once into the buffer; @returns a count > 0, `END`, or a want. */
  pull(): number {
    const count = this.pullInto(scratch);
    if (count > 0) this.input.append(count === scratch.length ? scratch : scratch.subarray(0, count));
    return count;
  }

  /** Reads once into `into`, bypassing the buffer, which must be empty; @returns a count > 0, `END`, or a want. */
  pullInto(into: Uint8Array): number {
    if (this.ended) return END;
    const count = this.transport.read(into);
    if (count > 0) this.total += count;
    else if (count === END) this.ended = true;
    return count;
  }
}

// Shared by all connections: its bytes are copied before any other code can run.
const scratch = new Uint8Array(64 * 1024);
