import { lastValueFrom } from 'rxjs';
import { describe, expect, test } from 'vitest';

import { AbortError, ClosedError } from './errors.ts';
import { mergeTimeouts, Operation } from './operation.ts';
import { ManualVenue } from './testing/manual-venue.ts';
import { ScriptedStep } from './testing/scripted-step.ts';
import { failureOf, start } from './testing/start-operation.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE } from './want.ts';

describe('an operation', () => {
  test('makes its first attempt as soon as it starts', () => {
    const { operation, step } = start([DONE]);
    expect([step.attempts, operation.settled]).toEqual([1, true]);
  });

  test('that never waits arms no deadline and is not parked', () => {
    const { venue } = start([DONE], { timeouts: { blockMs: 5, totalMs: 50 } });
    expect([venue.deadlines.size, venue.parkings]).toEqual([0, 0]);
  });

  test('without limits arms no deadline even when it waits', () => {
    expect(start([WANT_READ]).venue.deadlines.size).toBe(0);
  });

  test('shows its want while it waits, and null after it has settled', () => {
    const { operation, venue } = start([WANT_READ, WANT_WRITE, WANT_LOOKUP, DONE]);
    const wants = [operation.want];
    for (let turn = 0; turn < 3; turn++) {
      venue.ready();
      wants.push(operation.want);
    }
    expect(wants).toEqual(['read', 'write', 'lookup', null]);
  });

  test('has no want during an attempt', () => {
    const { operation, step, venue } = start([WANT_READ]);
    let during: unknown = 'not asked';
    step.plan(() => {
      during = operation.want;
      return DONE;
    });
    venue.ready();
    expect(during).toBeNull();
  });

  test('calls settled of its venue when it succeeds', () => {
    const { venue } = start([WANT_READ, DONE]);
    venue.ready();
    expect([venue.settlements, venue.parked.size]).toEqual([[undefined], 0]);
  });

  test('calls settled of its venue with the error when it fails', async () => {
    const failure = new ClosedError('gone');
    const { operation, venue } = start([failure]);
    await failureOf(operation);
    expect(venue.settlements).toEqual([failure]);
  });

  test('has the name of its step', () => {
    expect([start([DONE]).operation.name, Object.prototype.toString.call(start([DONE]).operation)]).toEqual([
      'receive',
      '[object Operation]',
    ]);
  });

  test('shows the progress of its step', () => {
    const { operation, step } = start([WANT_READ]);
    step.position = 17;
    expect(operation.last).toBe(17);
  });

  test('releases its step once, and says whether it failed', async () => {
    const done = start([DONE]);
    const failed = start([new Error('no')]);
    await failureOf(failed.operation);
    expect([done.step.released, failed.step.released]).toEqual([[false], [true]]);
  });
});

