/** The seam under every connection: a non-blocking byte channel whose calls all return at once. */

import type { StepCode } from './want.ts';

/**
 * A non-blocking byte channel. Every call returns at once with a number: a count of bytes, or one of the codes of
 * `want.ts`. Failures are thrown.
 *
 * A want is a promise about readiness: after `WANT_READ` (`WANT_WRITE`) the transport has drained the layer below it,
 * so that the next readiness of that kind will be told. Whoever gets one may sleep.
 */
export interface Transport {
  /**
   * Moves received bytes into `into`, which must not be empty.
   * @returns a count > 0, `END`, or a want.
   */
  read(into: Uint8Array): number;

  /**
   * Accepts bytes for sending. What it accepted is never to be offered again.
   * @returns a count ≥ 0 (0 is neither an end nor a want: try again later), or a want.
   */
  write(from: Uint8Array): number;

  /** Agrees with the peer before data can flow. `DONE` at once where there is nothing to agree on. */
  handshake(): StepCode;

  /** Moves bytes that were accepted but are still held here to the layer below. `DONE` when none is left. */
  flush(): StepCode;

  /** Says that nothing more will be sent, after all that was accepted; `DONE` when it is said. Reading goes on. */
  shutdown(): StepCode;

  /**
   * What ended the channel for both directions, once something has. Bytes that came before it are read first: see
   * `hasBuffered`.
   */
  readonly failure: Error | undefined;

  /** Whether a `read` may succeed although the layer below is not readable. */
  readonly hasBuffered: boolean;

  /** Whether accepted bytes are still held here, waiting for the layer below to be writable. */
  readonly hasUnflushed: boolean;

  /**
   * How many bytes have come in at the bottom. When it has grown since an operation began to wait to read, somebody
   * else has read, and what that operation waits for may have come with it.
   */
  readonly received: number;

  /** Registers what to call when a look-up that paused the handshake has been answered. */
  onLookupAnswered(wake: () => void): void;

  /** Lets go of the channel. Nothing more is sent; what the kernel holds still goes out. Idempotent. */
  close(): void;

  /** Breaks the channel now, so that the peer sees a reset where the ground knows one. Idempotent. */
  abort(): void;
}
