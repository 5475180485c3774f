/** One run of a scenario in a simulated world, and what is known of it afterwards. */

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
import { Ledger } from '../../reactor/testing/ledger.ts';
import { noteTrace, Trace } from './trace.ts';

/** All that decides a run. The same plan gives the same run. */
export interface SimulationPlan {
  /** How links carry bytes. */
  readonly link?: LinkOptions | undefined;
  /** What goes wrong with system calls, on all machines together: a plan, or a rule over the calls. */
  readonly faults?: FaultPlan | FaultRule | undefined;
  /** How many steps the run may take; a million unless given. */
  readonly steps?: number | undefined;
}

export const PLAN_RULES = {
  link: group(LINK_RULES),
  faults: either(group(FAULT_PLAN_RULES), func),
  steps: stepsAtMost,
} satisfies Rules<SimulationPlan>;

/** What came of a run. */
export interface Simulation<T> {
  readonly result: T;
  readonly trace: Trace;
  /** How often each kind of fault really happened. */
  readonly faults: ReadonlyMap<Fault['kind'], number>;
  readonly faultsInAll: number;
  /** The virtual time when the scenario settled, in milliseconds. */
  readonly endedAtMs: number;
  readonly steps: number;
}

/** What can be looked at while a run goes on. */
export interface Evidence {
  /** The calls made so far, of all machines. */
  readonly trace: Trace;
  /** The book of descriptors of each machine, by its name. */
  readonly books: ReadonlyMap<string, Ledger>;
}

/** Something was not given back at the end of a run. */
export class LeakError extends WantioError {
  constructor(leaks: readonly string[]) {
    super('ERR_WANTIO_LEAK', `not given back: ${leaks.join(', ')}`);
  }

  static {
    this.prototype.name = 'LeakError';
  }
}

/**
 * Runs `scenario` in a new world. When it has settled, what it left open is aborted, and everything must be given back.
 * @throws what `scenario` throws, with the trace of the run appended to its message.
 * @throws {DeadlockError} when it can never settle; {LivelockError} when it takes too many steps.
 * @throws {LeakError} when a descriptor, a deadline or a TLS object is left, or a descriptor was closed that was not
 * open.
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