describe('an operation as a promise', () => {
  test('resolves when it has succeeded before then is called', async () => {
    expect(await start([DONE]).operation).toBe('result');
  });

  test('resolves when it succeeds after then is called', async () => {
    const { operation, venue } = start([WANT_READ, DONE]);
    const looked = operation.then((value) => `then ${value}`);
    venue.ready();
    expect(await looked).toBe('then result');
  });

  test('may be awaited again and again', async () => {
    const { operation } = start([DONE]);
    expect([await operation, await operation, await Promise.all([operation, operation])]).toEqual([
      'result',
      'result',
      ['result', 'result'],
    ]);
  });

  test('calls back only after the current task, even when it has already settled', async () => {
    const order: string[] = [];
    const looked = start([DONE]).operation.then(() => order.push('then'));
    order.push('now');
    await looked;
    expect(order).toEqual(['now', 'then']);
  });

  test('rejects when it has failed before catch is called', async () => {
    const failure = new Error('no');
    await expect(start([failure]).operation).rejects.toBe(failure);
  });

  test('rejects when it fails after catch is called', async () => {
    const failure = new Error('no');
    const { operation, venue } = start([WANT_READ, failure]);
    const caught = operation.catch((reason: unknown) => reason);
    venue.ready();
    expect(await caught).toBe(failure);
  });

  test('runs a finally callback on success and on failure, and passes the outcome on', async () => {
    let runs = 0;
    const count = (): void => {
      runs++;
    };
    const failure = new Error('no');
    expect(await start([DONE]).operation.finally(count)).toBe('result');
    await expect(start([failure]).operation.finally(count)).rejects.toBe(failure);
    expect(runs).toBe(2);
  });

  test('settles once: calls after a success change nothing', async () => {
    const { operation, venue } = start([DONE]);
    operation.fail(new Error('late'));
    operation.succeed('other');
    operation.resume();
    expect([await operation, venue.settlements.length]).toEqual(['result', 1]);
  });

  test('settles once: calls after a failure change nothing', async () => {
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

describe('an operation as an observable', () => {
  test('emits the result and completes', async () => {
    const { operation, venue } = start([WANT_READ, DONE]);
    const emitted = lastValueFrom(operation.toObservable());
    venue.ready();
    expect(await emitted).toBe('result');
  });

  test('fails with the error of the operation', async () => {
    const failure = new Error('no');
    const { operation, venue } = start([WANT_READ, failure]);
    const emitted = lastValueFrom(operation.toObservable());
    venue.ready();
    await expect(emitted).rejects.toBe(failure);
  });

  test('cancels the operation when its subscriber unsubscribes, unless the operation has settled', async () => {
    const { operation, venue } = start([WANT_READ], { timeouts: { blockMs: 5 } });
    operation.toObservable().subscribe().unsubscribe();
    expect([operation.settled, venue.parked.size, venue.deadlines.size]).toEqual([true, 0, 0]);
    await expect(operation).rejects.toBeInstanceOf(AbortError);
    const complete = start([DONE]).operation;
    complete.toObservable().subscribe().unsubscribe();
    expect(await complete).toBe('result');
  });
});

describe('in a venue whose settled method throws', () => {
  class ThrowingVenue extends ManualVenue {
    override settled(): void {
      throw new Error('a handler of the user');
    }
  }

  test('an operation that fails still settles', async () => {
    const failure = new Error('no');
    const operation = new Operation(new ScriptedStep(WANT_READ, failure), new ThrowingVenue(), {}).start();
    const outcome = failureOf(operation);
    expect(() => {
      operation.resume();
    }).toThrow('a handler of the user');
    expect(await outcome).toBe(failure);
  });

  test('an operation that succeeds still settles, and its progress completes', async () => {
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
  test('without a handler is an unhandled rejection', async () => {
    const failure = new Error('unobserved');
    expect(await unhandledDuring(() => void start([failure]))).toEqual([failure]);
  });

  test('of a waiting operation without a handler is an unhandled rejection too', async () => {
    expect(
      await unhandledDuring(() => start([WANT_READ], { timeouts: { blockMs: 5 } }).venue.advance(5)),
    ).toMatchObject([{ mode: 'block' }]);
  });

  test('with a handler that is added in the same task is not an unhandled rejection', async () => {
    expect(await unhandledDuring(() => void failureOf(start([new Error('observed')]).operation))).toEqual([]);
  });

  test('is an unhandled rejection of a then without a rejection handler', async () => {
    const failure = new Error('unhandled');
    expect(await unhandledDuring(() => void start([failure]).operation.then(() => 0))).toEqual([failure]);
  });

  test('that is a WantioError gets the name of the operation and its partial result', async () => {
    const { operation } = start([new ClosedError('gone')]);
    expect(await failureOf(operation)).toMatchObject({ operation: 'receive', partial: new Uint8Array([1, 2, 3]) });
  });

  test('that already names an operation keeps that name', async () => {
    const failure = new ClosedError('gone');
    failure.operation = 'handshake';
    expect(await failureOf(start([failure]).operation)).toMatchObject({ operation: 'handshake' });
  });

  test('by refuse has no partial result, makes no attempt and does not call the venue', async () => {
    const venue = new ManualVenue();
    const step = new ScriptedStep(DONE);
    const operation = new Operation(step, venue, {}).refuse(new ClosedError('closed'));
    expect(await failureOf(operation)).toMatchObject({ operation: 'receive', message: 'closed', partial: undefined });
    expect([step.attempts, step.handovers, venue.settlements, operation.settled]).toEqual([0, 0, [], true]);
  });
});

describe('the progress of an operation', () => {
  function observe(operation: Operation<string>): (number | 'complete')[] {
    const emitted: (number | 'complete')[] = [];
    operation.progress$.subscribe({ next: (value) => emitted.push(value), complete: () => emitted.push('complete') });
    return emitted;
  }

  test('emits at each wait and at the end, and then completes', () => {
    const { operation, step, venue } = start([WANT_READ, WANT_READ, DONE]);
    const emitted = observe(operation);
    for (const position of [5, 9]) {
      step.position = position;
      venue.ready();
    }
    expect(emitted).toEqual([5, 9, 'complete']);
  });

  test('completes when the operation fails', async () => {
    const { operation, venue } = start([WANT_READ, new Error('no')]);
    const emitted = observe(operation);
    venue.ready();
    await failureOf(operation);
    expect(emitted).toEqual([0, 'complete']);
  });

  test('of a settled operation emits its last state and completes', () => {
    const { operation, step } = start([DONE]);
    step.position = 9;
    expect(observe(operation)).toEqual([9, 'complete']);
  });

  test('may have a subscriber that cancels the operation', async () => {
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

describe('in a venue that allows no more starts in this turn', () => {
  test('an operation begins in the next turn', async () => {
    const { operation, step, venue } = start([DONE], { exhausted: true });
    const before = [step.attempts, operation.want, venue.parked.size];
    venue.turn();
    expect([before, await operation]).toEqual([[0, null, 1], 'result']);
  });

  test('an operation with limits of zero still gets its attempt', async () => {
    const { operation, venue } = start([DONE], { exhausted: true, timeouts: { blockMs: 0, totalMs: 0 } });
    venue.turn();
    expect(await operation).toBe('result');
  });
});

describe('the merged limits of a call and its connection', () => {
  const defaults = { blockMs: 1, totalMs: 2 };

  test("are the connection's when the call has none", () => {
    expect(mergeTimeouts(defaults, undefined)).toBe(defaults);
  });

  test('take each limit of the call over that of the connection', () => {
    expect([mergeTimeouts(defaults, { blockMs: 5 }), mergeTimeouts(defaults, { totalMs: 6 })]).toEqual([
      { blockMs: 5, totalMs: 2 },
      { blockMs: 1, totalMs: 6 },
    ]);
  });

  test("keep the connection's limit when the call gives undefined", () => {
    expect(mergeTimeouts(defaults, { blockMs: undefined })).toEqual({ blockMs: 1, totalMs: 2 });
  });
});

/**
 * @returns the reasons of the unhandled rejections that `task` causes. The test runner's own listeners are removed
 * while it runs.
 */
async function unhandledDuring(task: () => void): Promise<unknown[]> {
  const listeners = process.listeners('unhandledRejection');
  const reasons: unknown[] = [];
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => reasons.push(reason));
  try {
    task();
    // Node reports unhandled rejections after the microtasks and before the next task.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener);
  }
  return reasons;
}
