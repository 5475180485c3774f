import { describe, expect, test } from 'vitest';

import { Deadline, Deadlines } from './deadlines.ts';

const SECOND = 1_000;
const DAY = 86_400 * SECOND;

/** Deadlines by name, and the names of those that have expired, in order. */
class Diary {
  readonly told: string[] = [];
  readonly deadlines: Deadlines;

  constructor(now = 0, onArm?: (at: number) => void) {
    this.deadlines = new Deadlines(now, onArm);
  }

  /** Makes a deadline that records its name when it expires, and then runs `also`. */
  deadline(name: string, also?: (now: number) => void): Deadline {
    return new Deadline({
      expire: (now) => {
        this.told.push(name);
        also?.(now);
      },
    });
  }

  arm(name: string, at: number, also?: (now: number) => void): Deadline {
    const deadline = this.deadline(name, also);
    this.deadlines.arm(deadline, at);
    return deadline;
  }

  /** @returns the names of the deadlines that expire at `now`. */
  at(now: number): string[] {
    this.told.length = 0;
    this.deadlines.expire(now);
    return [...this.told];
  }
}

describe('a deadline', () => {
  test('expires at its moment and not before', () => {
    const diary = new Diary();
    diary.arm('a', 10);
    expect([diary.at(9), diary.at(10), diary.at(11)]).toEqual([[], ['a'], []]);
  });

  test('expires late when its moment was missed', () => {
    const diary = new Diary();
    diary.arm('a', 10);
    expect(diary.at(50 * DAY)).toEqual(['a']);
  });

  test('passes the present moment to its callback, not its own moment', () => {
    const diary = new Diary();
    let told = 0;
    diary.arm('a', 10, (now) => {
      told = now;
    });
    diary.at(12.5);
    expect(told).toBe(12.5);
  });

  test('never expires before a moment between two ticks', () => {
    const diary = new Diary(0.9);
    diary.arm('a', 10.3);
    expect([diary.at(10), diary.at(10.2), diary.at(11)]).toEqual([[], [], ['a']]);
  });

  test('is armed from the call of arm until it expires', () => {
    const diary = new Diary();
    const deadline = diary.deadline('a');
    const before = [deadline.armed, deadline.at];
    diary.deadlines.arm(deadline, 5);
    const during = [deadline.armed, deadline.at];
    diary.at(5);
    expect([before, during, [deadline.armed, deadline.at]]).toEqual([
      [false, Infinity],
      [true, 5],
      [false, Infinity],
    ]);
  });

  test('is already disarmed while its callback runs', () => {
    const diary = new Diary();
    let armed = true;
    const deadline = diary.arm('a', 5, () => {
      armed = deadline.armed;
    });
    diary.at(5);
    expect(armed).toBe(false);
  });

  test('does not expire early when the clock has gone back', () => {
    const diary = new Diary();
    diary.at(100);
    diary.arm('a', 120);
    expect([diary.at(10), diary.at(30), diary.deadlines.nextAt(), diary.at(119), diary.at(120)]).toEqual([
      [],
      [],
      120,
      [],
      ['a'],
    ]);
  });

  test('is found by nextAt at any position of the wheel', () => {
    for (const now of [0, 31, 32, 33, 64, 1_023, 1_024]) {
      const { deadlines } = new Diary(now);
      deadlines.arm(new Deadline({ expire: () => undefined }), now);
      expect(deadlines.nextAt()).toBe(now);
    }
  });

  test('for a moment in the past expires at the next call of expire', () => {
    const diary = new Diary(1_000);
    diary.arm('a', 3);
    expect([diary.deadlines.nextAt(), diary.at(1_000)]).toEqual([1_000, ['a']]);
  });

  test('for a moment in the past expires although the wheel has advanced', () => {
    const diary = new Diary();
    diary.at(12_345);
    diary.arm('a', 3);
    expect(diary.at(12_345)).toEqual(['a']);
  });

  test('cannot be armed for NaN', () => {
    const diary = new Diary();
    expect(() => diary.arm('a', NaN)).toThrow(RangeError);
    expect(diary.deadlines.size).toBe(0);
  });
});

