/** The sending side of a connection: its transport, and how much went out. */

import type { Transport } from './transport.ts';
import type { StepCode } from './want.ts';

/** Where sends put their bytes. */
export class Outflow {
  /** Bytes that the transport accepted so far. */
  total = 0;
  readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Offers bytes; @returns a count ≥ 0 that was accepted, or a want. */
  write(from: Uint8Array): number {
    const count = this.transport.write(from);
    if (count > 0) this.total += count;
    return count;
  }

  /** Moves what is held below; `DONE` when nothing is. */
  flush(): StepCode {
    return this.transport.flush();
  }
}
