// Law: every byte arrives once and in order, in both directions at the same time, whatever the network and the system
// calls do.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { buffers, harmlessFaults, link, payload } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn, sendInPieces } from '../kit/scenarios.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const plan = fc.record({
  link: link(),
  buffers: buffers(),
  faults: harmlessFaults(),
  there: payload(),
  back: payload(),
  sizes: fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 5 }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

const run = ({ link: carrying, buffers: hosts, faults, there, back, sizes }: Plan, contexts?: Contexts) =>
  simulate({ link: carrying, faults }, async (world) => {
    const { client, server } = await pairIn(world, hosts, contexts);
    const [atServer, atClient] = await Promise.all([
      server.receive('*a'),
      client.receive('*a'),
      sendInPieces(client, there, sizes),
      sendInPieces(server, back, sizes),
    ]);
    expect(Buffer.from(atServer).equals(there)).toBe(true);
    expect(Buffer.from(atClient).equals(back)).toBe(true);
    await Promise.all([client.close(), server.close()]);
  });

describe('every byte arrives once and in order', () => {
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
