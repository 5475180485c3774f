/** Sends in one direction at full speed. The first byte tells the server the direction. */
import type { Dialer } from './dial.ts';
import { ConnectionPool, type Load } from './load.ts';
import type { LoadPlan } from '../messages.ts';
import type { Socket } from 'node:net';

export class BulkLoad implements Load {
  readonly #plan: LoadPlan;
  readonly #pool: ConnectionPool;
  #count = 0;

  constructor(plan: LoadPlan, dialer: Dialer) {
    this.#plan = plan;
    this.#pool = new ConnectionPool(dialer);
  }

  /** The bytes that arrived, or that were written to the kernel. */
  get count(): number {
    this.#pool.check();
    return this.#count;
  }

  async open(): Promise<void> {
    await this.#pool.open(this.#plan.connections, (_socket, bytes) => {
      this.#count += bytes;
    });
    for (const socket of this.#pool.sockets) {
      if (this.#plan.kind === 'download') socket.write('d');
      else this.#upload(socket);
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  #upload(socket: Socket): void {
    const block = Buffer.alloc(this.#plan.size, 'u');
    const written = (): void => {
      this.#count += block.length;
    };
    const pump = (): void => {
      while (socket.writable && socket.write(block, written));
    };
    socket.on('drain', pump);
    pump();
  }
}
