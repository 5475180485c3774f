// Law: either side may begin renegotiations, key updates and certificate requests at any moment, even both at once,
// while both sides send and receive. No operation waits for ever, every byte arrives once and in order, and both sides
// agree on the last Finished messages.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import { TlsContext } from '../../protocols/tls/context/context.ts';
import { SecureConnection } from '../../protocols/tls/secure-connection.ts';
import { Authority } from '../../protocols/testing/tls/authority.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { World } from '../../reactor/simulated/world.ts';
import { anyFaults, buffers, harmlessFaults, link } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';

type Action = 'renegotiate' | 'updateKeys' | 'requestClientCertificate' | 'pause';

const authority = new Authority();
const server = authority.issue({ names: ['there'] });
const person = authority.issue({ names: ['someone.test'] });
const ca = { pem: authority.pem };

const plan = (own: readonly Action[], servers: readonly Action[], faults: ReturnType<typeof anyFaults>) =>
  fc.record({
    link: link(),
    buffers: buffers(),
    faults,
    bytes: fc.tuple(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 20_000 })),
    pieces: fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 4 }),
    /**
     * Only the client begins handshakes, and it receives only after them. Bytes that arrive earlier must wait.
     */
    late: fc.boolean(),
    actions: fc.tuple(
      fc.array(fc.constantFrom(...own), { maxLength: 4 }),
      fc.array(fc.constantFrom(...servers), { minLength: 1, maxLength: 4 }),
    ),
  });

async function contextsOf(version: 'TLSv1.2' | 'TLSv1.3'): Promise<Contexts> {
  const common = { protocols: { min: version, max: version }, ca, allowPeerRenegotiations: 1_000 };
  return {
    client: await TlsContext.client({ ...common, certificate: { pem: person.certificate }, key: { pem: person.key } }),
    server: await TlsContext.server({ ...common, certificate: { pem: server.certificate }, key: { pem: server.key } }),
  };
}

describe.each([
  ['TLSv1.2', ['renegotiate', 'pause'], ['renegotiate', 'requestClientCertificate', 'pause']],
  ['TLSv1.3', ['updateKeys', 'pause'], ['updateKeys', 'requestClientCertificate', 'pause']],
] as const)('under %s', (version, clients, servers) => {
  it('renegotiations, key updates and certificate requests lose no bytes', async () => {
    const contexts = await contextsOf(version);
    await tryLaw(
      plan(clients, servers, harmlessFaults()),
      200,
      ({ link: carrying, buffers: hosts, faults, bytes, pieces, late, actions: drawn }) =>
        simulate({ link: carrying, faults, steps: 2_000_000 }, async (world) => {
          const actions = late ? [drawn[0], []] : drawn;
          const pair = await pairIn(world, hosts, contexts);
          const ends = [secured(pair.client), secured(pair.server)] as const;
          await Promise.all(ends.map((end) => end.handshake()));
          const data = bytes.map((length, side) =>
            Buffer.alloc(length, side === 0 ? 'from the client ' : 'from the server '),
          );
          const begun = late ? act(world, ends[0], actions[0]) : Promise.resolve();
          const receives = ends.map(async (end, side) => {
            if (side === 0) await begun;
            return end.receive('*a');
          });
          // Both sides half-close after all handshakes, because no handshake can begin after close_notify.
          await Promise.all(
            ends.flatMap((end, side) => [
              side === 0 && late ? begun : act(world, end, actions[side]),
              sendWithoutEnd(end, data[side], pieces),
            ]),
          );
          if (actions[1].includes('requestClientCertificate'))
            expect(ends[1].peerCertificate()?.checkHost('someone.test')).toBe('someone.test');
          await Promise.all(ends.map((end) => end.shutdown('send')));
          const received = await Promise.all(receives);
          for (const side of [0, 1]) expect(Buffer.from(received[side]).equals(data[1 - side])).toBe(true);
          expect(ends[0].finished().local).toEqual(ends[1].finished().remote);
        }),
    );
  }, 600_000);

  it('rehandshakes of every kind settle under any faults, with success or a WantioError', async () => {
    const contexts = await contextsOf(version);
    const timeouts = { blockMs: 500, totalMs: 20_000 };
    await tryLaw(
      plan(clients, servers, anyFaults()),
      200,
      ({ link: carrying, buffers: hosts, faults, bytes, pieces, actions }) =>
        simulate({ link: carrying, faults, steps: 2_000_000 }, async (world) => {
          const settle = async (...running: Promise<unknown>[]): Promise<void> => {
            for (const result of await Promise.allSettled(running))
              if (result.status === 'rejected' && !(result.reason instanceof WantioError)) throw result.reason as Error;
          };
          const pair = await pairIn(world, hosts, contexts, timeouts).catch((error: unknown) => {
            if (!(error instanceof WantioError)) throw error;
          });
          if (pair === undefined) return;
          const ends = [secured(pair.client), secured(pair.server)];
          for (const end of ends) end.timeouts = timeouts;
          await settle(
            ...ends.flatMap((end, side) => [
              end.receive('*a'),
              act(world, end, actions[side]),
              sendWithoutEnd(end, Buffer.alloc(bytes[side]), pieces),
            ]),
          );
          await settle(...ends.map((end) => end.close({ timeoutMs: 100 })));
        }),
    );
  }, 600_000);
});

async function act(world: World, end: SecureConnection, actions: readonly Action[]): Promise<void> {
  for (const action of actions) await (action === 'pause' ? world.sleep(5) : end[action]());
}

function secured(connection: Connection): SecureConnection {
  if (!(connection instanceof SecureConnection)) throw new Error('the connection is not secure');
  return connection;
}

async function sendWithoutEnd(end: SecureConnection, data: Uint8Array, pieces: readonly number[]): Promise<void> {
  for (let at = 0, index = 0; at < data.length; index++) {
    const next = Math.min(data.length, at + pieces[index % pieces.length]);
    await end.send(data.subarray(at, next));
    at = next;
  }
}
