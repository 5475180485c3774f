/** The step of a handshake. */

import type { Step } from './operation.ts';
import type { Transport } from './transport.ts';
import type { StepCode } from './want.ts';

/** Runs the transport's handshake until it is done. */
export class HandshakeStep implements Step<void> {
  readonly name = 'handshake';
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  attempt(): StepCode {
    return this.#transport.handshake();
  }

  result(): void {
    // A handshake has no result.
  }

  progress(): number {
    return 0;
  }
}