describe('several deadlines', () => {
  test('expire in the order of their moments, whatever the order of arming', () => {
    const diary = new Diary();
    for (const at of [5_000, 3, 70_000, 40, 1_100, 2]) diary.arm(String(at), at);
    expect(diary.at(100_000)).toEqual(['2', '3', '40', '1100', '5000', '70000']);
  });

  test('of the same moment all expire', () => {
    const diary = new Diary();
    for (const name of ['a', 'b', 'c']) diary.arm(name, 77);
    expect(diary.at(77).sort()).toEqual(['a', 'b', 'c']);
  });

  test('on every level of the wheel expire at their own moments', () => {
    const diary = new Diary();
    const moments = [1, 31, 32, 33, 1_023, 1_024, 32_767, 32_768, 1_048_576, 33_554_432, 1_073_741_824, 34_359_738_367];
    for (const at of moments) diary.arm(String(at), at);
    for (const at of moments) expect([diary.at(at - 1), diary.at(at)]).toEqual([[], [String(at)]]);
  });

  test('expire at their moments around the wrap of every level', () => {
    for (const turn of [32, 1_024, 32_768, 1_048_576, 33_554_432, 1_073_741_824, 34_359_738_368]) {
      const diary = new Diary(turn - 1);
      diary.arm('before', turn - 0.5);
      diary.arm('after', turn + 1);
      expect([diary.at(turn - 0.6), diary.at(turn), diary.at(turn + 1)]).toEqual([[], ['before'], ['after']]);
    }
  });

  test('all expire in one call, in order, when the clock jumps over years', () => {
    const diary = new Diary();
    const moments = [7, 2_000 * DAY, 33, 400 * DAY, 396 * DAY, 12 * DAY];
    for (const at of moments) diary.arm(String(at), at);
    expect(diary.at(3_000 * DAY)).toEqual(moments.sort((a, b) => a - b).map(String));
  });
});

describe('a far deadline', () => {
  test('beyond the range of the wheel expires at its moment', () => {
    const diary = new Diary();
    diary.arm('a', 1_000 * DAY);
    expect([diary.at(398 * DAY), diary.at(795 * DAY), diary.at(1_000 * DAY - 1), diary.at(1_000 * DAY)]).toEqual([
      [],
      [],
      [],
      ['a'],
    ]);
  });

  test('does not expire early at the edge of the range', () => {
    const diary = new Diary();
    const rim = 32 ** 7;
    for (const at of [rim - 1, rim, rim + 1]) diary.arm(String(at), at);
    expect([diary.at(rim - 1), diary.at(rim), diary.at(rim + 1)]).toEqual([
      [String(rim - 1)],
      [String(rim)],
      [String(rim + 1)],
    ]);
  });

  test('at Infinity is armed and never expires', () => {
    const diary = new Diary();
    const deadline = diary.arm('a', Infinity);
    expect([deadline.armed, diary.at(10_000 * DAY), deadline.armed]).toEqual([true, [], true]);
  });

  test('does not hide a near deadline', () => {
    const diary = new Diary();
    diary.arm('far', 1_000 * DAY);
    diary.arm('near', 4);
    expect(diary.at(4)).toEqual(['near']);
  });
});

describe('arming a deadline again', () => {
  test('moves it to a later moment', () => {
    const diary = new Diary();
    const deadline = diary.arm('a', 10);
    diary.deadlines.arm(deadline, 2_000);
    expect([diary.at(1_999), diary.at(2_000)]).toEqual([[], ['a']]);
  });

  test('moves it to an earlier moment', () => {
    const diary = new Diary();
    const deadline = diary.arm('a', 2_000);
    diary.deadlines.arm(deadline, 10);
    expect([diary.at(10), diary.at(2_000)]).toEqual([['a'], []]);
  });

  test('does not make it expire twice', () => {
    const diary = new Diary();
    const deadline = diary.arm('a', 10);
    diary.deadlines.arm(deadline, 10);
    expect([diary.deadlines.size, diary.at(10)]).toEqual([1, ['a']]);
  });

  test('does not move other deadlines of the same moment', () => {
    const diary = new Diary();
    const [first, middle, last] = ['first', 'middle', 'last'].map((name) => diary.arm(name, 10));
    for (const deadline of [middle, last, first]) {
      diary.deadlines.arm(deadline, 20);
    }
    expect([diary.at(10), diary.at(20).length]).toEqual([[], 3]);
  });
});

describe('cancelling a deadline', () => {
  test('disarms it', () => {
    const diary = new Diary();
    const deadline = diary.arm('a', 10);
    diary.deadlines.cancel(deadline);
    expect([deadline.armed, deadline.at, diary.at(10)]).toEqual([false, Infinity, []]);
  });

  test('that is not armed changes nothing', () => {
    const diary = new Diary();
    diary.arm('a', 10);
    diary.deadlines.cancel(diary.deadline('b'));
    expect([diary.deadlines.size, diary.at(10)]).toEqual([1, ['a']]);
  });

  test('that has expired changes nothing', () => {
    const diary = new Diary();
    const deadline = diary.arm('a', 10);
    diary.at(10);
    diary.deadlines.cancel(deadline);
    expect(diary.deadlines.size).toBe(0);
  });
});

