import { expect, test } from 'vitest';

import { onAbort } from './on-abort.ts';

/** A signal that is aborted later, and what was told of that. */
function waiting(): { controller: AbortController; told: string[]; wait: (name: string) => () => void } {
  const controller = new AbortController();
  const told: string[] = [];
  return { controller, told, wait: (name) => onAbort(controller.signal, () => told.push(name)) };
}

test('all who wait are told, once', () => {
  const { controller, told, wait } = waiting();
  wait('first');
  wait('second');
  controller.abort();
  controller.abort();
  expect(told).toEqual(['first', 'second']);
});

test('who waits no more is not told, and the others are', () => {
  const { controller, told, wait } = waiting();
  const stop = wait('first');
  wait('second');
  stop();
  stop();
  controller.abort();
  expect(told).toEqual(['second']);
});

test('who comes after all others have gone is told', () => {
  const { controller, told, wait } = waiting();
  wait('first')();
  wait('second')();
  wait('third');
  controller.abort();
  expect(told).toEqual(['third']);
});

test('who waits no more because another was told before is not told', () => {
  const { controller, told, wait } = waiting();
  onAbort(controller.signal, () => {
    stop();
  });
  const stop = wait('second');
  controller.abort();
  expect(told).toEqual([]);
});
