/**
 * A world: hosts with reactors, a network between them, and time that jumps.
 *
 * Theory of operation. Everything that will happen lies on one agenda, ordered by its moment. The world takes the first
 * entry, sets the clock to its moment, and runs it. An entry in which a reactor runs is followed by a macrotask of
 * Node's, so that promises which it settled go on before the next entry, as they do in life. When the agenda is empty
 * and somebody still waits, nothing can ever wake them: that is a deadlock, and told as one.
 */

import { WantioError } from '../../core/errors.ts';
import { checkArgument, checkOptions, count, duration, func, group } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import type { Ground } from '../ground.ts';
import { Reactor } from '../reactor.ts';
import type { OperationSnapshot } from '../roster.ts';
import { Agenda } from './agenda.ts';
import { LINK_RULES } from './link.ts';
import type { Link, LinkOptions } from './link.ts';
import type { HostOptions, SimulatedHost } from './simulated-host.ts';
import { SimulatedNetwork } from './simulated-network.ts';

/** A program for one host. */
export interface SimulatedMachine {
  readonly host: SimulatedHost;
  readonly reactor: Reactor;
}

/** How a world is. */
export interface WorldOptions {
  /** How links behave unless set apart. */
  readonly link?: LinkOptions | undefined;
  /** Puts something between each reactor and its host, such as an injector of faults. */
  readonly wrap?: ((ground: Ground, host: SimulatedHost) => Ground) | undefined;
}

/** How many steps a run may take. */
export const stepsAtMost = count(1);
export const WORLD_RULES = { link: group(LINK_RULES), wrap: func } satisfies Rules<WorldOptions>;

/** Nothing can happen any more, but somebody still waits. */
export class DeadlockError extends WantioError {
  readonly waiting: readonly OperationSnapshot[];

  /**
   * What is pending outside of the world, by the names of Node's `process.getActiveResourcesInfo`; each time that it
   * is.
   */
  readonly pending: readonly string[];

  constructor(now: number, waiting: readonly OperationSnapshot[], pending: readonly string[] = []) {
    const list = waiting.map(
      ({ name, want, sinceMs }) => `  ${name} wants ${want ?? 'a turn'} since ${String(sinceMs)} ms`,
    );
    super(
      'ERR_WANTIO_DEADLOCK',
      [
        `deadlock at ${String(now)} ms: nothing is left that could wake`,
        ...(list.length > 0 ? list : ['  (no operation waits; something outside of the world is awaited)']),
        ...(pending.length > 0
          ? [`  pending outside of the world, whose time does not pass here: ${pending.join(', ')}`]
          : []),
      ].join('\n'),
    );
    this.waiting = waiting;
    this.pending = pending;
  }

  static {
    this.prototype.name = 'DeadlockError';
  }
}

/** More happened than was allowed for. */
export class LivelockError extends WantioError {
  constructor(now: number, steps: number) {
    super('ERR_WANTIO_LIVELOCK', `livelock: ${String(steps)} steps, and still going on at ${String(now)} ms`);
  }

  static {
    this.prototype.name = 'LivelockError';
  }
}

/** Hosts, network and time, in memory. */
export class World {
  readonly network: SimulatedNetwork;
  /** How many entries have run. */
  steps = 0;

  readonly #agenda = new Agenda();
  readonly #machines: SimulatedMachine[] = [];
  readonly #wrap: NonNullable<WorldOptions['wrap']>;
  /** What was pending outside before the world was made. */
  readonly #pendingBefore = process.getActiveResourcesInfo();
  #now = 0;
  #inForeground = false;

  constructor(options: WorldOptions = {}) {
    checkOptions('new World', options, WORLD_RULES);
    const { link, wrap = (ground: Ground): Ground => ground } = options;
    this.#wrap = wrap;
    this.network = new SimulatedNetwork(
      {
        now: () => this.#now,
        after: (ms, task) => this.#agenda.add(this.#now + ms, task),
        settleAfter: (ms, task) => this.#agenda.add(this.#now + ms, this.#foreground(task)),
      },
      link,
    );
  }

