/** Handshakes in the middle of a connection, as steps. */

import type { OperationName } from '../../core/errors.ts';
import type { Step } from '../../core/operation.ts';
import { DONE } from '../../core/want.ts';
import type { StepCode, YIELD } from '../../core/want.ts';
import type { TlsTransport } from './tls-transport.ts';

/** Completes the first handshake if need be, begins another one, and goes on until that is complete and flushed. */
export class RehandshakeStep implements Step<void> {
  readonly name: OperationName;
  readonly #transport: TlsTransport;
  readonly #begin: () => void;
  readonly #isComplete: () => boolean;
  #begun = false;

  constructor(name: OperationName, transport: TlsTransport, begin: () => void, isComplete: () => boolean) {
    this.name = name;
    this.#transport = transport;
    this.#begin = begin;
    this.#isComplete = isComplete;
  }

  attempt(): StepCode | typeof YIELD {
    if (!this.#begun) {
      const code = this.#transport.handshake();
      if (code !== DONE) return code;
      // One thing after the other: what goes on already comes to its end first.
      if (!this.#transport.hasShakenHands()) {
        const settled = this.#transport.goOn(this.#transport.hasShakenHands);
        if (settled !== DONE) return settled;
      }
      this.#begin();
      this.#begun = true;
    }
    return this.#transport.goOn(this.#isComplete);
  }

  result(): void {
    // There is nothing to tell but that it is done.
  }

  progress(): number {
    return 0;
  }
}
