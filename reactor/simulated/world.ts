/**
 * A simulated world: hosts with reactors, a network between them, and virtual time.
 *
 * Theory of operation. All future events are on one agenda, ordered by their moments. The world takes the first entry,
 * sets the clock to its moment, and runs it. After an entry in which a reactor runs, the world waits for a macrotask of
 * Node's, so that the continuations of settled promises run before the next entry, as they do in reality. When the
 * agenda is empty and an operation still waits, nothing can ever wake it. The world reports this as a deadlock.
 */

import { WantioError } from '../../core/errors.ts';
import { checkArgument, checkOptions, count, duration, func, group, partWith } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import type { Ground } from '../ground.ts';
import { Reactor } from '../reactor.ts';
import type { OperationSnapshot } from '../roster.ts';
import { Agenda } from './agenda.ts';
import { LINK_RULES } from './link.ts';
import type { Link, LinkOptions } from './link.ts';
import type { HostOptions, SimulatedHost } from './simulated-host.ts';
import { SimulatedNetwork } from './simulated-network.ts';

/** A host with its reactor. */
export interface SimulatedMachine {
  readonly host: SimulatedHost;
  readonly reactor: Reactor;
}

/** The options of a world. */
export interface WorldOptions {
  /** The options of all links. A single link can be changed later. */
  readonly link?: LinkOptions | undefined;
  /** Wraps the ground of each host, for example to inject faults. */
  readonly wrap?: ((ground: Ground, host: SimulatedHost) => Ground) | undefined;
}

/** The rule for the limit on the number of steps. */
export const stepsAtMost = count(1);
const promise = partWith('a promise, such as that of an async function that was called', 'then');
export const WORLD_RULES = { link: group(LINK_RULES), wrap: func } satisfies Rules<WorldOptions>;

/** No event is left in the world, but something still waits. */
export class DeadlockError extends WantioError {
  /** The operations that wait. */
  readonly waiting: readonly OperationSnapshot[];

  /**
   * What is pending outside the world, by the names of Node's `process.getActiveResourcesInfo`. A name occurs as often
   * as the resource.
   */
  readonly pending: readonly string[];

  constructor(now: number, waiting: readonly OperationSnapshot[], pending: readonly string[] = []) {
    const list = waiting.map(
      ({ name, want, sinceMs }) => `  ${name} wants ${want ?? 'a turn'} since ${String(sinceMs)} ms`,
    );
    super(
      'ERR_WANTIO_DEADLOCK',
      [
        `deadlock at ${String(now)} ms: no event is left in the world that could wake`,
        ...(list.length > 0 ? list : ['  (no operation: the program waits for something outside the world)']),
        ...(pending.length > 0 ? [`  pending outside the world, in real time: ${pending.join(', ')}`] : []),
      ].join('\n'),
    );
    this.waiting = waiting;
    this.pending = pending;
  }

  static {
    this.prototype.name = 'DeadlockError';
  }
}

/** The world took more steps than the limit allows. */
export class LivelockError extends WantioError {
  constructor(now: number, steps: number) {
    super('ERR_WANTIO_LIVELOCK', `livelock: not finished after ${String(steps)} steps, at ${String(now)} ms`);
  }

  static {
    this.prototype.name = 'LivelockError';
  }
}

/**
 * Simulated hosts, a network, and virtual time.
 * @example
 * import { World } from 'wantio/testing';
 *
 * const world = new World({ link: { latencyMs: 50 } });
 * const [here, there] = [world.machine('here'), world.machine('there')];
 * const scenario = async (): Promise<void> => {
 *   const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
 *   listener.serve({}, (connection) => connection.send('hello\n').then(() => undefined));
 *   const connection = await here.reactor.connect({ host: 'there', port: 7 });
 *   if ((await connection.receive()) !== 'hello') throw new Error('the server says something else');
 *   await connection.close();
 *   listener.close();
 * };
 * await world.run(scenario());
 * // The connect takes a round trip of virtual time.
 * if (world.now() < 100) throw new Error('too fast');
 */
export class World {
  readonly network: SimulatedNetwork;
  /** How many entries have run. */
  steps = 0;

  readonly #agenda = new Agenda();
  readonly #machines: SimulatedMachine[] = [];
  readonly #wrap: NonNullable<WorldOptions['wrap']>;
  /** What was pending outside the world when it was created. */
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
        at: (moment, task) => void this.#agenda.add(Math.max(this.#now, moment), task),
        settleAfter: (ms, task) => this.#agenda.add(this.#now + ms, this.#foreground(task)),
      },
      link,
    );
  }

  /** The virtual time in milliseconds. It starts at 0. */
  now(): number {
    return this.#now;
  }

  /** Every host with its reactor. */
  get machines(): readonly SimulatedMachine[] {
    return this.#machines;
  }

  /** Adds a host with a reactor. Look-ups on other hosts find it by its name. */
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

  /** Resolves after `ms` milliseconds of virtual time. */
  sleep(ms: number): Promise<void> {
    checkArgument('sleep', 'ms', ms, duration);
    return new Promise((resolve) => {
      this.#agenda.add(this.#now + ms, this.#foreground(resolve));
    });
  }

  /**
   * Runs entries of the agenda, each at its moment, up to the next one that may settle promises.
   * @returns `false` when the agenda has no such entry.
   */
  async step(): Promise<boolean> {
    for (;;) {
      const entry = this.#agenda.take(this.#agenda.nextAt);
      if (entry === undefined) return false;
      this.#now = entry.at;
      this.steps++;
      this.#inForeground = false;
      entry.run();
      // Entries of the network run no users' code. Only a turn of a reactor can have settled promises.
      if (!this.#inForeground) continue;
      await macrotask();
      return true;
    }
  }

  /** Runs until no event is left. */
  async drive(): Promise<void> {
    while (await this.step());
  }

  /** Runs until no event is left. @throws {LivelockError} when that takes more than `steps` steps. */
  async driveBounded(steps: number): Promise<void> {
    checkArgument('driveBounded', 'steps', steps, stepsAtMost);
    const limit = this.steps + steps;
    while (await this.step()) if (this.steps > limit) throw new LivelockError(this.#now, steps);
  }

  /**
   * Runs until `main` settles.
   * @returns the result of `main`.
   * @throws {DeadlockError} when no event is left, and `main` has not settled.
   * @throws {LivelockError} when `main` has not settled after `steps` steps.
   */
  async run<T>(main: Promise<T>, steps = 1_000_000): Promise<T> {
    checkArgument('run', 'the main promise', main, promise);
    checkArgument('run', 'steps', steps, stepsAtMost);
    let settled = false;
    const end = (): void => {
      settled = true;
    };
    main.then(end, end);
    const limit = this.steps + steps;
    // Continuations of promises that have settled already run before any time passes.
    await macrotask();
    for (let idle = 0; !settled;) {
      if (this.steps > limit) throw new LivelockError(this.#now, steps);
      if (await this.step()) idle = 0;
      // The program may wait for something real, such as a file, which takes some iterations of the event loop.
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
