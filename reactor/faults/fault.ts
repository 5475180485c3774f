/** The faults of system calls, as values. */

import { count, duration, listOf, oneOf, thing } from '../../core/options.ts';
import type { Rule, Rules } from '../../core/options.ts';

/** A call that can have a fault. */
export type FaultyCall = 'accept' | 'connect' | 'recv' | 'send' | 'socket';

/** The errors that a fault can have. */
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
 * One fault. `pass`: none. `delay`: the call would block, and the descriptor is ready again after `ms` milliseconds.
 * `short`: at most `bytes` bytes move. `zero`: no bytes move, without an error. `errno`: the call fails. These are
 * permanent: `reset` (the connection is broken), `end` (the stream has ended), `hold` (the descriptor is never ready
 * again).
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

/** The call for which a rule chooses a fault. */
export interface CallContext {
  readonly call: FaultyCall;
  readonly fd: number;
  /** How many calls of this name were made before, on any descriptor. */
  readonly index: number;
  /** How many bytes a send offers, or a receive has room for. */
  readonly bytes: number;
}

/** Chooses the fault for a call. */
export type FaultRule = (context: CallContext) => Fault;

/** Faults for the first calls of each name, in order. Later calls pass. */
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

/** The rule for a fault. */
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

/** @returns a rule that follows `plan`. */
export function ruleOf(plan: FaultPlan): FaultRule {
  return ({ call, index }) => plan[call]?.[index] ?? PASS;
}

/** No fault. */
export const PASS: Fault = { kind: 'pass' };
