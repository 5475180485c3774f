// Law: two worlds with the same plan have the same trace of system calls.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../core/errors.ts';
import { anyFaults, buffers, link, payload } from './kit/arbitraries.ts';
import { checkLaw } from './kit/law.ts';
import { pairIn, sendInPieces } from './kit/scenarios.ts';
import { simulate } from './kit/simulate.ts';

const plan = fc.record({ link: link(), faults: anyFaults(), buffers: buffers(), there: payload(), back: payload() });

describe('two worlds with the same plan', () => {
  it(
    'have the same trace',
    () =>
      checkLaw(
        fc.asyncProperty(plan, async ({ link: carrying, faults, buffers: hosts, there, back }) => {
          const run = async (): Promise<string> =>
            (
              await simulate({ link: carrying, faults }, async (world) => {
                const timeouts = { totalMs: 5_000 };
                try {
                  const { client, server } = await pairIn(world, hosts, undefined, timeouts);
                  client.timeouts = server.timeouts = timeouts;
                  await Promise.allSettled([
                    client.receive('*a'),
                    server.receive('*a'),
                    sendInPieces(client, there, [100]),
                    sendInPieces(server, back, [33]),
                  ]);
                } catch (error) {
                  if (!(error instanceof WantioError)) throw error;
                }
              })
            ).trace.toString();
          const first = await run();
          expect(await run()).toBe(first);
        }),
        1_000,
      ),
    600_000,
  );
});
