/** Runs a scenario in a simulated world, records its system calls, and checks that it leaks nothing. */

import { WantioError } from '../../core/errors.ts';
import { checkArgument, checkOptions, either, func, group } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { livingTlsTransports } from '../../protocols/tls/tls-transport.ts';
import { FaultInjector } from '../../reactor/faults/fault-injector.ts';
import { FAULT_PLAN_RULES, ruleOf } from '../../reactor/faults/fault.ts';
import type { Fault, FaultPlan, FaultRule } from '../../reactor/faults/fault.ts';
import type { Ground } from '../../reactor/ground.ts';
import { LINK_RULES } from '../../reactor/simulated/link.ts';
import type { LinkOptions } from '../../reactor/simulated/link.ts';
import { stepsAtMost, World } from '../../reactor/simulated/world.ts';
import { Ledger } from '../../reactor/ledger.ts';
import { noteTrace, Trace } from './trace.ts';

/** Everything that decides a run. Without TLS the same plan gives the same run. */
export interface SimulationPlan {
  /** How links carry bytes. */
  readonly link?: LinkOptions | undefined;
  /** The faults of system calls, counted over all machines: a plan, or a rule that decides each call. */
  readonly faults?: FaultPlan | FaultRule | undefined;
  /** The most steps that the run may take; a million by default. */
  readonly steps?: number | undefined;
}

export const PLAN_RULES = {
  link: group(LINK_RULES),
  faults: either(group(FAULT_PLAN_RULES), func),
  steps: stepsAtMost,
} satisfies Rules<SimulationPlan>;

/** The outcome of a run. */
export interface Simulation<T> {
  readonly result: T;
  readonly trace: Trace;
  /** How often each kind of fault happened. */
  readonly faults: ReadonlyMap<Fault['kind'], number>;
  readonly faultsInAll: number;
  /** The virtual time when the scenario settled, in milliseconds. */
  readonly endedAtMs: number;
  readonly steps: number;
}

/** What a scenario can inspect while it runs. */
export interface Evidence {
  /** The system calls of all machines so far. */
  readonly trace: Trace;
  /** The ledger of descriptors of each machine, by its name. */
  readonly books: ReadonlyMap<string, Ledger>;
}

/** Thrown when something was not released at the end of a run. */
export class LeakError extends WantioError {
  constructor(leaks: readonly string[]) {
    super('ERR_WANTIO_LEAK', `not released: ${leaks.join(', ')}`);
  }

  static {
    this.prototype.name = 'LeakError';
  }
}

/**
 * Runs `scenario` in a new world. When it has settled, every reactor is aborted, and then everything must be released.
 * @throws the error that `scenario` throws, with the trace of the run appended to its message.
 * @throws {DeadlockError} when the scenario can never settle.
 * @throws {LivelockError} when the scenario takes too many steps.
 * @throws {LeakError} when a descriptor, a deadline or a TLS object is left, or a descriptor was closed that was not
 * open.
 * @example
 * import { simulate } from 'wantio/testing';
 *
 * const { result } = await simulate({ link: { latencyMs: 10, segment: 1 } }, async (world) => {
 *   const [here, there] = [world.machine('here'), world.machine('there')];
 *   const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
 *   listener.serve({}, (connection) => connection.send('hello\n').then(() => undefined));
 *   const connection = await here.reactor.connect({ host: 'there', port: 7 });
 *   return connection.receive();
 * });
 * if (result !== 'hello') throw new Error('the server says something else');
 */
export async function simulate<T>(
  plan: SimulationPlan,
  scenario: (world: World, evidence: Evidence) => Promise<T>,
): Promise<Simulation<T>> {
  checkOptions('simulate', plan, PLAN_RULES);
  checkArgument('simulate', 'the scenario', scenario, func);
  const trace = new Trace();
  const books = new Map<string, Ledger>();
  const account = (ground: Ground, name: string): Ground => {
    const ledger = new Ledger();
    books.set(name, ledger);
    return { ...ground, calls: ledger.wrap(ground.calls) };
  };
  const injector = new FaultInjector(typeof plan.faults === 'function' ? plan.faults : ruleOf(plan.faults ?? {}));
  const world = new World({
    link: plan.link,
    wrap: (ground, host) => trace.wrap(injector.wrap(account(ground, host.name)), host.name),
  });
  const tlsBefore = livingTlsTransports();
  try {
    let endedAtMs = 0;
    const result = await world.run(
      scenario(world, { trace, books }).finally(() => {
        endedAtMs = world.now();
      }),
      plan.steps,
    );
    await end(world, books, tlsBefore);
    return { result, trace, faults: injector.happened, faultsInAll: injector.total, endedAtMs, steps: world.steps };
  } catch (error) {
    if (error instanceof Error) noteTrace(error, trace);
    throw error;
  }
}

async function end(world: World, books: ReadonlyMap<string, Ledger>, tlsBefore: number): Promise<void> {
  for (const { reactor } of world.machines) reactor.abort();
  await world.run(Promise.all(world.machines.map(({ reactor }) => reactor.close())));
  const leaks = world.machines.flatMap(({ host, reactor }) => [
    ...(host.openDescriptors === 0 ? [] : [`${String(host.openDescriptors)} descriptors of ${host.name}`]),
    ...(reactor.loop.deadlines.size === 0 ? [] : [`${String(reactor.loop.deadlines.size)} deadlines of ${host.name}`]),
  ]);
  for (const [name, { closedTwice }] of books)
    if (closedTwice.length > 0) leaks.push(`${name} closed descriptors that were not open: ${closedTwice.join(', ')}`);
  const tls = livingTlsTransports() - tlsBefore;
  if (tls > 0) leaks.push(`${String(tls)} TLS objects`);
  if (leaks.length > 0) throw new LeakError(leaks);
}
