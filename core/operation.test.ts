import { describe, expect, test } from 'vitest';

import { ClosedError } from './errors.ts';
import { mergeTimeouts, Operation } from './operation.ts';
import { ManualVenue } from './testing/manual-venue.ts';
import { ScriptedStep } from './testing/scripted-step.ts';
import { failureOf, start } from './testing/start-operation.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE } from './want.ts';

describe('an operation', () => {
  test('tries as soon as it starts', () => {
    const { operation, step } = start([DONE]);
    expect([step.attempts, operation.settled]).toEqual([1, true]);
  });

  test('that never waits costs no deadline and is not parked', () => {
    const { venue } = start([DONE], { timeouts: { blockMs: 5, totalMs: 50 } });
    expect([venue.deadlines.size, venue.parkings]).toEqual([0, 0]);
  });

  test('without limits costs no deadline even when it waits', () => {
    expect(start([WANT_READ]).venue.deadlines.size).toBe(0);
  });

  test('shows what it waits for, and that it waits no longer', () => {
    const { operation, venue } = start([WANT_READ, WANT_WRITE, WANT_LOOKUP, DONE]);
    const wants = [operation.want];
    for (let turn = 0; turn < 3; turn++) {
      venue.ready();
      wants.push(operation.want);
    }
    expect(wants).toEqual(['read', 'write', 'lookup', null]);
  });

  test('does not want while it tries', () => {
    const { operation, step, venue } = start([WANT_READ]);
    let during: unknown = 'not asked';
    step.plan(() => {
      during = operation.want;
      return DONE;
    });
    venue.ready();
    expect(during).toBeNull();
  });

  test('tells the venue when it is over', () => {
    const { venue } = start([WANT_READ, DONE]);
    venue.ready();
    expect([venue.settlements, venue.parked.size]).toEqual([[undefined], 0]);
  });

  test('tells the venue why it failed', async () => {
    const failure = new ClosedError('gone');
    const { operation, venue } = start([failure]);
    await failureOf(operation);
    expect(venue.settlements).toEqual([failure]);
  });

  test('names itself after its step', () => {
    expect([start([DONE]).operation.name, Object.prototype.toString.call(start([DONE]).operation)]).toEqual([
      'receive',
      '[object Operation]',
    ]);
  });

  test('shows how far its step has come', () => {
    const { operation, step } = start([WANT_READ]);
    step.position = 17;
    expect(operation.last).toBe(17);
  });

  test('releases what its step holds, telling how it ended', async () => {
    const done = start([DONE]);
    const failed = start([new Error('no')]);
    await failureOf(failed.operation);
    expect([done.step.released, failed.step.released]).toEqual([[false], [true]]);
  });
});

describe('as a promise, an operation', () => {
  test('resolves when it was done before anyone looked', async () => {
    expect(await start([DONE]).operation).toBe('result');
  });

  test('resolves when it is done after someone looked', async () => {
    const { operation, venue } = start([WANT_READ, DONE]);
    const looked = operation.then((value) => `then ${value}`);
    venue.ready();
    expect(await looked).toBe('then result');
  });

  test('may be looked at again and again', async () => {
    const { operation } = start([DONE]);
    expect([await operation, await operation, await Promise.all([operation, operation])]).toEqual([
      'result',
      'result',
      ['result', 'result'],
    ]);
  });

  test('answers only after the present task, even when it is done already', async () => {
    const order: string[] = [];
    const looked = start([DONE]).operation.then(() => order.push('then'));
    order.push('now');
    await looked;
    expect(order).toEqual(['now', 'then']);
  });

  test('rejects when it failed before anyone looked', async () => {
    const failure = new Error('no');
    await expect(start([failure]).operation).rejects.toBe(failure);
  });

  test('rejects when it fails after someone looked', async () => {
    const failure = new Error('no');
    const { operation, venue } = start([WANT_READ, failure]);
    const caught = operation.catch((reason: unknown) => reason);
    venue.ready();
    expect(await caught).toBe(failure);
  });

  test('runs what stands in finally either way, and passes on how it ended', async () => {
    let runs = 0;
    const count = (): void => {
      runs++;
    };
    const failure = new Error('no');
    expect(await start([DONE]).operation.finally(count)).toBe('result');
    await expect(start([failure]).operation.finally(count)).rejects.toBe(failure);
    expect(runs).toBe(2);
  });

  test('settles once: what comes after success changes nothing', async () => {
    const { operation, venue } = start([DONE]);
    operation.fail(new Error('late'));
    operation.succeed('other');
    operation.resume();
    expect([await operation, venue.settlements.length]).toEqual(['result', 1]);
  });

  test('settles once: what comes after failure changes nothing', async () => {
    const failure = new ClosedError('no');
    const { operation, step, venue } = start([failure]);
    operation.succeed('late');
    operation.fail(new Error('later'));
    operation.resume();
    expect([await failureOf(operation), venue.settlements.length, step.handovers, step.attempts]).toEqual([
      failure,
      1,
      1,
      1,
    ]);
  });
});

describe('in a venue that throws when it is told of the end', () => {
  class ThrowingVenue extends ManualVenue {
    override settled(): void {
      throw new Error('a handler of the user');
    }
  }

  test('an operation that fails is settled all the same', async () => {
    const failure = new Error('no');
    const operation = new Operation(new ScriptedStep(WANT_READ, failure), new ThrowingVenue(), {}).start();
    const outcome = failureOf(operation);
    expect(() => {
      operation.resume();
    }).toThrow('a handler of the user');
    expect(await outcome).toBe(failure);
  });

  test('an operation that succeeds is settled all the same, and its progress completes', async () => {
    const operation = new Operation(new ScriptedStep(WANT_READ, DONE), new ThrowingVenue(), {}).start();
    let complete = false;
    operation.progress$.subscribe({
      complete: () => {
        complete = true;
      },
    });
    const outcome = operation.then((value) => value);
    expect(() => {
      operation.resume();
    }).toThrow('a handler of the user');
    expect([await outcome, complete]).toEqual(['result', true]);
  });
});

