/** Sends and receives frames over a connection. */

import { ClosedError } from '../../../core/errors.ts';
import type { Connection } from '../../../reactor/connections/connection.ts';
import { bodyLength, HEADER_BYTES } from './session-server-frame.ts';

/** Sends frames in order; frames that wait are sent together. */
export class FrameChannel {
  readonly connection: Connection;
  #waiting: Uint8Array[] = [];
  #sending: Promise<void> | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** How many frames wait to be sent. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Sends `frame` with the other waiting frames. It resolves when it is sent, or when the connection is broken. */
  send(frame: Uint8Array): Promise<void> {
    this.#waiting.push(frame);
    return (this.#sending ??= this.#sendAll());
  }

  /**
   * Yields the bodies of received frames until the peer ends between two frames.
   * @param signal also ends it between two frames.
   * @throws {WantioError} when the peer ends within a frame, takes longer than 10 seconds for one, or sends an invalid
   * one.
   */
  async *bodies(signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const header = await this.#header(signal);
      if (header === undefined) return;
      const length = bodyLength(header);
      yield await this.connection.receive(length, { timeouts: { totalMs: FRAME_MS }, maxBytes: length });
    }
  }

  async #header(signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    try {
      return await this.connection.receive(HEADER_BYTES, { signal });
    } catch (error) {
      const nothing = error instanceof ClosedError && error.partial?.length === 0;
      if (nothing || signal?.aborted === true) return undefined;
      throw error;
    }
  }

  async #sendAll(): Promise<void> {
    try {
      while (this.#waiting.length > 0)
        await this.connection.send(this.#waiting.splice(0, FRAMES_AT_ONCE), { timeouts: { blockMs: FRAME_MS } });
    } catch {
      // The receiving side reports why. The abort makes sure that no frame follows a partial one.
      this.#waiting = [];
      this.connection.abort();
    } finally {
      this.#sending = undefined;
    }
  }
}

// A living peer transfers a frame of 64 KiB in a fraction of that time.
const FRAME_MS = 10_000;
const FRAMES_AT_ONCE = 64;
