// Law: the block limit starts afresh with each wait, the total limit is never renewed, and the earlier of the two ends
// the call. A call ends at most one tick after its limit, and never before it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TICK_MS } from '../../core/clock.ts';
import { OperationTimeoutError } from '../../core/errors.ts';
import { timeouts } from '../kit/arbitraries.ts';
import { checkLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';

// Bytes arrive at even milliseconds and limits pass at odd ones, because the order of two events of one millisecond is
// not specified.
const odd = (ms = Infinity): number => 2 * ms + 1;
const plan = fc.record({
  gaps: fc.array(
    fc.integer({ min: 1, max: 60 }).map((ms) => 2 * ms),
    { maxLength: 20 },
  ),
  limits: timeouts(100).map(({ blockMs, totalMs }) => ({ blockMs: odd(blockMs), totalMs: odd(totalMs) })),
  latencyMs: fc.integer({ min: 0, max: 30 }),
});

/**
 * The expected outcome of a receive of `gaps.length + 1` bytes. One byte arrives after each gap, and the last byte
 * never arrives.
 */
function expected(
  gaps: readonly number[],
  blockMs: number,
  totalMs: number,
): { mode: 'block' | 'total'; atMs: number; bytes: number } | undefined {
  let now = 0;
  for (const [index, gap] of [...gaps, Infinity].entries()) {
    const block = now + blockMs;
    const endsAt = Math.min(block, totalMs);
    if (now + gap > endsAt)
      return endsAt === Infinity
        ? undefined
        : { mode: totalMs <= block ? 'total' : 'block', atMs: endsAt, bytes: index };
    now += gap;
  }
  return undefined;
}

/** A negative number means no limit. */
const lasting = (ms: number): number => (ms < 0 ? Infinity : ms);

describe('the block and total limits', () => {
  it(
    'end a receive at the earlier of the two, and not before',
    () =>
      checkLaw(
        fc.asyncProperty(plan, async ({ gaps, limits, latencyMs }) => {
          const end = expected(gaps, lasting(limits.blockMs), lasting(limits.totalMs));
          if (end === undefined) return;
          await simulate({ link: { latencyMs } }, async (world) => {
            const { client, server } = await pairIn(world);
            // Sender and receiver begin when both ends are connected and no bytes are in flight.
            await world.sleep(latencyMs);
            const typing = (async () => {
              for (const gap of gaps) {
                await world.sleep(gap);
                if (client.closed) return;
                await client.send('x');
              }
            })();
            await world.sleep(latencyMs);
            const startedAt = world.now();
            const error = await server.receive(gaps.length + 1, { timeouts: limits }).then(
              () => undefined,
              (reason: unknown) => reason,
            );
            expect(error).toBeInstanceOf(OperationTimeoutError);
            const { mode, partial } = error as OperationTimeoutError;
            const tookMs = world.now() - startedAt;
            expect(tookMs).toBeGreaterThanOrEqual(end.atMs);
            expect(tookMs).toBeLessThanOrEqual(end.atMs + TICK_MS);
            expect({ mode, bytes: partial?.length }).toEqual({ mode: end.mode, bytes: end.bytes });
            await typing;
          });
        }),
        1_000,
      ),
    600_000,
  );
});