describe('a failure', () => {
  test('that nobody looks at surfaces as an unhandled rejection', async () => {
    const failure = new Error('unobserved');
    expect(await unhandledDuring(() => void start([failure]))).toEqual([failure]);
  });

  test('of a waiting operation that nobody looks at surfaces too', async () => {
    expect(
      await unhandledDuring(() => start([WANT_READ], { timeouts: { blockMs: 5 } }).venue.advance(5)),
    ).toMatchObject([{ mode: 'block' }]);
  });

  test('that somebody looks at in the same task does not surface', async () => {
    expect(await unhandledDuring(() => void failureOf(start([new Error('observed')]).operation))).toEqual([]);
  });

  test('surfaces through a then that does not handle it', async () => {
    const failure = new Error('unhandled');
    expect(await unhandledDuring(() => void start([failure]).operation.then(() => 0))).toEqual([failure]);
  });

  test('of wantio names the operation and carries what was achieved', async () => {
    const { operation } = start([new ClosedError('gone')]);
    expect(await failureOf(operation)).toMatchObject({ operation: 'receive', partial: new Uint8Array([1, 2, 3]) });
  });

  test('that names its operation already keeps that name', async () => {
    const failure = new ClosedError('gone');
    failure.operation = 'handshake';
    expect(await failureOf(start([failure]).operation)).toMatchObject({ operation: 'handshake' });
  });

  test('by refusal hands nothing over, tries nothing and tells no venue', async () => {
    const venue = new ManualVenue();
    const step = new ScriptedStep(DONE);
    const operation = new Operation(step, venue, {}).refuse(new ClosedError('closed'));
    expect(await failureOf(operation)).toMatchObject({ operation: 'receive', message: 'closed', partial: undefined });
    expect([step.attempts, step.handovers, venue.settlements, operation.settled]).toEqual([0, 0, [], true]);
  });
});

describe('the progress', () => {
  function observe(operation: Operation<string>): (number | 'complete')[] {
    const told: (number | 'complete')[] = [];
    operation.progress$.subscribe({ next: (value) => told.push(value), complete: () => told.push('complete') });
    return told;
  }

  test('is told at each wait and at the end, then completes', () => {
    const { operation, step, venue } = start([WANT_READ, WANT_READ, DONE]);
    const told = observe(operation);
    for (const position of [5, 9]) {
      step.position = position;
      venue.ready();
    }
    expect(told).toEqual([5, 9, 'complete']);
  });

  test('completes when the operation fails', async () => {
    const { operation, venue } = start([WANT_READ, new Error('no')]);
    const told = observe(operation);
    venue.ready();
    await failureOf(operation);
    expect(told).toEqual([0, 'complete']);
  });

  test('of a settled operation is its last state', () => {
    const { operation, step } = start([DONE]);
    step.position = 9;
    expect(observe(operation)).toEqual([9, 'complete']);
  });

  test('may be where the operation is cancelled', async () => {
    const controller = new AbortController();
    const { operation, venue } = start([], { signal: controller.signal, timeouts: { blockMs: 50 } });
    operation.progress$.subscribe(() => {
      controller.abort('enough');
    });
    venue.ready();
    expect(await failureOf(operation)).toMatchObject({ cause: 'enough' });
    expect([venue.parked.size, venue.deadlines.size]).toEqual([0, 0]);
  });
});

describe('in a venue that has done enough for this turn', () => {
  test('an operation begins in the next turn', async () => {
    const { operation, step, venue } = start([DONE], { exhausted: true });
    const before = [step.attempts, operation.want, venue.parked.size];
    venue.turn();
    expect([before, await operation]).toEqual([[0, null, 1], 'result']);
  });

  test('an operation without time has its one try all the same', async () => {
    const { operation, venue } = start([DONE], { exhausted: true, timeouts: { blockMs: 0, totalMs: 0 } });
    venue.turn();
    expect(await operation).toBe('result');
  });
});

describe('the limits of a call over those of its connection', () => {
  const defaults = { blockMs: 1, totalMs: 2 };

  test("are the connection's when the call brings none", () => {
    expect(mergeTimeouts(defaults, undefined)).toBe(defaults);
  });

  test('are replaced limit by limit', () => {
    expect([mergeTimeouts(defaults, { blockMs: 5 }), mergeTimeouts(defaults, { totalMs: 6 })]).toEqual([
      { blockMs: 5, totalMs: 2 },
      { blockMs: 1, totalMs: 6 },
    ]);
  });

  test('stay when undefined is given', () => {
    expect(mergeTimeouts(defaults, { blockMs: undefined })).toEqual({ blockMs: 1, totalMs: 2 });
  });
});

/**
 * @returns the reasons that surface as unhandled once `task` has run. The runner's own listeners are set aside
 * meanwhile.
 */
async function unhandledDuring(task: () => void): Promise<unknown[]> {
  const listeners = process.listeners('unhandledRejection');
  const reasons: unknown[] = [];
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => reasons.push(reason));
  try {
    task();
    // Node tells unhandled rejections after the microtasks and before the next task.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener);
  }
  return reasons;
}
