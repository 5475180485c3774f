/**
 * wantio/testing: simulated worlds, faults, and random plans for both. It works with every test runner. The plans are
 * arbitraries of fast-check.
 */

export { drawnFaults } from '../reactor/faults/drawn-faults.ts';
export type { DrawnFaults } from '../reactor/faults/drawn-faults.ts';
export { FaultInjector } from '../reactor/faults/fault-injector.ts';
export { PASS, ruleOf } from '../reactor/faults/fault.ts';
export type { CallContext, Fault, FaultErrno, FaultPlan, FaultRule, FaultyCall } from '../reactor/faults/fault.ts';
export { Link } from '../reactor/simulated/link.ts';
export type { LinkOptions } from '../reactor/simulated/link.ts';
export { Ledger } from '../reactor/ledger.ts';
export { SimulatedHost } from '../reactor/simulated/simulated-host.ts';
export type { HostNetwork, HostOptions } from '../reactor/simulated/simulated-host.ts';
export { SimulatedNetwork } from '../reactor/simulated/simulated-network.ts';
export type { Clockwork, NameOptions } from '../reactor/simulated/simulated-network.ts';
export type { SimulatedSelector } from '../reactor/simulated/simulated-selector.ts';
export { DeadlockError, LivelockError, World } from '../reactor/simulated/world.ts';
export type { SimulatedMachine, WorldOptions } from '../reactor/simulated/world.ts';
export {
  anyFaults,
  buffers,
  harmlessFaults,
  link,
  moment,
  payload,
  schedule,
  scheduleOf,
  timeouts,
} from './kit/arbitraries.ts';
export { checkFraming } from './kit/check-framing.ts';
export type { FramingCheckOptions } from './kit/check-framing.ts';
export { checkSelector } from './kit/check-selector.ts';
export type { SelectorSetting } from './kit/check-selector.ts';
export { checkTransport } from './kit/check-transport.ts';
export type { Check, TransportPair } from './kit/check-transport.ts';
export { checkLaw, commandsReplay, replaying, tryLaw, watchLaws } from './kit/law.ts';
export type { LawRunner } from './kit/law.ts';
export type { LawPlace } from './kit/law-failure.ts';
export { follow, until } from './kit/schedule.ts';
export type { Moment, Scheduled } from './kit/schedule.ts';
export { LeakError, simulate } from './kit/simulate.ts';
export type { Evidence, Simulation, SimulationPlan } from './kit/simulate.ts';
export { Trace } from './kit/trace.ts';
export type { TraceEntry } from './kit/trace.ts';
export { withoutLeaks } from './kit/without-leaks.ts';
export type { LeakOptions } from './kit/without-leaks.ts';
