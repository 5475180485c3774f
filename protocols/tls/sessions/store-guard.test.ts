import { describe, expect, it } from 'vitest';

import { StoreGuard } from './store-guard.ts';
import { manualTime } from '../../testing/stores/manual-time.ts';

const LOOKUP_MS = 250;

/** A guard, and functions that control its store. */
function guarded(): {
  time: ReturnType<typeof manualTime>;
  guard: StoreGuard;
  fail: (times: number) => void;
  restMs: () => number;
  succeed: () => void;
} {
  const time = manualTime();
  const guard = new StoreGuard(LOOKUP_MS);
  const fail = (times: number): void => {
    for (let index = 0; index < times; index++) {
      time.pass(1);
      expect(
        guard.ask(() => {
          throw new Error('out of order');
        }, time),
      ).toEqual({ miss: 'store failed' });
    }
  };
  return {
    time,
    guard,
    fail,
    /** How long the guard rests from now on, in milliseconds. */
    restMs: () => {
      let ms = 0;
      for (; guard.statistics(time.now()).resting; ms++) time.pass(1);
      return ms;
    },
    succeed: () => {
      expect(guard.ask(() => 'there', time)).toEqual({ value: 'there' });
    },
  };
}

const tick = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

describe('a store that fails repeatedly', () => {
  it('rests for a second after five failures, then twice as long after each further one, up to a minute', () => {
    const { guard, time, fail, restMs } = guarded();
    fail(4);
    expect(guard.statistics(time.now()).resting).toBe(false);
    fail(1);
    const rests = [restMs()];
    while (rests.length < 8) {
      fail(1);
      rests.push(restMs());
    }
    expect(rests).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  it('rests for a second after five failures again once it has answered', () => {
    const { guard, time, fail, restMs, succeed } = guarded();
    fail(5);
    restMs();
    fail(1);
    expect(restMs()).toBe(2_000);
    succeed();
    fail(4);
    expect(guard.statistics(time.now()).resting).toBe(false);
    fail(1);
    expect(restMs()).toBe(1_000);
  });

  it('is not asked while it rests, and the miss says so', () => {
    const { guard, time, fail } = guarded();
    fail(5);
    let asked = 0;
    expect(guard.ask(() => ++asked, time)).toEqual({ miss: 'store resting' });
    expect(asked).toBe(0);
    expect(guard.save(() => undefined, time)).toBeUndefined();
  });
});

describe('an answer around the deadline', () => {
  /** Makes a request whose answer comes after `ms`. */
  async function answered(
    guard: StoreGuard,
    time: ReturnType<typeof manualTime>,
    ms: number,
    how: 'resolves' | 'rejects',
  ): Promise<unknown> {
    let answer: () => void = () => undefined;
    const asking = guard.ask(
      () =>
        new Promise<string>((resolve, reject) => {
          answer = () => {
            if (how === 'resolves') resolve('there');
            else reject(new Error('out of order'));
          };
        }),
      time,
    );
    time.pass(ms);
    answer();
    await tick();
    return asking;
  }

  it.each([
    ['resolves', LOOKUP_MS - 1, { value: 'there' }, 0],
    ['rejects', LOOKUP_MS - 1, { miss: 'store failed' }, 1],
    ['resolves', LOOKUP_MS, { miss: 'store late' }, 1],
    ['rejects', LOOKUP_MS, { miss: 'store late' }, 1],
    ['resolves', LOOKUP_MS + 1_000, { miss: 'store late' }, 1],
  ] as const)('that %s after %i ms gives %j and counts as %i failures', async (how, ms, outcome, failures) => {
    const { guard, time } = guarded();
    expect(await answered(guard, time, ms, how)).toEqual(outcome);
    expect(guard.statistics(time.now()).failures).toBe(failures);
  });

  it('does not end the failures in a row when it is late', async () => {
    const { guard, time, fail, restMs } = guarded();
    for (let index = 0; index < 4; index++) await answered(guard, time, LOOKUP_MS, 'resolves');
    fail(1);
    expect(restMs()).toBe(1_000);
  });

  it('ends the failures in a row, but not the rest, when its request was made before the rest', async () => {
    const { guard, time, fail, restMs } = guarded();
    let answer: (value: string) => void = () => undefined;
    const asking = guard.ask(
      () =>
        new Promise<string>((resolve) => {
          answer = resolve;
        }),
      time,
    );
    fail(5);
    answer('there');
    expect(await asking).toEqual({ value: 'there' });
    expect(restMs()).toBe(1_000);
    fail(4);
    expect(guard.statistics(time.now()).resting).toBe(false);
  });

  it('starts only one rest when it is late for many concurrent requests', async () => {
    const { guard, time, restMs } = guarded();
    const askings = Array.from({ length: 20 }, () => guard.ask(() => new Promise<string>(() => undefined), time));
    time.pass(LOOKUP_MS);
    for (const asking of askings) expect(await asking).toEqual({ miss: 'store late' });
    expect(restMs()).toBe(1_000);
  });
});
