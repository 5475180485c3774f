/** The two ways to end a connection that take time: `close`, and `breakOff`, which lets the sent data arrive first. */

import { ClosedError } from '../../core/errors.ts';
import { Operation } from '../../core/operation.ts';
import type { Step } from '../../core/operation.ts';
import { SendStep } from '../../core/send.ts';
import { ShutdownStep } from '../../core/shutdown.ts';
import type { ConnectionBasis } from './connection-basis.ts';
import { ProgressWatch } from './progress-watch.ts';
import type { CloseLimits } from './progress-watch.ts';
import type { Slots } from './slots.ts';

/** The part of a connection that {@link Closing} uses. */
export interface ClosingOwner {
  readonly closed: boolean;
  abort(reason?: Error): void;
  /** @param lingers how long the descriptor may linger; by default, `error` decides. */
  destroy(error?: Error, lingers?: CloseLimits): void;
  /** Calls `task` once, when the connection is closed. */
  onceClosed(task: () => void): void;
}

/** The end of one connection, from the call of `close` or `breakOff` until the connection is destroyed. */
export class Closing {
  readonly #owner: ClosingOwner;
  readonly #slots: Slots;
  readonly #basis: ConnectionBasis;
  readonly #limits: CloseLimits;
  #watch: ProgressWatch | undefined;

  constructor(owner: ClosingOwner, slots: Slots, basis: ConnectionBasis, limits: CloseLimits) {
    this.#owner = owner;
    this.#slots = slots;
    this.#basis = basis;
    this.#limits = limits;
  }

  /** Half-closes the connection, and waits for the peer's half-close. */
  async gracefully(): Promise<void> {
    const { inflow, outflow } = this.#slots;
    const watch = await this.#leaveWith(new ShutdownStep(inflow, outflow, 'both', false), 'closed');
    // The peer sent more than a close reads. When the descriptor is closed, the kernel drops the rest and sends a
    // reset. That reset would destroy data that are still on their way to the peer.
    if (!inflow.ended) await this.#acknowledged(watch);
    this.#owner.destroy();
  }

  /** Lets the sent data arrive, then breaks the connection. */
  async byBreakOff(reason: Error | undefined): Promise<void> {
    // A send of nothing is complete when the transport holds no bytes any more.
    const watch = await this.#leaveWith(new SendStep(this.#slots.outflow, NOTHING, undefined), 'broken off');
    await this.#acknowledged(watch);
    if (this.#owner.closed) return;
    const isLayered = this.#slots.transport !== this.#basis.socket;
    if (watch.expired || !isLayered) this.#owner.abort(reason);
    else this.#owner.destroy(reason, this.#limits);
  }

  /** Called when the connection is destroyed: stops the timers of the limits. */
  stop(): void {
    this.#watch?.stop();
  }

  /**
   * Fails the running receive and handshake, lets a running send finish, then runs `last`. Ignores a failure of
   * that send and of `last`.
   */
  async #leaveWith(last: Step<unknown>, how: string): Promise<ProgressWatch> {
    const slots = this.#slots;
    let running = slots.sending;
    slots.receiving?.fail(new ClosedError(`receive failed: the connection was ${how}`));
    slots.handshaking?.fail(new ClosedError(`handshake failed: the connection was ${how}`));
    slots.state = this.#owner.closed ? 'closed' : 'closing';
    const watch = (this.#watch = new ProgressWatch(this.#basis.loop, this.#basis.socket, this.#limits, () => {
      running?.fail(new ClosedError(`${running.name} failed: the connection was ${how} before it was done`));
    }));
    await running?.then(undefined, () => undefined);
    if (watch.expired || this.#owner.closed) return watch;
    slots.sending = running = new Operation(last, slots, {});
    await running.start().then(undefined, () => undefined);
    return watch;
  }

  /** Waits until the peer's system has acknowledged everything, the watch expires, or the connection is closed. */
  #acknowledged(watch: ProgressWatch): Promise<void> {
    return new Promise((resolve) => {
      if (watch.expired || this.#owner.closed) resolve();
      else {
        this.#owner.onceClosed(resolve);
        watch.onExpire(resolve);
        watch.whenAcknowledged(resolve);
      }
    });
  }
}

const NOTHING = new Uint8Array(0);
