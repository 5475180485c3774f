/** Faults that a correct program tolerates, drawn at random for each call from a seed. */

import { PASS } from './fault.ts';
import type { CallContext, Fault, FaultRule } from './fault.ts';

/** A rule that draws faults, and a way to restart the sequence. */
export interface DrawnFaults {
  readonly rule: FaultRule;
  /** For how many calls the rule was asked. */
  readonly calls: number;
  /** Restarts the sequence. The next faults depend only on the seed and on `name`. */
  restart(name: string): void;
}

/**
 * Makes a rule that gives one call in four a fault: the call is interrupted, would block without a reason, moves fewer
 * bytes than it could or none, or is delayed.
 */
export function drawnFaults(seed: number): DrawnFaults {
  let state = seed >>> 0;
  let calls = 0;
  const draw = (below: number): number => {
    // xorshift32, whose state must not be 0.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
  return {
    rule: (context) => {
      calls++;
      return draw(4) === 0 ? faultFor(context, draw) : PASS;
    },
    get calls() {
      return calls;
    },
    restart(name) {
      // FNV-1a.
      state = 0x811c9dc5 ^ seed;
      for (const byte of Buffer.from(name)) state = Math.imul(state ^ byte, 0x01000193);
      state = state >>> 0 || 1;
    },
  };
}

function faultFor({ call, bytes }: CallContext, draw: (below: number) => number): Fault {
  switch (call) {
    case 'recv':
    case 'send':
      return moving(bytes, draw);
    case 'accept':
      return { kind: 'errno', code: draw(2) === 0 ? 'EINTR' : 'EAGAIN' };
    case 'connect':
      return { kind: 'errno', code: 'EINTR' };
    case 'socket':
      return PASS;
  }
}

function moving(bytes: number, draw: (below: number) => number): Fault {
  switch (draw(6)) {
    case 0:
      return { kind: 'errno', code: 'EINTR' };
    case 1:
      return { kind: 'errno', code: 'EAGAIN' };
    case 2:
      return { kind: 'zero' };
    case 3:
      return { kind: 'delay', ms: 1 };
    case 4:
      return { kind: 'short', bytes: 1 + draw(8) };
    default:
      return { kind: 'short', bytes: 1 + draw(Math.max(1, bytes)) };
  }
}
