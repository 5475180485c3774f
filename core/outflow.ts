/** The sending side of a connection: its transport, and how many bytes it has accepted. */

import type { Transport } from './transport.ts';
import type { StepCode } from './want.ts';

/** The destination of bytes for sends. */
export class Outflow {
  /** How many bytes the transport has accepted so far. */
  total = 0;
  readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Offers bytes to the transport; @returns the count ≥ 0 that it accepted, or a want. */
  write(from: Uint8Array): number {
    const count = this.transport.write(from);
    if (count > 0) this.total += count;
    return count;
  }

  /** Moves accepted bytes that layers below still hold. @returns `DONE` when they hold none. */
  flush(): StepCode {
    return this.transport.flush();
  }
}
