// Law: the timing wheel expires the same deadlines as a plain list: all that are due, no others, in the order of their
// ticks, even when callbacks arm or cancel deadlines.

import assert from 'node:assert/strict';

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { Deadline, Deadlines } from '../../core/deadlines.ts';
import { checkLaw, replaying } from '../kit/law.ts';

type Action =
  | { readonly do: 'arm'; readonly which: number; readonly after: number }
  | { readonly do: 'cancel'; readonly which: number }
  | { readonly do: 'pass'; readonly ms: number };

/**
 * What a deadline does when it expires: arm or cancel another deadline, or itself. Each does so at most three times, so
 * that every call ends.
 */
type Reaction = Exclude<Action, { do: 'pass' }>;

test('the timing wheel expires the same deadlines as a list', async () => {
  let expired = 0;
  await checkLaw(
    fc.property(
      start,
      fc.array(action, { maxLength: 60, size: 'max' }),
      fc.array(fc.array(reaction, { maxLength: 3, size: 'max' }), { minLength: COUNT, maxLength: COUNT }),
      (now, actions, reactions) => {
        const pair = new Pair(now, reactions);
        for (const action of actions) pair.do(action);
        for (let passes = 0; passes < 3; passes++) pair.do({ do: 'pass', ms: LONGEST });
        expired += pair.expired;
      },
    ),
    5_000,
  );
  if (!replaying()) expect(expired, 'expired deadlines').toBeGreaterThan(10_000);
});

/** A wheel and a list. Every action is performed on both. */
class Pair {
  expired = 0;
  #now: number;
  /** The tick that the wheel has reached. A deadline that is armed for an earlier moment is due at this tick. */
  #reached: number;
  #until = -Infinity;
  readonly #wheel: Deadlines;
  readonly #deadlines: Deadline[];
  /** The tick at which each armed deadline is due. */
  readonly #list = new Map<number, number>();

  constructor(now: number, reactions: readonly (readonly Reaction[])[]) {
    this.#now = now;
    this.#reached = Math.floor(now);
    this.#wheel = new Deadlines(now);
    this.#deadlines = reactions.map((given, which) => {
      const left = [...given];
      return new Deadline({
        expire: (moment) => {
          this.#checkExpired(which, moment);
          const reaction = left.shift();
          if (reaction !== undefined) this.do(reaction);
        },
      });
    });
  }

  do(action: Action): void {
    if (action.do === 'pass') this.#pass(action.ms);
    else if (action.do === 'cancel') {
      this.#wheel.cancel(this.#deadlines[action.which]);
      this.#list.delete(action.which);
    } else {
      const at = this.#now + action.after;
      this.#wheel.arm(this.#deadlines[action.which], at);
      this.#list.set(action.which, Math.max(Math.ceil(at), this.#reached));
      assert.equal(this.#deadlines[action.which].at, at);
    }
    this.#compare();
  }

  #pass(ms: number): void {
    this.#now += ms;
    this.#until = Math.floor(this.#now);
    this.#wheel.expire(this.#now);
    this.#reached = Math.max(this.#reached, this.#until);
    assert.ok(this.#earliest() > this.#until, 'every due deadline has expired');
  }

  #checkExpired(which: number, moment: number): void {
    const due = this.#list.get(which);
    assert.ok(due !== undefined, 'an expired deadline was armed');
    assert.equal(due, this.#earliest(), 'the earliest deadline expires first');
    assert.ok(due <= this.#until, 'an expired deadline is due');
    assert.equal(moment, this.#now, 'expire gets the present time');
    this.#reached = Math.max(this.#reached, due);
    this.#list.delete(which);
    this.expired++;
  }

  #compare(): void {
    assert.equal(this.#wheel.size, this.#list.size);
    for (const [which, deadline] of this.#deadlines.entries()) assert.equal(deadline.armed, this.#list.has(which));
    const next = this.#wheel.nextAt();
    const earliest = this.#earliest();
    assert.equal(next === Infinity, this.#list.size === 0, 'nextAt is finite while a deadline is armed');
    assert.ok(next <= earliest, 'nothing is due before the next moment');
    assert.ok(next >= this.#reached, 'the next moment is not in the past');
    if (Math.floor(earliest / 32) === Math.floor(this.#reached / 32))
      assert.equal(next, earliest, 'a next moment on the lowest level is exact');
  }

  #earliest(): number {
    return Math.min(...this.#list.values());
  }
}

// Few deadlines, so that the same ones are armed again and cancelled, and several share a tick.
const COUNT = 8;
const YEAR = 365 * 86_400_000;
const LONGEST = 5 * YEAR;

// Many spans are close to a power of 32, where a level of the wheel wraps.
const span = fc.oneof(
  { weight: 5, arbitrary: fc.nat(40) },
  { weight: 3, arbitrary: fc.double({ min: 0, max: 5_000, noNaN: true }) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: -2, max: 2 }))
      .map(([level, off]) => 32 ** level + off),
  },
  { weight: 2, arbitrary: fc.maxSafeNat().map((ms) => ms % LONGEST) },
);
const start = fc.oneof(
  fc.constant(0),
  fc.double({ min: 0, max: 1e6, noNaN: true }),
  fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: -3, max: 3 })).map(([level, off]) => 32 ** level + off),
);

const which = fc.nat(COUNT - 1);
const after = fc.oneof(
  { weight: 8, arbitrary: span },
  { weight: 1, arbitrary: span.map((ms) => -ms) },
  { weight: 1, arbitrary: fc.constant(Infinity) },
);
const arm = fc.record({ do: fc.constant('arm' as const), which, after });
const cancel = fc.record({ do: fc.constant('cancel' as const), which });
const reaction: fc.Arbitrary<Reaction> = fc.oneof({ weight: 2, arbitrary: arm }, { weight: 1, arbitrary: cancel });
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 5, arbitrary: arm },
  { weight: 2, arbitrary: cancel },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: span }) },
);