describe('while callbacks of deadlines run', () => {
  test('a deadline of the same tick can be cancelled', () => {
    const diary = new Diary();
    const pair: Deadline[] = [];
    for (const [index, name] of ['a', 'b'].entries())
      pair.push(
        diary.arm(name, 10, () => {
          diary.deadlines.cancel(pair[1 - index]);
        }),
      );
    expect(diary.at(10)).toHaveLength(1);
  });

  test('a deadline of a later tick of the same call can be cancelled', () => {
    const diary = new Diary();
    const later = diary.arm('later', 5_000);
    diary.arm('first', 10, () => {
      diary.deadlines.cancel(later);
    });
    expect([diary.at(10_000), diary.deadlines.size]).toEqual([['first'], 0]);
  });

  test('a deadline of a later tick of the same call can be postponed', () => {
    const diary = new Diary();
    const later = diary.arm('later', 50);
    diary.arm('first', 10, () => {
      diary.deadlines.arm(later, 500);
    });
    expect([diary.at(100), diary.at(500)]).toEqual([['first'], ['later']]);
  });

  test('a deadline that is armed for a moment in the past expires in the same call', () => {
    const diary = new Diary();
    diary.arm('first', 10, () => {
      diary.arm('second', 40);
    });
    expect(diary.at(100)).toEqual(['first', 'second']);
  });

  test('a deadline that is armed for a later moment does not expire yet', () => {
    const diary = new Diary();
    diary.arm('first', 10, () => {
      diary.arm('second', 101);
    });
    expect([diary.at(100), diary.at(101)]).toEqual([['first'], ['second']]);
  });

  test('a deadline can arm itself again', () => {
    const diary = new Diary();
    const deadline = diary.arm('a', 10, (now) => {
      diary.deadlines.arm(deadline, now + 10);
    });
    expect([diary.at(10), diary.at(19), diary.at(20)]).toEqual([['a'], [], ['a']]);
  });
});

describe('nextAt', () => {
  test('is Infinity when no deadline is armed', () => {
    const diary = new Diary();
    diary.deadlines.cancel(diary.arm('a', 10));
    expect(diary.deadlines.nextAt()).toBe(Infinity);
  });

  test('is exact for near deadlines', () => {
    const diary = new Diary();
    diary.arm('b', 20);
    diary.arm('a', 9);
    expect(diary.deadlines.nextAt()).toBe(9);
  });

  test('is not after a far deadline', () => {
    const diary = new Diary();
    diary.arm('a', 5 * DAY + 17);
    expect(diary.deadlines.nextAt()).toBeLessThanOrEqual(5 * DAY + 17);
  });

  test('leads to a far deadline in fewer than 30 steps', () => {
    const diary = new Diary(123);
    diary.arm('a', 900 * DAY + 17);
    let steps = 0;
    for (let told: string[] = []; told.length === 0; steps++) told = diary.at(diary.deadlines.nextAt());
    expect(steps).toBeLessThan(30);
  });
});

test('onArm gets the moment of every arming', () => {
  const moments: number[] = [];
  const diary = new Diary(0, (at) => moments.push(at));
  const deadline = diary.arm('a', 30);
  diary.deadlines.arm(deadline, 20);
  expect(moments).toEqual([30, 20]);
});

test('the size counts the armed deadlines', () => {
  const diary = new Diary();
  const [first] = [3, 50, 70].map((at) => diary.arm('a', at));
  diary.deadlines.cancel(first);
  diary.at(50);
  expect(diary.deadlines.size).toBe(1);
});

test('100,000 deadlines each expire once, in order, unless they are cancelled', () => {
  const deadlines = new Deadlines(0);
  const told: number[] = [];
  const armed: { at: number; deadline: Deadline }[] = [];
  for (let index = 0; index < 100_000; index++) {
    // Spread over two hours without a pattern.
    const at = (index * 2_654_435_761) % 7_200_000;
    const deadline = new Deadline({ expire: () => told.push(at) });
    deadlines.arm(deadline, at);
    armed.push({ at, deadline });
  }
  const kept = armed.filter(({ deadline }, index) => {
    if (index % 3 === 0) deadlines.cancel(deadline);
    return index % 3 !== 0;
  });
  expect(deadlines.size).toBe(kept.length);
  for (let now = 0; now <= 7_200_000; now += 60_000) deadlines.expire(now);
  expect(deadlines.size).toBe(0);
  expect(told).toEqual(kept.map(({ at }) => at).sort((a, b) => a - b));
});
