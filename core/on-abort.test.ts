import { expect, test } from 'vitest';

import { onAbort } from './on-abort.ts';

/** A controller, a function that adds a callback to its signal, and the names of the callbacks that were called. */
function recording(): { controller: AbortController; called: string[]; add: (name: string) => () => void } {
  const controller = new AbortController();
  const called: string[] = [];
  return { controller, called, add: (name) => onAbort(controller.signal, () => called.push(name)) };
}

test('an abort calls every callback once', () => {
  const { controller, called, add } = recording();
  add('first');
  add('second');
  controller.abort();
  controller.abort();
  expect(called).toEqual(['first', 'second']);
});

test('an abort does not call a callback that was removed', () => {
  const { controller, called, add } = recording();
  const remove = add('first');
  add('second');
  remove();
  remove();
  controller.abort();
  expect(called).toEqual(['second']);
});

test('an abort calls a callback that was added after all others were removed', () => {
  const { controller, called, add } = recording();
  add('first')();
  add('second')();
  add('third');
  controller.abort();
  expect(called).toEqual(['third']);
});

test('an abort does not call a callback that an earlier callback removed', () => {
  const { controller, called, add } = recording();
  onAbort(controller.signal, () => {
    remove();
  });
  const remove = add('second');
  controller.abort();
  expect(called).toEqual([]);
});
