import { expect, test } from 'vitest';

import { HandshakeStep } from './handshake.ts';
import { ScriptedTransport } from './testing/scripted-transport.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE } from './want.ts';

test('a handshake returns the wants of the transport until the transport is done', () => {
  const step = new HandshakeStep(new ScriptedTransport({ handshakes: [WANT_WRITE, WANT_READ, WANT_LOOKUP] }));
  expect([step.attempt(), step.attempt(), step.attempt(), step.attempt()]).toEqual([
    WANT_WRITE,
    WANT_READ,
    WANT_LOOKUP,
    DONE,
  ]);
});

test('a handshake of a transport that needs none is done at once', () => {
  expect(new HandshakeStep(new ScriptedTransport()).attempt()).toBe(DONE);
});

test('a handshake throws the error of the transport', () => {
  const failure = new Error('no');
  expect(() => new HandshakeStep(new ScriptedTransport({ handshakes: [failure] })).attempt()).toThrow(failure);
});
