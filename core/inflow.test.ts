import { expect, test } from 'vitest';

import { Inflow } from './inflow.ts';
import { ScriptedTransport } from './testing/scripted-transport.ts';
import { END, WANT_READ } from './want.ts';

test('pull appends the bytes of the transport to the input buffer', () => {
  const inflow = new Inflow(new ScriptedTransport({ reads: ['ab', 'cd'] }));
  expect([inflow.pull(), inflow.pull(), Buffer.from(inflow.input.take(4)).toString()]).toEqual([2, 2, 'abcd']);
});

test('pull changes nothing when the transport wants to read', () => {
  const inflow = new Inflow(new ScriptedTransport());
  expect([inflow.pull(), inflow.input.length, inflow.ended, inflow.total]).toEqual([WANT_READ, 0, false, 0]);
});

test('pull does not read from the transport again after the end', () => {
  const transport = new ScriptedTransport({ reads: [END] });
  const inflow = new Inflow(transport);
  expect([inflow.pull(), inflow.pull(), inflow.ended, transport.calls.read]).toEqual([END, END, true, 1]);
});

test('total counts the bytes of pullInto, which do not enter the buffer', () => {
  const inflow = new Inflow(new ScriptedTransport({ reads: ['abc', 'de'] }));
  inflow.pull();
  inflow.pullInto(new Uint8Array(8));
  expect([inflow.total, inflow.input.length]).toEqual([5, 3]);
});

test('pull throws the error of the transport', () => {
  const failure = new Error('gone');
  expect(() => new Inflow(new ScriptedTransport({ reads: [failure] })).pull()).toThrow(failure);
});
