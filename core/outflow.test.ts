import { expect, test } from 'vitest';

import { Outflow } from './outflow.ts';
import { ScriptedTransport } from './testing/scripted-transport.ts';
import { DONE, WANT_WRITE } from './want.ts';

test('it counts what the transport accepted, not what it was offered', () => {
  const outflow = new Outflow(new ScriptedTransport({ writes: [2, WANT_WRITE, 0, 3] }));
  const counts = [1, 2, 3, 4].map(() => outflow.write(Buffer.from('abcd')));
  expect([counts, outflow.total]).toEqual([[2, WANT_WRITE, 0, 3], 5]);
});

test('it flushes what is held below', () => {
  const outflow = new Outflow(new ScriptedTransport({ flushes: [WANT_WRITE] }));
  expect([outflow.flush(), outflow.flush()]).toEqual([WANT_WRITE, DONE]);
});
