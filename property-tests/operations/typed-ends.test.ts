// Law: under any faults every operation ends within its limits, with a result or a WantioError. The received bytes are
// a prefix of the sent bytes. All resources are released.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { anyFaults, buffers, link, payload } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const plan = fc.record({
  link: link(),
  buffers: buffers(),
  faults: anyFaults(),
  there: payload(),
  back: payload(),
  totalMs: fc.integer({ min: 1, max: 2_000 }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

/** Resolves with the value or the WantioError of `promise`. Any other error is a bug and is thrown. */
async function outcome<T>(promise: PromiseLike<T>): Promise<T | WantioError> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof WantioError) return error;
    throw error;
  }
}

const run = ({ link: carrying, buffers: hosts, faults, there, back, totalMs }: Plan, contexts?: Contexts) =>
  simulate({ link: carrying, faults }, async (world) => {
    const here = world.machine('here', hosts);
    const other = world.machine('there', hosts);
    const listener = await other.reactor.listen({ host: '0.0.0.0', port: 7 }).catch(() => undefined);
    if (listener === undefined) return;
    const timeouts = { totalMs };
    const received: Uint8Array[] = [];
    listener.serve({ ...(contexts && { secure: contexts.server }), timeouts }, async (connection) => {
      const [bytes] = await Promise.all([outcome(connection.receive('*a')), outcome(connection.send(back))]);
      received.push(bytes instanceof WantioError ? (bytes.partial ?? new Uint8Array()) : bytes);
    });
    const startedAt = world.now();
    const connected =
      contexts === undefined
        ? here.reactor.connect({ host: 'there', port: 7, timeouts })
        : here.reactor.connectSecure({ host: 'there', port: 7, timeouts, secure: contexts.client });
    const client = await outcome<Connection>(connected);
    expect(world.now() - startedAt).toBeLessThanOrEqual(totalMs + 1);
    if (client instanceof WantioError) return;
    const sentAt = world.now();
    const [, bytes] = await Promise.all([
      outcome(client.send(there, { timeouts })).then((sent) =>
        sent instanceof WantioError ? sent : outcome(client.shutdown('send', { timeouts })),
      ),
      outcome(client.receive('*a', { timeouts })),
    ]);
    expect(world.now() - sentAt).toBeLessThanOrEqual(2 * totalMs + 2);
    const partial = bytes instanceof WantioError ? (bytes.partial ?? new Uint8Array()) : bytes;
    expect(Buffer.from(partial).equals(back.subarray(0, partial.length))).toBe(true);
    await client.close();
    await other.reactor.close({ timeoutMs: 5_000 });
    for (const part of received) expect(Buffer.from(part).equals(there.subarray(0, part.length))).toBe(true);
  });

describe('every operation ends with a result or a WantioError', () => {
  it('over a plain connection', () => tryLaw(plan, 1_000, (each) => run(each)), 600_000);
  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'over %s',
    async (version) => {
      const contexts = await contextsFor(version);
      await tryLaw(plan, 200, (each) => run(each, contexts));
    },
    600_000,
  );
});
