/** The interface of every load generator. */
import type { Socket } from 'node:net';
import type { Dialer } from './dial.ts';

export interface Load {
  /** The work done so far: messages, connections or bytes. */
  readonly count: number;
  /** Resolves once the load is running; rejects when it cannot. */
  open(): Promise<void>;
  /** Resolves once all connections are closed. */
  close(): Promise<void>;
}

/** Many connections that stay open. If one fails, the load fails. */
export class ConnectionPool {
  readonly #dialer: Dialer;
  readonly #sockets: Socket[] = [];
  #closing = false;
  #failure: Error | undefined;

  constructor(dialer: Dialer) {
    this.#dialer = dialer;
  }

  /** Opens `count` connections, a few at a time so that no backlog overflows. */
  async open(count: number, onBytes: (socket: Socket, bytes: number) => void): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count && !this.#failure) await this.#openOne(next++, onBytes);
    };
    await Promise.all(Array.from({ length: Math.min(count, OPENING) }, lane));
    this.check();
  }

  get sockets(): readonly Socket[] {
    return this.#sockets;
  }

  /** @throws when a connection has failed. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(
      this.#sockets.map(
        async (socket) =>
          new Promise((resolve) => {
            if (socket.closed) return resolve(undefined);
            socket.once('close', resolve);
            socket.destroy();
          }),
      ),
    );
  }

  #openOne(index: number, onBytes: (socket: Socket, bytes: number) => void): Promise<void> {
    return new Promise((resolve) => {
      const socket = this.#dialer.dial(index, (bytes) => {
        onBytes(socket, bytes);
      });
      this.#sockets.push(socket);
      socket.once(this.#dialer.openEvent, () => {
        resolve();
      });
      socket.once('error', (error) => {
        this.#failure ??= error;
      });
      socket.once('close', () => {
        if (!this.#closing) this.#failure ??= new Error('the server closed a connection');
        resolve();
      });
    });
  }
}

/** The number of concurrent handshakes. */
const OPENING = 64;
