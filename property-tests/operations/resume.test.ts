// Law: a send that times out, any number of times, and is retried from `last + 1` each time, delivers the same bytes as
// one send.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { OperationTimeoutError } from '../../core/errors.ts';
import { harmlessFaults, link, payload } from '../kit/arbitraries.ts';
import { checkLaw, replaying } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const plan = fc.record({
  link: link(),
  faults: harmlessFaults(),
  data: payload(2_000),
  blockMs: fc.integer({ min: 0, max: 30 }),
  readAtMost: fc.integer({ min: 20, max: 2_000 }),
  pauseMs: fc.integer({ min: 0, max: 60 }),
  buffer: fc.integer({ min: 16, max: 1_000 }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

/** Sends `data` to a slow reader. @returns how often the send timed out. */
async function run(
  { link: carrying, faults, data, blockMs, readAtMost, pauseMs, buffer }: Plan,
  contexts?: Contexts,
): Promise<number> {
  let cuts = 0;
  await simulate({ link: carrying, faults }, async (world) => {
    const { client, server } = await pairIn(world, { sendBuffer: buffer, receiveBuffer: buffer }, contexts);
    await Promise.all([client.handshake(), server.handshake()]);
    const received: Uint8Array[] = [];
    const reading = (async () => {
      for (let left = data.length; left > 0; left -= received.at(-1)?.length ?? 0) {
        received.push(await server.receive('*s', { maxBytes: readAtMost }));
        await world.sleep(pauseMs);
      }
    })();
    for (let first = 0; ;) {
      const result = await client.send(data, { first, timeouts: { blockMs } }).then(
        (last) => last,
        (error: unknown) => error,
      );
      if (typeof result === 'number') {
        expect(result).toBe(data.length - 1);
        break;
      }
      expect(result).toBeInstanceOf(OperationTimeoutError);
      const { last = -2, rest } = result as OperationTimeoutError;
      expect(last).toBeGreaterThanOrEqual(first - 1);
      expect(Buffer.from(rest as Uint8Array).equals(data.subarray(last + 1))).toBe(true);
      first = last + 1;
      cuts++;
      await world.sleep(1);
    }
    await reading;
    expect(Buffer.concat(received).equals(data)).toBe(true);
  });
  return cuts;
}

async function law(count: number, contexts?: Contexts): Promise<void> {
  let cuts = 0;
  await checkLaw(
    fc.asyncProperty(plan, async (each) => {
      cuts += await run(each, contexts);
    }),
    count,
  );
  if (!replaying()) expect(cuts).toBeGreaterThan(0);
}

describe('sends that time out and are retried from last + 1 deliver the bytes of one send', () => {
  it('over a plain connection', () => law(1_000), 600_000);
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('over %s', async (version) => law(200, await contextsFor(version)), 600_000);
});
