import { expect, test } from 'vitest';

import { Outflow } from './outflow.ts';
import { ScriptedTransport } from './testing/scripted-transport.ts';
import { DONE, WANT_WRITE } from './want.ts';

test('total counts the bytes that the transport accepted, not those it was given', () => {
  const outflow = new Outflow(new ScriptedTransport({ writes: [2, WANT_WRITE, 0, 3] }));
  const counts = [1, 2, 3, 4].map(() => outflow.write(Buffer.from('abcd')));
  expect([counts, outflow.total]).toEqual([[2, WANT_WRITE, 0, 3], 5]);
});

test('flush returns the wants of the transport until the transport is done', () => {
  const outflow = new Outflow(new ScriptedTransport({ flushes: [WANT_WRITE] }));
  expect([outflow.flush(), outflow.flush()]).toEqual([WANT_WRITE, DONE]);
});
