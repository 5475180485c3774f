// Law: whatever the network does, a relay neither loses nor invents bytes in either direction, passes on the end of
// each direction, and closes both connections.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import type { Timeouts } from '../../core/timeouts.ts';
import { Relay } from '../../protocols/relay.ts';
import { anyFaults, buffers, harmlessFaults, link, payload } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { sendInPieces } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import type { World } from '../../reactor/simulated/world.ts';
import type { HostOptions } from '../../reactor/simulated/simulated-host.ts';

const base = {
  link: link(),
  buffers: buffers(),
  there: payload(),
  back: payload(),
  sizes: fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 4 }),
};

/** A client, a relay and a server, each on its own machine. */
async function relayed(world: World, hosts: HostOptions, timeouts: Timeouts = {}) {
  const [left, middle, right] = ['left', 'middle', 'right'].map((name) => world.machine(name, hosts));
  const front = await middle.reactor.listen({ host: '0.0.0.0', port: 1 });
  const back = await right.reactor.listen({ host: '0.0.0.0', port: 2 });
  const [client, first] = await Promise.all([
    left.reactor.connect({ host: 'middle', port: 1, timeouts }),
    front.accept({ timeouts }),
  ]);
  const [second, server] = await Promise.all([
    middle.reactor.connect({ host: 'right', port: 2, timeouts }),
    back.accept({ timeouts }),
  ]);
  return { client, server, relay: new Relay(first, second, { idleMs: 10_000 }) };
}

describe('a relay', () => {
  it(
    'passes on all bytes and ends',
    () =>
      tryLaw(
        fc.record({ ...base, faults: harmlessFaults(), answersLast: fc.boolean() }),
        1_000,
        ({ link: carrying, buffers: hosts, faults, there, back, sizes, answersLast }) =>
          simulate({ link: carrying, faults }, async (world) => {
            const { client, server, relay } = await relayed(world, hosts);
            const asked = server.receive('*a');
            // A server that answers only after the end of the request depends on the relay passing the end on.
            const answering = (answersLast ? asked.then(() => undefined) : Promise.resolve()).then(() =>
              sendInPieces(server, back, sizes),
            );
            const [atServer, atClient, statistics] = await Promise.all([
              asked,
              client.receive('*a'),
              relay.done,
              sendInPieces(client, there, sizes),
              answering,
            ]);
            expect(Buffer.from(atServer).equals(there)).toBe(true);
            expect(Buffer.from(atClient).equals(back)).toBe(true);
            expect(statistics).toMatchObject({ forward: there.length, backward: back.length });
          }),
      ),
    600_000,
  );

  it(
    'ends under any faults, closes both connections, and never invents bytes',
    () =>
      tryLaw(
        fc.record({ ...base, faults: anyFaults() }),
        1_000,
        ({ link: carrying, buffers: hosts, faults, there, back, sizes }) =>
          simulate({ link: carrying, faults }, async (world) => {
            const parts = await relayed(world, hosts, { totalMs: 5_000 }).catch((error: unknown) => {
              if (!(error instanceof WantioError)) throw error;
            });
            if (parts === undefined) return;
            const { client, server, relay } = parts;
            client.timeouts = server.timeouts = { totalMs: 1_000_000 };
            const [ended, atServer, atClient] = await Promise.all([
              relay.done.then(
                () => undefined,
                (error: unknown) => error,
              ),
              server.receive('*a').catch((error: unknown) => (error as WantioError).partial ?? new Uint8Array()),
              client.receive('*a').catch((error: unknown) => (error as WantioError).partial ?? new Uint8Array()),
              sendInPieces(client, there, sizes).catch(() => {
                client.abort();
              }),
              sendInPieces(server, back, sizes).catch(() => {
                server.abort();
              }),
            ]);
            expect(ended === undefined || ended instanceof WantioError).toBe(true);
            expect(Buffer.from(atServer).equals(there.subarray(0, atServer.length))).toBe(true);
            expect(Buffer.from(atClient).equals(back.subarray(0, atClient.length))).toBe(true);
          }),
      ),
    600_000,
  );
});
