import { describe, expect, test } from 'vitest';

import { AbortError } from './errors.ts';
import { failureOf, start } from './testing/start-operation.ts';
import { DONE, WANT_READ, YIELD } from './want.ts';

describe('a signal', () => {
  test('that is aborted before the start cancels the operation without an attempt', async () => {
    const { operation, step, venue } = start([DONE], { signal: AbortSignal.abort('too late') });
    expect(await failureOf(operation)).toMatchObject({ name: 'AbortError', cause: 'too late', operation: 'receive' });
    expect([step.attempts, step.released, venue.parkings]).toEqual([0, [true], 0]);
  });

  test('that is aborted during a wait cancels the operation, with the reason and the partial result', async () => {
    const controller = new AbortController();
    const { operation, venue } = start([WANT_READ], { signal: controller.signal, timeouts: { blockMs: 50 } });
    const reason = new Error('the user left');
    controller.abort(reason);
    const error = await failureOf(operation);
    expect(error).toBeInstanceOf(AbortError);
    expect(error).toMatchObject({ cause: reason, partial: new Uint8Array([1, 2, 3]) });
    expect([venue.parked.size, venue.deadlines.size]).toEqual([0, 0]);
  });

  test('that is aborted during a yield cancels the operation', async () => {
    const controller = new AbortController();
    const { operation } = start([YIELD, DONE], { signal: controller.signal });
    controller.abort('now');
    expect(await failureOf(operation)).toMatchObject({ cause: 'now' });
  });

  test('that is aborted while the first attempt waits for the next turn cancels the operation', async () => {
    const controller = new AbortController();
    const { operation, step, venue } = start([WANT_READ], { signal: controller.signal, exhausted: true });
    controller.abort('now');
    venue.turn();
    expect(await failureOf(operation)).toMatchObject({ cause: 'now' });
    expect(step.attempts).toBe(0);
  });

  test('that is aborted during an attempt cancels the operation when the attempt would wait', async () => {
    const controller = new AbortController();
    const { operation, venue } = start(
      [
        () => {
          controller.abort('now');
          return WANT_READ;
        },
      ],
      { signal: controller.signal, timeouts: { blockMs: 50 } },
    );
    expect(await failureOf(operation)).toMatchObject({ cause: 'now' });
    expect([venue.parkings, venue.deadlines.size]).toEqual([0, 0]);
  });

  test('that is aborted after the end changes nothing', async () => {
    const controller = new AbortController();
    const { operation, venue } = start([WANT_READ, DONE], { signal: controller.signal });
    venue.ready();
    controller.abort();
    expect(await operation).toBe('result');
  });

  test('has one listener, however many waits there are, and none after the end', () => {
    const controller = new AbortController();
    const listening = listenersOf(controller.signal);
    const { venue } = start([WANT_READ, WANT_READ, YIELD, WANT_READ, DONE], { signal: controller.signal });
    const counts = [listening.count];
    for (let turn = 0; turn < 4; turn++) {
      venue.ready();
      counts.push(listening.count);
    }
    expect(counts).toEqual([1, 1, 1, 1, 0]);
  });

  test('has no listener of an operation that never waits', () => {
    const controller = new AbortController();
    const listening = listenersOf(controller.signal);
    start([DONE], { signal: controller.signal });
    expect(listening.most).toBe(0);
  });
});

/** Counts the listeners of `signal`: the current number and the highest. */
function listenersOf(signal: AbortSignal): { count: number; most: number } {
  const listening = { count: 0, most: 0 };
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    listening.most = Math.max(listening.most, ++listening.count);
    add(...given);
  };
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    listening.count--;
    remove(...given);
  };
  return listening;
}
