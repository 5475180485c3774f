/** Two of Node's streams in memory, connected to each other as sockets are. */

import { Duplex } from 'node:stream';

/**
 * @param highWaterMark how many bytes each end buffers in each direction before it holds up the writer.
 * @returns both ends. One that is destroyed before it has ended resets the other, whether or not anybody listens for
 * errors there.
 */
export function streamPair(highWaterMark = 16 * 1024): [near: StreamEnd, far: StreamEnd] {
  const near = new StreamEnd({ highWaterMark });
  const far = new StreamEnd({ highWaterMark });
  near.peer = far;
  far.peer = near;
  for (const end of [near, far]) end.on('error', () => undefined);
  return [near, far];
}

/** One of them. */
export class StreamEnd extends Duplex {
  peer: StreamEnd | undefined;
  /** Called when this end takes more. */
  #goOn: (() => void) | undefined;

  override _read(): void {
    const goOn = this.#goOn;
    this.#goOn = undefined;
    goOn?.();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const { peer } = this;
    if (peer === undefined || peer.destroyed) done(errorOf('EPIPE', -32, 'write'));
    else if (peer.push(chunk)) done();
    else peer.#goOn = done;
  }

  override _final(done: () => void): void {
    this.peer?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { peer } = this;
    // What it was still to take is lost, and so is what it had not sent: that is what a reset is.
    if (peer !== undefined && !peer.destroyed && !this.writableFinished)
      process.nextTick(() => peer.destroy(errorOf('ECONNRESET', -104, 'read')));
    this.#goOn = undefined;
    done(error);
  }
}

function errorOf(code: string, errno: number, syscall: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno, syscall });
}
