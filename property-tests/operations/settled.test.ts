// Law: whatever a step, its venue or an observer throws, and however many bytes are unsent, an operation settles once,
// is removed from its venue, and keeps no resources.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import type { Progress } from '../../core/errors.ts';
import { Operation } from '../../core/operation.ts';
import type { Step } from '../../core/operation.ts';
import { Outflow } from '../../core/outflow.ts';
import { SendStep } from '../../core/send.ts';
import { ManualVenue } from '../../core/testing/manual-venue.ts';
import { ScriptedTransport } from '../../core/testing/scripted-transport.ts';
import { DONE, WANT_LOOKUP, WANT_READ, WANT_WRITE, YIELD } from '../../core/want.ts';
import type { StepCode } from '../../core/want.ts';
import { checkLaw } from '../kit/law.ts';

/** The places where the test throws. */
type Place = 'attempt' | 'result' | 'handOver' | 'release' | 'settled' | 'progress$';

const PLACES: readonly Place[] = ['attempt', 'result', 'handOver', 'release', 'settled', 'progress$'];

class ThrowingStep implements Step<string> {
  readonly name = 'receive';
  released = 0;
  readonly #codes: (StepCode | typeof YIELD)[];
  readonly #throwing: ReadonlySet<Place>;
  readonly #error: unknown;

  constructor(codes: (StepCode | typeof YIELD)[], throwing: ReadonlySet<Place>, error: unknown) {
    this.#codes = codes;
    this.#throwing = throwing;
    this.#error = error;
  }

  attempt(): StepCode | typeof YIELD {
    const code = this.#codes.shift();
    if (code === undefined && this.#throwing.has('attempt')) throw this.#error;
    return code ?? DONE;
  }

  result(): string {
    if (this.#throwing.has('result')) throw this.#error;
    return 'result';
  }

  progress(): number {
    return 0;
  }

  handOver(): Progress {
    if (this.#throwing.has('handOver')) throw this.#error;
    return { partial: new Uint8Array(3) };
  }

  release(): void {
    this.released++;
    if (this.#throwing.has('release')) throw this.#error;
  }
}

class ThrowingVenue extends ManualVenue {
  readonly #throws: boolean;

  constructor(throws: boolean) {
    super();
    this.#throws = throws;
  }

  override settled(operation: Operation<unknown>, error?: Error): void {
    super.settled(operation, error);
    if (this.#throws) throw new Error('thrown by settled');
  }
}

/** Runs a task that may throw, in the place of the event loop, a timer or a signal. */
function surfacing(task: () => void): void {
  try {
    task();
  } catch {
    // The error reaches the caller of the task, and the operation must settle all the same.
  }
}

/**
 * Node reports an error that is thrown inside an event listener of a signal as an uncaught exception. This expects such
 * errors, and removes the test runner's own listeners while `task` runs.
 */
async function expectingUncaught(task: () => Promise<void>): Promise<void> {
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException').on('uncaughtException', () => undefined);
  try {
    await task();
    await new Promise(setImmediate);
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
}

describe('an operation', () => {
  it('settles once, whatever is thrown in any place', () =>
    expectingUncaught(() =>
      checkLaw(
        fc.asyncProperty(
          fc.array(fc.constantFrom(WANT_READ, WANT_WRITE, WANT_LOOKUP, YIELD), { maxLength: 5 }),
          fc.subarray([...PLACES]),
          fc.constantFrom<unknown>(
            new Error('a bug'),
            new WantioError('ERR_WANTIO_CLOSED', 'closed'),
            new RangeError('too long'),
            'a text',
          ),
          fc.record({ blockMs: fc.constantFrom(undefined, 0, 5), totalMs: fc.constantFrom(undefined, 0, 12) }),
          fc.array(fc.constantFrom('ready', 'pass', 'abort', 'close'), { maxLength: 6 }),
          async (codes, places, error, timeouts, story) => {
            const throwing = new Set(places);
            const venue = new ThrowingVenue(throwing.has('settled'));
            const step = new ThrowingStep([...codes], throwing, error);
            const controller = new AbortController();
            const operation = new Operation(step, venue, timeouts, controller.signal);
            if (throwing.has('progress$'))
              operation.progress$.subscribe({
                next: () => {
                  controller.abort('from an observer');
                },
              });
            let settlements = 0;
            const outcome = operation.then(
              () => settlements++,
              () => settlements++,
            );
            surfacing(() => void operation.start());
            for (const turn of [...story, ...Array.from({ length: codes.length + 2 }, () => 'ready')]) {
              surfacing(() => {
                if (turn === 'ready') venue.ready();
                else if (turn === 'pass') venue.advance(4);
                else if (turn === 'abort') controller.abort('enough');
                else operation.fail(new WantioError('ERR_WANTIO_CLOSED', 'closed from elsewhere'));
              });
            }
            await outcome;
            expect(operation.settled).toBe(true);
            expect([
              settlements,
              step.released,
              venue.settlements.length,
              venue.parked.size,
              venue.deadlines.size,
            ]).toEqual([1, 1, 1, 0, 0]);
          },
        ),
        2_000,
      ),
    ));
});

describe('a send that fails', () => {
  it('rejects with views of the unsent bytes, however many there are', () =>
    checkLaw(
      fc.asyncProperty(
        fc.array(fc.constantFrom(0, 1, 3, 65_536, 65_537, 32 << 20), { minLength: 1, maxLength: 200 }),
        fc.nat(200_000),
        fc.constantFrom<'timeout' | 'abort' | 'failure'>('timeout', 'abort', 'failure'),
        async (sizes, accepted, how) => {
          const pieces = sizes.map((size) => BLOCK.subarray(0, size));
          const length = sizes.reduce((sum, size) => sum + size, 0);
          const writes = accepted === 0 ? [] : [accepted];
          const transport = new ScriptedTransport({
            writes: [...writes, ...Array.from({ length: 500 }, () => WANT_WRITE)],
          });
          const venue = new ManualVenue();
          const controller = new AbortController();
          const operation = new Operation(
            new SendStep(new Outflow(transport), pieces, undefined),
            venue,
            { blockMs: 10 },
            controller.signal,
          ).start();
          const outcome = operation.catch((error: unknown) => error);
          if (how === 'timeout') venue.advance(20);
          else if (how === 'abort') controller.abort();
          else operation.fail(new WantioError('ERR_WANTIO_CLOSED', 'closed'));
          if (operation.settled && typeof (await outcome) === 'number') return;
          const { last = -2, rest = [] } = (await outcome) as WantioError;
          const views = [rest].flat();
          expect(last + 1 + views.reduce((sum, view) => sum + view.length, 0)).toBe(length);
          // Small pieces are copied into one before they are sent. Large pieces are never copied.
          for (const view of views) if (view.length > 64 * 1024) expect(view.buffer).toBe(BLOCK.buffer);
          expect([venue.parked.size, venue.deadlines.size]).toEqual([0, 0]);
        },
      ),
      300,
    ));
});

const BLOCK = Buffer.allocUnsafeSlow(32 << 20);
