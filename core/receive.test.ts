import { describe, expect, test } from 'vitest';

import { AbortError, BoundsError, ClosedError } from './errors.ts';
import { Inflow } from './inflow.ts';
import { Operation } from './operation.ts';
import type { Step } from './operation.ts';
import { patternOf } from './pattern.ts';
import type { PatternName, Received } from './pattern.ts';
import { ReceiveIntoStep, ReceiveStep } from './receive.ts';
import { ManualVenue } from './testing/manual-venue.ts';
import { ScriptedTransport } from './testing/scripted-transport.ts';
import type { ReadEvent } from './testing/scripted-transport.ts';
import { DONE, END, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from './want.ts';

/** The receiving side of a connection whose peer follows a script. */
class Receiver {
  readonly venue = new ManualVenue();
  readonly transport: ScriptedTransport;
  readonly inflow: Inflow;

  constructor(...reads: ReadEvent[]) {
    this.transport = new ScriptedTransport({ reads });
    this.inflow = new Inflow(this.transport);
  }

  receive<P extends PatternName>(name: P, maxBytes?: number): Operation<Received<P>> {
    const step: unknown = new ReceiveStep(this.inflow, patternOf(name), maxBytes);
    return new Operation(step as Step<Received<P>>, this.venue, { blockMs: 100 }).start();
  }

  get left(): string {
    return Buffer.from(this.inflow.input.take(this.inflow.input.length)).toString('latin1');
  }
}

async function failureOf<E extends Error>(
  operation: Promise<unknown>,
  kind: abstract new (...args: never[]) => E,
): Promise<E & { text: string }> {
  const error: unknown = await operation.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof kind)) throw new Error(`expected ${kind.name}, not ${String(error)}`);
  const partial: unknown = 'partial' in error ? error.partial : undefined;
  return Object.assign(error, {
    text: partial instanceof Uint8Array ? Buffer.from(partial).toString('latin1') : 'none',
  });
}

describe('a receive', () => {
  test('reads until it has enough bytes, and leaves the rest', async () => {
    const receiver = new Receiver('he', 'l', 'lo\nwo', 'rld');
    expect([await receiver.receive('*l'), receiver.left]).toEqual(['hello', 'wo']);
  });

  test('does not read when the buffer already has enough bytes', async () => {
    const receiver = new Receiver('a\nb\n');
    await receiver.receive('*l');
    expect([await receiver.receive('*l'), receiver.transport.calls.read]).toEqual(['b', 1]);
  });

  test('does not read again when it has enough, because the peer may wait for an answer', async () => {
    const receiver = new Receiver('abc', WANT_READ, END);
    await receiver.receive(3);
    expect(receiver.transport.calls.read).toBe(1);
  });

  test.each([
    [WANT_READ, 'read'],
    [WANT_WRITE, 'write'],
    [WANT_LOOKUP, 'lookup'],
  ] as const)('passes on the want %s', async (code, want) => {
    const receiver = new Receiver('ab', code, 'c\n');
    const operation = receiver.receive('*l');
    expect(operation.want).toBe(want);
    receiver.venue.ready();
    expect(await operation).toBe('abc');
  });

  test('yields after 1 MiB, so that other operations can run', () => {
    const megabyte = new Uint8Array(1024 * 1024);
    const receiver = new Receiver(megabyte, megabyte, 'x');
    const step = new ReceiveStep(receiver.inflow, patternOf('*a'), undefined);
    expect([step.attempt(), step.progress(), step.attempt(), step.progress(), step.attempt()]).toEqual([
      YIELD,
      1_048_576,
      YIELD,
      2_097_152,
      WANT_READ,
    ]);
  });

  test('of exactly 1 MiB completes without a yield', () => {
    const receiver = new Receiver(new Uint8Array(1024 * 1024));
    expect(new ReceiveStep(receiver.inflow, patternOf(1_048_576)).attempt()).toBe(DONE);
  });

  test('of everything is complete at the end', async () => {
    const receiver = new Receiver('ab', 'cd', END);
    expect(Buffer.from(await receiver.receive('*a')).toString()).toBe('abcd');
  });

  test('of everything is empty when no byte arrives before the end', async () => {
    const receiver = new Receiver(END);
    expect(await receiver.receive('*a')).toHaveLength(0);
  });

  test('of some bytes is empty at the end, and again after it', async () => {
    const receiver = new Receiver('ab', END);
    const lengths = [
      (await receiver.receive('*s')).length,
      (await receiver.receive('*s')).length,
      (await receiver.receive('*s')).length,
    ];
    expect(lengths).toEqual([2, 0, 0]);
  });

  test('of no bytes reads nothing', async () => {
    const receiver = new Receiver('ab');
    expect([(await receiver.receive(0)).length, receiver.transport.calls.read]).toEqual([0, 0]);
  });

  test.each([0, -1, NaN, 0.5])('refuses a bound of %s', (maxBytes) => {
    expect(() => new Receiver().receive('*l', maxBytes)).toThrow(RangeError);
  });
});

describe('the progress of a receive', () => {
  test('counts the bytes that have arrived for it', () => {
    const receiver = new Receiver('abc');
    const operation = receiver.receive('*l');
    const before = operation.last;
    receiver.transport.feed('de');
    receiver.venue.ready();
    expect([before, operation.last]).toEqual([3, 5]);
  });

  test('counts only the bytes that it took after it is complete', async () => {
    const receiver = new Receiver('ab\ncdefg');
    const operation = receiver.receive('*l');
    await operation;
    expect(operation.last).toBe(3);
  });

  test('counts the bytes of its partial after it has failed', async () => {
    const receiver = new Receiver('abc', END);
    const operation = receiver.receive('*l');
    await failureOf(operation, ClosedError);
    expect(operation.last).toBe(3);
  });
});