  /** The virtual time in milliseconds; it begins at 0. */
  now(): number {
    return this.#now;
  }

  /** Every host with its reactor. */
  get machines(): readonly SimulatedMachine[] {
    return this.#machines;
  }

  /** Adds a host with a reactor on it. Other hosts find it by its name. */
  machine(name: string, options?: HostOptions): SimulatedMachine {
    const host = this.network.addHost(name, options);
    const ground: Ground = {
      clock: { now: () => this.#now },
      selector: host.selector,
      calls: host,
      lookUp: (wanted, port, signal) => this.network.lookUp(wanted, port, signal),
      defer: (task) => void this.#agenda.add(this.#now, this.#foreground(task)),
      wakeAt: (at, task) => this.#agenda.add(Math.max(this.#now, at), this.#foreground(task)),
    };
    const machine = { host, reactor: new Reactor(this.#wrap(ground, host)) };
    this.#machines.push(machine);
    return machine;
  }

  /** The link between two machines. */
  link(one: SimulatedMachine, other: SimulatedMachine): Link {
    return this.network.link(one.host, other.host);
  }

  /** Lets `ms` of virtual time pass. */
  sleep(ms: number): Promise<void> {
    checkArgument('sleep', 'ms', ms, duration);
    return new Promise((resolve) => {
      this.#agenda.add(this.#now + ms, this.#foreground(resolve));
    });
  }

  /** Runs the next entry, jumping to its moment; @returns `false` when there is none. */
  async step(): Promise<boolean> {
    for (;;) {
      const entry = this.#agenda.take(this.#agenda.nextAt);
      if (entry === undefined) return false;
      this.#now = entry.at;
      this.steps++;
      this.#inForeground = false;
      entry.run();
      // What the network does by itself runs no code of users: only a reactor's turn can have settled promises.
      if (!this.#inForeground) continue;
      await macrotask();
      return true;
    }
  }

  /** Runs until nothing is left to happen. */
  async drive(): Promise<void> {
    while (await this.step());
  }

  /** Runs until nothing is left to happen. @throws {LivelockError} when that takes more than `steps` steps. */
  async driveBounded(steps: number): Promise<void> {
    checkArgument('driveBounded', 'steps', steps, stepsAtMost);
    const limit = this.steps + steps;
    while (await this.step()) if (this.steps > limit) throw new LivelockError(this.#now, steps);
  }

  /**
   * Runs until `main` settles.
   * @returns what it resolves to.
   * @throws {DeadlockError} when nothing is left to happen and it has not settled.
   * @throws {LivelockError} when it has not after `steps` steps.
   */
  async run<T>(main: Promise<T>, steps = 1_000_000): Promise<T> {
    checkArgument('run', 'steps', steps, stepsAtMost);
    let settled = false;
    const end = (): void => {
      settled = true;
    };
    main.then(end, end);
    const limit = this.steps + steps;
    // What has settled already goes on before any time passes.
    await macrotask();
    for (let idle = 0; !settled;) {
      if (this.steps > limit) throw new LivelockError(this.#now, steps);
      if (await this.step()) idle = 0;
      // Something real may be awaited that takes some iterations of the event loop, such as a file.
      else if (++idle > REAL_ITERATIONS) throw this.#deadlock();
      else await macrotask();
    }
    return main;
  }

  #deadlock(): DeadlockError {
    const before = [...this.#pendingBefore];
    const pending = process.getActiveResourcesInfo().filter((name) => {
      const known = before.indexOf(name);
      if (known >= 0) before.splice(known, 1);
      return known < 0 && name !== 'Immediate';
    });
    return new DeadlockError(
      this.#now,
      this.#machines.flatMap(({ reactor }) => reactor.operations()),
      pending,
    );
  }

  #foreground(task: () => void): () => void {
    return () => {
      this.#inForeground = true;
      task();
    };
  }
}

function macrotask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const REAL_ITERATIONS = 100;
