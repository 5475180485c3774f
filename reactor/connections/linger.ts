/** A descriptor that outlives its failed connection, so that the accepted bytes and the alert reach the peer. */

import type { Transport } from '../../core/transport.ts';
import { DONE, END } from '../../core/want.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import { WRITABLE } from '../handle.ts';
import type { HandleOwner } from '../handle.ts';
import { ProgressWatch } from './progress-watch.ts';
import type { CloseLimits } from './progress-watch.ts';
import type { Loop } from '../loop.ts';

/**
 * Keeps a descriptor open for a short time after its connection has ended. It sends the bytes that the transport still
 * holds (such as a TLS alert), half-closes the socket, and drops arriving bytes until the peer ends. If the descriptor
 * were closed at once, the kernel would answer unread bytes with a reset, and a reset destroys the alert on its way.
 * When a limit passes, the descriptor is closed.
 */
export class Linger implements HandleOwner {
  /** Resolves when the descriptor is closed. */
  readonly over: Promise<void>;
  readonly #transport: Transport;
  readonly #socket: ConnectionSocket;
  readonly #loop: Loop;
  readonly #watch: ProgressWatch;
  #resolve: () => void = () => undefined;
  #budget = BYTES_AT_MOST;
  #isOver = false;

  constructor(transport: Transport, socket: ConnectionSocket, loop: Loop, limits: CloseLimits) {
    this.#transport = transport;
    this.#socket = socket;
    this.#loop = loop;
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    loop.opened('linger', this);
    this.#watch = new ProgressWatch(loop, socket, limits, () => {
      this.abort();
    });
    socket.handle.owner = this;
    loop.enqueue(socket.handle);
  }

  dispatch(): void {
    if (this.#isOver) return;
    try {
      if (this.#transport.hasUnflushed && this.#transport.flush() !== DONE) {
        // The system may have accepted nothing for lack of memory. It does not report when it has memory again.
        if ((this.#socket.handle.readiness & WRITABLE) !== 0) this.#loop.enqueue(this.#socket.handle);
        return;
      }
      this.#socket.shutdown();
      while (this.#budget > 0) {
        const count = this.#socket.read(scratch);
        if (count === END) break;
        if (count < 0) return;
        this.#budget -= count;
      }
    } catch {
      // The peer is gone, so there is no one to send the rest to.
    }
    this.abort();
  }

  /** Closes the descriptor now. */
  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watch.stop();
    this.#socket.handle.owner = undefined;
    this.#transport.close();
    this.#loop.closed('linger', this);
    this.#resolve();
  }
}

const scratch = new Uint8Array(16 * 1024);
const BYTES_AT_MOST = 256 * 1024;
