/** A transport for a layer over a connection that has received bytes already. */

import type { Inflow } from '../../core/inflow.ts';
import type { Transport } from '../../core/transport.ts';
import type { StepCode } from '../../core/want.ts';

/** Reads first from the buffer of the inflow, then from its transport. All other calls go to the transport. */
export class InflowTransport implements Transport {
  readonly #inflow: Inflow;
  readonly #below: Transport;
  #taken = 0;

  constructor(inflow: Inflow) {
    this.#inflow = inflow;
    this.#below = inflow.transport;
  }

  read(into: Uint8Array): number {
    const { input } = this.#inflow;
    if (input.length === 0) return this.#below.read(into);
    const count = input.takeInto(into);
    this.#taken += count;
    return count;
  }

  get received(): number {
    return this.#taken + this.#below.received;
  }

  write(from: Uint8Array): number {
    return this.#below.write(from);
  }

  handshake(): StepCode {
    return this.#below.handshake();
  }

  flush(): StepCode {
    return this.#below.flush();
  }

  shutdown(): StepCode {
    return this.#below.shutdown();
  }

  get failure(): Error | undefined {
    return this.#below.failure;
  }

  get hasBuffered(): boolean {
    return this.#inflow.input.length > 0 || this.#below.hasBuffered;
  }

  get hasUnflushed(): boolean {
    return this.#below.hasUnflushed;
  }

  onLookupAnswered(wake: () => void): void {
    this.#below.onLookupAnswered(wake);
  }

  close(): void {
    this.#inflow.input.clear();
    this.#below.close();
  }

  abort(): void {
    this.#inflow.input.clear();
    this.#below.abort();
  }
}
