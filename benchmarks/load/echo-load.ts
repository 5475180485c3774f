/** Every connection has one message in flight. As soon as it has returned completely, it is sent again. */
import type { Dialer } from './dial.ts';
import { ConnectionPool, type Load } from './load.ts';
import type { LoadPlan } from '../messages.ts';
import type { Socket } from 'node:net';

export class EchoLoad implements Load {
  readonly #plan: LoadPlan;
  readonly #pool: ConnectionPool;
  readonly #missing = new Map<Socket, number>();
  #count = 0;

  constructor(plan: LoadPlan, dialer: Dialer) {
    this.#plan = plan;
    this.#pool = new ConnectionPool(dialer);
  }

  get count(): number {
    this.#pool.check();
    return this.#count;
  }

  async open(): Promise<void> {
    const { connections, size } = this.#plan;
    const message = Buffer.alloc(size, 'x');
    await this.#pool.open(connections, (socket, bytes) => {
      const missing = (this.#missing.get(socket) ?? 0) - bytes;
      this.#missing.set(socket, missing > 0 ? missing : size);
      if (missing > 0) return;
      this.#count++;
      socket.write(message);
    });
    for (const socket of this.#pool.sockets) {
      this.#missing.set(socket, size);
      socket.write(message);
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}
