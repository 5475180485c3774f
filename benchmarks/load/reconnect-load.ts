/**
 * A few lanes. Each lane opens one connection after the other. On each connection it sends one message and receives it
 * back, or it closes the connection after the handshake.
 */
import type { Dialer } from './dial.ts';
import type { Load } from './load.ts';
import type { LoadPlan } from '../messages.ts';

export class ReconnectLoad implements Load {
  readonly #plan: LoadPlan;
  readonly #dialer: Dialer;
  readonly #message: Buffer;
  #lanes: Promise<void>[] = [];
  #count = 0;
  #stopped = false;
  #failure: Error | undefined;

  constructor(plan: LoadPlan, dialer: Dialer) {
    this.#plan = plan;
    this.#dialer = dialer;
    this.#message = Buffer.alloc(plan.size, 'x');
  }

  /** Connections that were opened, used and closed by both ends. */
  get count(): number {
    if (this.#failure) throw this.#failure;
    return this.#count;
  }

  async open(): Promise<void> {
    this.#lanes = Array.from({ length: this.#plan.connections }, (_, index) => this.#lane(index));
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }

  async #lane(index: number): Promise<void> {
    try {
      while (!this.#stopped) {
        await this.#once(index);
        this.#count++;
      }
    } catch (error) {
      this.#failure ??= error as Error;
      this.#stopped = true;
    }
  }

  #once(index: number): Promise<void> {
    let missing = this.#plan.kind === 'exchange' ? this.#plan.size : 0;
    return new Promise((resolve, reject) => {
      const socket = this.#dialer.dial(index, (bytes) => {
        missing -= bytes;
        if (missing === 0) socket.end();
      });
      socket.once(this.#dialer.openEvent, () => {
        if (missing > 0) socket.write(this.#message);
        else socket.end();
      });
      socket.once('error', reject);
      socket.once('close', () => {
        if (missing === 0) resolve();
        else reject(new Error('the server closed a connection before it had answered'));
      });
    });
  }
}
