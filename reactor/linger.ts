/** The last moments of a connection that failed: its alert must reach the peer. */

import type { Transport } from '../core/transport.ts';
import { DONE, END } from '../core/want.ts';
import type { ConnectionSocket } from './connection-socket.ts';
import { WRITABLE } from './handle.ts';
import type { HandleOwner } from './handle.ts';
import type { Reactor } from './reactor.ts';

/**
 * Keeps a descriptor a little longer than its connection: sends what the transport still holds (a TLS alert), says that nothing
 * more will come, and drops what arrives until the peer ends. Closing at once would make the kernel answer unread bytes
 * with a reset, and a reset destroys the alert on its way.
 */
export class Linger implements HandleOwner {
  readonly #transport: Transport;
  readonly #socket: ConnectionSocket;
  readonly #reactor: Reactor;
  readonly #cancel: () => void;
  #budget = BYTES_AT_MOST;
  #over = false;

  constructor(transport: Transport, socket: ConnectionSocket, reactor: Reactor) {
    this.#transport = transport;
    this.#socket = socket;
    this.#reactor = reactor;
    reactor.opened(this);
    this.#cancel = reactor.after(LINGER_MS, () => {
      this.abort();
    });
    socket.handle.owner = this;
    reactor.enqueue(socket.handle);
  }

  dispatch(): void {
    if (this.#over) return;
    try {
      if (this.#transport.hasUnflushed && this.#transport.flush() !== DONE) {
        // The system may have taken nothing for want of memory, and will not tell when that is over.
        if ((this.#socket.handle.readiness & WRITABLE) !== 0) this.#reactor.enqueue(this.#socket.handle);
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
      // The peer is gone: there is nobody left to be told.
    }
    this.abort();
  }

  /** Lets go now. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancel();
    this.#socket.handle.owner = undefined;
    this.#transport.close();
    this.#reactor.closed(this);
  }
}

const scratch = new Uint8Array(16 * 1024);
const LINGER_MS = 500;
const BYTES_AT_MOST = 256 * 1024;
