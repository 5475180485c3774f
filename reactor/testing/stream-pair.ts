/** Two Node streams in memory that are connected to each other like sockets. */

import { Duplex } from 'node:stream';

/**
 * @param highWaterMark how many bytes each end buffers in each direction before a writer must wait.
 * @returns both ends. An end that is destroyed before it has ended resets the other end. Both ends have an error
 * listener, so a reset is never an uncaught exception.
 */
export function streamPair(highWaterMark = 16 * 1024): [near: StreamEnd, far: StreamEnd] {
  const near = new StreamEnd({ highWaterMark });
  const far = new StreamEnd({ highWaterMark });
  near.peer = far;
  far.peer = near;
  for (const end of [near, far]) end.on('error', () => undefined);
  return [near, far];
}

/** One end of a pair. */
export class StreamEnd extends Duplex {
  peer: StreamEnd | undefined;
  /** Called when this end takes more. */
  #resume: (() => void) | undefined;

  override _read(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const { peer } = this;
    if (peer === undefined || peer.destroyed) done(errorOf('EPIPE', -32, 'write'));
    else if (peer.push(chunk)) done();
    else peer.#resume = done;
  }

  override _final(done: () => void): void {
    this.peer?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { peer } = this;
    // Like a reset of a socket, this loses the bytes that are not received and those that are not sent.
    if (peer !== undefined && !peer.destroyed && !this.writableFinished)
      process.nextTick(() => peer.destroy(errorOf('ECONNRESET', -104, 'read')));
    this.#resume = undefined;
    done(error);
  }
}

function errorOf(code: string, errno: number, syscall: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno, syscall });
}
