// Law: the same steps have the same results on simulated and on real sockets.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../core/errors.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import { Reactor } from '../reactor/reactor.ts';
import { checkLaw } from './kit/law.ts';
import { pairIn } from './kit/scenarios.ts';
import type { Contexts } from './kit/scenarios.ts';
import { simulate } from './kit/simulate.ts';
import { contextsFor } from './kit/tls-contexts.ts';

const step = fc.record({
  who: fc.constantFrom<0 | 1>(0, 1),
  act: fc.oneof(
    fc.record({
      kind: fc.constant('send' as const),
      text: fc.string({ maxLength: 40 }).map((text) => text.replaceAll('~', '\n')),
    }),
    fc.record({ kind: fc.constant('line' as const), maxBytes: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ kind: fc.constant('bytes' as const), count: fc.nat(60) }),
    fc.record({ kind: fc.constant('some' as const), count: fc.integer({ min: 1, max: 60 }) }),
    fc.constant({ kind: 'all' as const }),
    fc.constant({ kind: 'try' as const }),
    fc.constant({ kind: 'unread' as const }),
    fc.constant({ kind: 'shutdown' as const }),
    fc.constant({ kind: 'abort' as const }),
  ),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;
const steps = fc.array(step, { minLength: 1, maxLength: 12 });

/** Runs the steps one after the other. @returns the outcome of each step. */
async function runSteps(
  ends: readonly [Connection, Connection],
  plan: readonly Step[],
  arrive: () => Promise<void>,
): Promise<unknown[]> {
  const results: unknown[] = [];
  await Promise.all(ends.map((end) => end.handshake()));
  for (const { who, act } of plan) {
    results.push(await outcome(ends[who], act));
    await arrive();
  }
  return results;
}

async function outcome(end: Connection, act: Step['act']): Promise<unknown> {
  // Long enough to receive bytes that have arrived, and short enough that every step may time out.
  const timeouts = { blockMs: 3 };
  try {
    switch (act.kind) {
      case 'send':
        return await end.send(act.text, { timeouts });
      case 'line':
        return await end.receive('*l', { maxBytes: act.maxBytes, timeouts });
      case 'bytes':
        return [...(await end.receive(act.count, { timeouts }))];
      case 'some':
        return [...(await end.receive('*s', { maxBytes: act.count, timeouts }))];
      case 'all':
        return [...(await end.receive('*a', { timeouts }))];
      case 'try': {
        const tried = end.tryReceive();
        return typeof tried === 'number' ? tried : [...tried];
      }
      case 'unread':
        return end.unread(Buffer.from('<put back>'));
      case 'shutdown':
        return await end.shutdown('send', { timeouts });
      case 'abort':
        return end.abort();
    }
  } catch (error) {
    if (!(error instanceof WantioError)) throw error;
    const { code, operation, last, partial } = error;
    return { code, operation, last, partial: partial && [...partial] };
  }
}

async function onRealSockets(plan: readonly Step[], contexts?: Contexts): Promise<unknown[]> {
  const reactor = new Reactor();
  try {
    const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
    const { port } = listener.address as { port: number };
    const [client, server] = await Promise.all([reactor.connect({ host: '127.0.0.1', port }), listener.accept()]);
    const ends: [Connection, Connection] =
      contexts === undefined
        ? [client, server]
        : [client.secure(contexts.client, { serverName: 'there' }), server.secure(contexts.server)];
    // Loopback delivers at once. After two turns, the reactor has seen everything that arrived.
    return await runSteps(ends, plan, async () => {
      for (let turn = 0; turn < 2; turn++) await reactor.select({}, 0);
    });
  } finally {
    reactor.abort();
    await reactor.close();
  }
}

const onSimulatedSockets = async (plan: readonly Step[], contexts?: Contexts): Promise<unknown[]> =>
  (
    await simulate({}, async (world) => {
      const { client, server } = await pairIn(world, {}, contexts);
      return runSteps([client, server], plan, () => world.sleep(1));
    })
  ).result;

describe('simulated and real sockets', () => {
  it(
    'have the same results on plain connections',
    () =>
      checkLaw(
        fc.asyncProperty(steps, async (plan) => {
          expect(await onSimulatedSockets(plan)).toEqual(await onRealSockets(plan));
        }),
        1_000,
      ),
    600_000,
  );

  it('have the same results over TLS', async () => {
    const contexts = await contextsFor('TLSv1.3');
    await checkLaw(
      fc.asyncProperty(steps, async (plan) => {
        expect(await onSimulatedSockets(plan, contexts)).toEqual(await onRealSockets(plan, contexts));
      }),
      200,
    );
  }, 600_000);
});
