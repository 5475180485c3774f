/** What can go wrong with a system call, as values. */

import { count, duration, listOf, oneOf, thing } from '../../core/options.ts';
import type { Rule, Rules } from '../../core/options.ts';

/** A call into which a fault can be put. */
export type FaultyCall = 'accept' | 'connect' | 'recv' | 'send' | 'socket';

/** Errors that a fault may name. */
export type FaultErrno = (typeof ERRNOS)[number];
const ERRNOS = [
  'EAGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EINTR',
  'EMFILE',
  'ENOBUFS',
  'EPIPE',
  'ETIMEDOUT',
] as const;

/**
 * One fault. `pass`: none. `delay`: the call wants, and the descriptor is ready again after so many milliseconds.
 * `short`: at most so many bytes move. `zero`: nothing moves, without an error. `errno`: the call fails. From then on:
 * `reset`: the connection is broken; `end`: the stream has ended; `hold`: the descriptor is never ready again.
 */
export type Fault =
  | { readonly kind: 'pass' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'short'; readonly bytes: number }
  | { readonly kind: 'zero' }
  | { readonly kind: 'errno'; readonly code: FaultErrno }
  | { readonly kind: 'reset' }
  | { readonly kind: 'end' }
  | { readonly kind: 'hold' };

/** What a rule is told of the call that it decides on. */
export interface CallContext {
  readonly call: FaultyCall;
  readonly fd: number;
  /** How many calls of that name were made before, on any descriptor. */
  readonly index: number;
  /** How many bytes the call offers or has room for. */
  readonly bytes: number;
}

/** Decides what happens to a call. */
export type FaultRule = (context: CallContext) => Fault;

/** Faults for the first calls of each name, in their order; the calls after those pass. */
export type FaultPlan = Partial<Record<FaultyCall, readonly Fault[]>>;

const PARTS: Readonly<Record<Fault['kind'], readonly [name: string, rule: Rule] | null>> = {
  pass: null,
  delay: ['ms', duration],
  short: ['bytes', count(1)],
  zero: null,
  errno: ['code', oneOf(...ERRNOS)],
  reset: null,
  end: null,
  hold: null,
};

/** What a fault takes: its kind, and what belongs to it. */
export const faultRule = thing("a fault, such as { kind: 'errno', code: 'EINTR' }", (value) => {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
  const { kind, ...rest } = value as Record<string, unknown>;
  if (typeof kind !== 'string' || !Object.hasOwn(PARTS, kind)) return 'range';
  const part = PARTS[kind as Fault['kind']];
  const names = Object.keys(rest);
  return part === null
    ? names.length === 0
    : names.length === 1 && names[0] === part[0] && part[1].judge(rest[part[0]]);
});

const faults = listOf(faultRule);
export const FAULT_PLAN_RULES = {
  accept: faults,
  connect: faults,
  recv: faults,
  send: faults,
  socket: faults,
} satisfies Rules<FaultPlan>;

/** @returns the rule that follows a plan. */
export function ruleOf(plan: FaultPlan): FaultRule {
  return ({ call, index }) => plan[call]?.[index] ?? PASS;
}

/** No fault. */
export const PASS: Fault = { kind: 'pass' };
