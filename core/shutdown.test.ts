import { describe, expect, test } from 'vitest';

import { Inflow } from './inflow.ts';
import { Outflow } from './outflow.ts';
import { ShutdownStep } from './shutdown.ts';
import type { Direction } from './shutdown.ts';
import { ScriptedTransport } from './testing/scripted-transport.ts';
import type { Script } from './testing/scripted-transport.ts';
import { DONE, END, WANT_READ, WANT_WRITE } from './want.ts';

function shutting(
  direction: Direction,
  script: Script,
): { step: ShutdownStep; transport: ScriptedTransport; inflow: Inflow } {
  const transport = new ScriptedTransport(script);
  const inflow = new Inflow(transport);
  return { step: new ShutdownStep(inflow, new Outflow(transport), direction), transport, inflow };
}

describe('shutting the sending side', () => {
  test('is done when the goodbye is said, and reads nothing', () => {
    const { step, transport } = shutting('send', { shutdowns: [WANT_WRITE] });
    expect([step.attempt(), step.attempt(), transport.calls.read]).toEqual([WANT_WRITE, DONE, 0]);
  });

  test('leaves received bytes to be received', () => {
    const { step, inflow } = shutting('send', { reads: ['abc'] });
    inflow.pull();
    step.attempt();
    expect(inflow.input.length).toBe(3);
  });
});

describe('shutting the receiving side', () => {
  test('waits for the end and drops what still comes', () => {
    const { step, transport, inflow } = shutting('receive', { reads: ['abc', WANT_READ, 'de', END] });
    expect([step.attempt(), step.progress(), step.attempt(), step.progress()]).toEqual([WANT_READ, 3, DONE, 5]);
    expect([inflow.input.length, transport.calls.shutdown]).toEqual([0, 0]);
  });

  test('is done at once when the end was read before', () => {
    const { step, inflow } = shutting('receive', { reads: [END] });
    inflow.pull();
    expect(step.attempt()).toBe(DONE);
  });

  test('drops what had come before', () => {
    const { step, inflow } = shutting('receive', { reads: ['abc', END] });
    inflow.pull();
    expect([step.attempt(), inflow.input.length]).toEqual([DONE, 0]);
  });

  test('gives up on a peer that goes on and on', () => {
    const { step } = shutting('receive', { reads: Array.from({ length: 100 }, () => new Uint8Array(64 * 1024)) });
    expect([step.attempt(), step.progress()]).toEqual([DONE, 256 * 1024]);
  });
});

test("shutting both says goodbye before it waits for the peer's", () => {
  const { step, transport } = shutting('both', { shutdowns: [WANT_WRITE], reads: ['abc', WANT_READ, END] });
  const first = [step.attempt(), transport.calls.read];
  expect([first, step.attempt(), step.attempt(), step.progress()]).toEqual([[WANT_WRITE, 0], WANT_READ, DONE, 3]);
});

test('a failure of the goodbye is thrown', () => {
  const failure = new Error('gone');
  expect(() => shutting('both', { shutdowns: [failure] }).step.attempt()).toThrow(failure);
});