describe('a receive that fails', () => {
  test('at the end in the middle of a line has the arrived bytes as its partial', async () => {
    const receiver = new Receiver('ab', 'c', END);
    expect((await failureOf(receiver.receive('*l'), ClosedError)).text).toBe('abc');
  });

  test('at the end before any byte has arrived has an empty partial', async () => {
    expect((await failureOf(new Receiver(END).receive(1), ClosedError)).text).toBe('');
  });

  test('does not leave its partial in the connection', async () => {
    const receiver = new Receiver('abc', END);
    await failureOf(receiver.receive(4), ClosedError);
    expect(receiver.left).toBe('');
  });

  test('because a line is too long has a partial as long as the bound, and leaves the rest', async () => {
    const receiver = new Receiver('abcdefg\n');
    expect([(await failureOf(receiver.receive('*l', 4), BoundsError)).text, receiver.left]).toEqual(['abcd', 'efg\n']);
  });

  test('because everything is too long has a partial as long as the bound, and leaves the rest', async () => {
    const receiver = new Receiver('abcdefg', END);
    expect([(await failureOf(receiver.receive('*a', 4), BoundsError)).text, receiver.left]).toEqual(['abcd', 'efg']);
  });

  test('because the requested number is beyond the bound takes no bytes', async () => {
    const receiver = new Receiver('ab\ncdefg');
    await receiver.receive('*l');
    expect([(await failureOf(receiver.receive(5, 4), BoundsError)).text, receiver.left]).toEqual(['', 'cdefg']);
  });

  test('at its block limit has the arrived raw bytes as its partial', async () => {
    const receiver = new Receiver('a\rb\xe9');
    const operation = receiver.receive('*l');
    receiver.venue.advance(100);
    expect((await failureOf(operation, Error)).text).toBe('a\rb\xc3\xa9');
  });

  test('by an error of the transport rejects with that error', async () => {
    const failure = new ClosedError('gone');
    const error = await failureOf(new Receiver('ab', failure).receive('*l'), ClosedError);
    expect([error === failure, error.text, error.operation]).toEqual([true, 'ab', 'receive']);
  });

  test.each(['before it is begun', 'before its first turn'])(
    'leaves the bytes in the connection when it is cancelled %s',
    async (when) => {
      const receiver = new Receiver();
      receiver.inflow.input.append(Buffer.from('of another\n'));
      const controller = new AbortController();
      if (when === 'before it is begun') controller.abort();
      receiver.venue.exhausted = true;
      const step: unknown = new ReceiveStep(receiver.inflow, patternOf('*l'));
      const operation = new Operation(step as Step<string>, receiver.venue, {}, controller.signal).start();
      controller.abort();
      const failure = await failureOf(operation, AbortError);
      expect([failure.text, receiver.left]).toEqual(['', 'of another\n']);
    },
  );

  test('can be retried after its partial was put back', async () => {
    const receiver = new Receiver('ab');
    const operation = receiver.receive('*l');
    receiver.venue.advance(100);
    const { partial } = (await failureOf(operation, Error)) as Error & { partial?: Uint8Array };
    receiver.inflow.input.prepend(partial ?? new Uint8Array());
    receiver.transport.feed('c\n');
    expect(await receiver.receive('*l')).toBe('abc');
  });

  test('says in its message how many bytes had arrived', async () => {
    const error = await failureOf(new Receiver('abc', END).receive(9), ClosedError);
    expect(error.message).toBe('receive failed: the peer closed the connection after 3 bytes of an unfinished message');
  });
});

describe("a receive into the caller's memory", () => {
  test('takes the bytes in the buffer without reading', () => {
    const receiver = new Receiver('abcd');
    receiver.inflow.pull();
    const into = new Uint8Array(3);
    const step = new ReceiveIntoStep(receiver.inflow, into);
    expect([
      step.attempt(),
      step.result(),
      Buffer.from(into).toString(),
      receiver.left,
      receiver.transport.calls.read,
    ]).toEqual([DONE, 3, 'abc', 'd', 1]);
  });

  test('reads directly into that memory when the buffer is empty', () => {
    const receiver = new Receiver('abcd');
    const into = new Uint8Array(3);
    const step = new ReceiveIntoStep(receiver.inflow, into);
    expect([step.attempt(), step.result(), step.progress(), receiver.inflow.input.length]).toEqual([DONE, 3, 3, 0]);
  });

  test('resolves with 0 at the end', () => {
    const step = new ReceiveIntoStep(new Receiver(END).inflow, new Uint8Array(3));
    expect([step.attempt(), step.result()]).toEqual([DONE, 0]);
  });

  test('passes on the wants of the transport', () => {
    const step = new ReceiveIntoStep(new Receiver(WANT_WRITE).inflow, new Uint8Array(3));
    expect([step.attempt(), step.attempt(), step.progress()]).toEqual([WANT_WRITE, WANT_READ, 0]);
  });

  test('refuses memory of 0 bytes', () => {
    expect(() => new ReceiveIntoStep(new Receiver().inflow, new Uint8Array(0))).toThrow(RangeError);
  });
});
