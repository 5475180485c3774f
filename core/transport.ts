/** The interface under every connection: a non-blocking byte channel. */

import type { StepCode } from './want.ts';

/**
 * A non-blocking byte channel. Every call returns at once with a number: a count of bytes, or one of the codes of
 * `want.ts`. Failures are thrown.
 *
 * A want is a promise about readiness: before it returns `WANT_READ` (`WANT_WRITE`), the transport has drained (filled)
 * the layer below, so that the next readiness of that kind will be reported. A caller that gets a want may sleep.
 */
export interface Transport {
  /**
   * Moves received bytes into `into`, which must not be empty.
   * @returns a count > 0, `END`, or a want.
   */
  read(into: Uint8Array): number;

  /**
   * Accepts bytes for sending. The caller must not offer accepted bytes again.
   * @returns a count ≥ 0 (0 is neither an end nor a want: try again later), or a want.
   */
  write(from: Uint8Array): number;

  /** Runs the handshake that must come before data. A transport without a handshake returns `DONE` at once. */
  handshake(): StepCode;

  /** Moves accepted bytes that are still held here to the layer below. Returns `DONE` when none is left. */
  flush(): StepCode;

  /** Half-closes the channel after all accepted bytes. Returns `DONE` when the half-close is sent. Reads still work. */
  shutdown(): StepCode;

  /**
   * The error that ended the channel for both directions, if any did. Bytes that came before it are read first: see
   * `hasBuffered`.
   */
  readonly failure: Error | undefined;

  /** Whether a `read` may succeed although the layer below is not readable. */
  readonly hasBuffered: boolean;

  /** Whether accepted bytes are still held here until the layer below is writable. */
  readonly hasUnflushed: boolean;

  /**
   * How many bytes the lowest layer has received. An operation that waits to read is tried again when this number has
   * grown since its wait began: another operation has read from the channel, and may have read the awaited bytes too.
   */
  readonly received: number;

  /** Registers a function to call when a look-up that paused the handshake has been answered. */
  onLookupAnswered(wake: () => void): void;

  /** Closes the channel. Sends nothing more, but bytes that the kernel holds still go out. Idempotent. */
  close(): void;

  /** Breaks the channel now. The peer sees a reset, if the platform's sockets have one. Idempotent. */
  abort(): void;
}
