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

describe('a shutdown of the sending direction', () => {
  test('is done when the transport has shut down, and reads nothing', () => {
    const { step, transport } = shutting('send', { shutdowns: [WANT_WRITE] });
    expect([step.attempt(), step.attempt(), transport.calls.read]).toEqual([WANT_WRITE, DONE, 0]);
  });

  test('keeps bytes that are in the input buffer', () => {
    const { step, inflow } = shutting('send', { reads: ['abc'] });
    inflow.pull();
    step.attempt();
    expect(inflow.input.length).toBe(3);
  });
});

describe('a shutdown of the receiving direction', () => {
  test('waits for the end and drops the bytes before it', () => {
    const { step, transport, inflow } = shutting('receive', { reads: ['abc', WANT_READ, 'de', END] });
    expect([step.attempt(), step.progress(), step.attempt(), step.progress()]).toEqual([WANT_READ, 3, DONE, 5]);
    expect([inflow.input.length, transport.calls.shutdown]).toEqual([0, 0]);
  });

  test('is done at once when the end was already read', () => {
    const { step, inflow } = shutting('receive', { reads: [END] });
    inflow.pull();
    expect(step.attempt()).toBe(DONE);
  });

  test('drops bytes that were in the input buffer before', () => {
    const { step, inflow } = shutting('receive', { reads: ['abc', END] });
    inflow.pull();
    expect([step.attempt(), inflow.input.length]).toEqual([DONE, 0]);
  });

  test('is done after 256 KiB although the peer keeps sending', () => {
    const { step } = shutting('receive', { reads: Array.from({ length: 100 }, () => new Uint8Array(64 * 1024)) });
    expect([step.attempt(), step.progress()]).toEqual([DONE, 256 * 1024]);
  });
});

test("a shutdown of both directions ends the sending direction before it waits for the peer's end", () => {
  const { step, transport } = shutting('both', { shutdowns: [WANT_WRITE], reads: ['abc', WANT_READ, END] });
  const first = [step.attempt(), transport.calls.read];
  expect([first, step.attempt(), step.attempt(), step.progress()]).toEqual([[WANT_WRITE, 0], WANT_READ, DONE, 3]);
});

test('a shutdown throws the error of the transport', () => {
  const failure = new Error('gone');
  expect(() => shutting('both', { shutdowns: [failure] }).step.attempt()).toThrow(failure);
});
