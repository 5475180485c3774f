// Law: a cancelled operation rejects at once with an AbortError that carries the reason and the progress so far. The
// connection stays usable: a retry that continues from this progress delivers every byte once.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { AbortError } from '../../core/errors.ts';
import { buffers, harmlessFaults, link, moment } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { until } from '../kit/schedule.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const plan = fc.record({
  link: link(),
  buffers: buffers(),
  faults: harmlessFaults(),
  cancelAt: moment(),
  data: fc.uint8Array({ minLength: 1, maxLength: 3_000 }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

const run = ({ link: carrying, buffers: hosts, faults, cancelAt, data }: Plan, contexts?: Contexts) =>
  simulate({ link: carrying, faults }, async (world) => {
    const { client, server } = await pairIn(world, hosts, contexts);
    await Promise.all([client.handshake(), server.handshake()]);
    const cancel = new AbortController();
    const cancelled = until(world, cancelAt).then(() => {
      cancel.abort('enough');
      return world.now();
    });
    const end = (promise: PromiseLike<unknown>): Promise<{ value: unknown; atMs: number }> =>
      promise.then(
        (value) => ({ value, atMs: world.now() }),
        (value: unknown) => ({ value, atMs: world.now() }),
      ) as Promise<{ value: unknown; atMs: number }>;
    const [sent, received, atMs] = await Promise.all([
      end(client.send(data, { signal: cancel.signal })),
      end(server.receive(data.length + 1, { signal: cancel.signal })),
      cancelled,
    ]);
    // The receive asks for one byte more than is sent, so it is always cancelled.
    expect(received).toMatchObject({ atMs, value: { cause: 'enough', operation: 'receive' } });
    const { partial = new Uint8Array() } = received.value as AbortError;
    expect(Buffer.from(partial).equals(data.subarray(0, partial.length))).toBe(true);
    let last = data.length - 1;
    if (typeof sent.value !== 'number') {
      expect(sent.value).toBeInstanceOf(AbortError);
      expect(sent.atMs).toBe(atMs);
      ({ last = -2 } = sent.value as AbortError);
    }
    const [rest] = await Promise.all([
      server.receive(data.length, { prefix: partial }),
      client.send(data, { first: last + 1 }),
    ]);
    expect(Buffer.from(rest).equals(data)).toBe(true);
  });

describe('a cancelled operation ends at once and leaves the connection usable', () => {
  it('over a plain connection', () => tryLaw(plan, 1_000, (each) => run(each)), 600_000);
  it('over TLS', async () => {
    const contexts = await contextsFor('TLSv1.3');
    await tryLaw(plan, 200, (each) => run(each, contexts));
  }, 600_000);
});
