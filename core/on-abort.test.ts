import { expect, test } from 'vitest';

import { onAbort } from './on-abort.ts';

/** A signal, and the names of the callbacks that its abort has called. */
function waiting(): { controller: AbortController; told: string[]; wait: (name: string) => () => void } {
  const controller = new AbortController();
  const told: string[] = [];
  return { controller, told, wait: (name) => onAbort(controller.signal, () => told.push(name)) };
}

test('an abort calls every callback once', () => {
  const { controller, told, wait } = waiting();
  wait('first');
  wait('second');
  controller.abort();
  controller.abort();
  expect(told).toEqual(['first', 'second']);
});

test('an abort does not call a callback that was removed', () => {
  const { controller, told, wait } = waiting();
  const stop = wait('first');
  wait('second');
  stop();
  stop();
  controller.abort();
  expect(told).toEqual(['second']);
});

test('an abort calls a callback that was added after all others were removed', () => {
  const { controller, told, wait } = waiting();
  wait('first')();
  wait('second')();
  wait('third');
  controller.abort();
  expect(told).toEqual(['third']);
});

test('an abort does not call a callback that an earlier callback removed', () => {
  const { controller, told, wait } = waiting();
  onAbort(controller.signal, () => {
    stop();
  });
  const stop = wait('second');
  controller.abort();
  expect(told).toEqual([]);
});
