/** Connections that are opened and then stay idle. */
import type { Dialer } from './dial.ts';
import { ConnectionPool, type Load } from './load.ts';
import type { LoadPlan } from '../messages.ts';

export class IdleLoad implements Load {
  readonly #plan: LoadPlan;
  readonly #pool: ConnectionPool;

  constructor(plan: LoadPlan, dialer: Dialer) {
    this.#plan = plan;
    this.#pool = new ConnectionPool(dialer);
  }

  get count(): number {
    this.#pool.check();
    return this.#pool.sockets.length;
  }

  async open(): Promise<void> {
    await this.#pool.open(this.#plan.connections, () => {});
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}
