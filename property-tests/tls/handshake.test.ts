// Law: under any plan a handshake ends, with success or a WantioError, and never spins. After success both sides agree
// on the Finished messages and on everything negotiated.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import { SecureConnection } from '../../protocols/tls/secure-connection.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { anyFaults, buffers, harmlessFaults, link } from '../kit/arbitraries.ts';
import { replaying, tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const plan = (faults: ReturnType<typeof anyFaults>) =>
  fc.record({ link: link(), buffers: buffers(), faults, blockMs: fc.integer({ min: 50, max: 3_000 }) });

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a %s handshake', (version) => {
  it.each([
    ['succeeds under harmless faults', harmlessFaults(), true],
    ['ends under any faults', anyFaults(), false],
  ] as const)(
    '%s',
    async (_, faults, mustBeDone) => {
      const contexts = await contextsFor(version);
      let done = 0;
      await tryLaw(plan(faults), 200, ({ link: carrying, buffers: hosts, faults: going, blockMs }) =>
        // A handshake moves a few thousand bytes. Even with one byte in each turn, this many steps are more than
        // enough.
        simulate({ link: carrying, faults: going, steps: 200_000 }, async (world) => {
          const limits = mustBeDone ? {} : { blockMs, totalMs: 60_000 };
          const pair = await pairIn(world, hosts, contexts, limits).catch((error: unknown) => {
            if (mustBeDone || !(error instanceof WantioError)) throw error;
          });
          if (pair === undefined) return;
          const ends: Connection[] = [pair.client, pair.server];
          const results = await Promise.allSettled(ends.map((end) => end.handshake({ timeouts: limits })));
          for (const result of results)
            if (result.status === 'rejected' && (mustBeDone || !(result.reason instanceof WantioError)))
              throw result.reason as Error;
          for (const [index, result] of results.entries())
            if (result.status === 'rejected') expect(ends[index].closed).toBe(true);
          const [client, server] = ends;
          if (!(client instanceof SecureConnection) || !(server instanceof SecureConnection))
            throw new Error('the ends are not secure');
          if (results.some(({ status }) => status === 'rejected') || client.closed || server.closed) return;
          done++;
          expect(client.finished().local).toEqual(server.finished().remote);
          expect(client.finished().remote).toEqual(server.finished().local);
          expect(client.finished().local.length).toBeGreaterThanOrEqual(12);
          expect(client.info()).toEqual(server.info());
        }),
      );
      if (!replaying()) expect(done).toBeGreaterThan(0);
    },
    600_000,
  );

  it('loses no bytes that arrive together with its last flight', async () => {
    const contexts = await contextsFor(version);
    const spoken = fc.record({
      link: link(),
      buffers: buffers(),
      faults: harmlessFaults(),
      style: fc.constantFrom('receive', 'readiness'),
      speaks: fc.constantFrom('client', 'server', 'both'),
    });
    await tryLaw(spoken, 200, ({ link: carrying, buffers: hosts, faults: going, style, speaks }) =>
      simulate({ link: carrying, faults: going, steps: 200_000 }, async (world) => {
        const { client, server } = await pairIn(world, hosts, contexts);
        // The side that finishes last may have read the whole line of the other side together with the last flight.
        const talk = async (own: Connection, says: boolean, hears: boolean): Promise<string> => {
          await own.handshake();
          const [line] = await Promise.all([
            !hears ? 'nothing' : style === 'receive' ? own.receive() : lineByReadiness(own),
            says && own.send('hello\n'),
          ]);
          return line;
        };
        const [clientSays, serverSays] = [speaks !== 'server', speaks !== 'client'];
        const heard = await Promise.all([talk(client, clientSays, serverSays), talk(server, serverSays, clientSays)]);
        expect(heard).toEqual([serverSays ? 'hello' : 'nothing', clientSays ? 'hello' : 'nothing']);
        client.abort();
        server.abort();
      }),
    );
  }, 600_000);
});

/** A peer that reads some bytes of a handshake, refuses it with an alert, and resets the connection soon after. */
const refusal = fc.record({
  link: link(),
  buffers: buffers(),
  faults: harmlessFaults(),
  hears: fc.integer({ min: 1, max: 150 }),
  alert: fc.constantFrom(40, 48, 70, 80, 86, 112),
  goesAfterMs: fc.oneof(fc.constant(0), fc.nat(200)),
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'a %s handshake that the peer refuses before it has received everything',
  (version) => {
    it.each(['client', 'server'] as const)(
      'rejects at the %s with the alert of the peer, although a reset follows the alert',
      async (side) => {
        const contexts = await contextsFor(version);
        const hello = await helloOf(contexts);
        let heard = 0;
        await tryLaw(refusal, 400, ({ link: carrying, buffers: hosts, faults, hears, alert, goesAfterMs }) =>
          simulate({ link: carrying, faults, steps: 200_000 }, async (world) => {
            const { client, server } = await pairIn(world, hosts);
            const [own, peer] =
              side === 'client'
                ? [client.secure(contexts.client, { serverName: 'there' }), server]
                : [server.secure(contexts.server), client];
            const failing = own.handshake().catch((error: unknown) => error);
            if (side === 'server') await peer.send(hello);
            await peer.receive(hears);
            // A fatal alert (RFC 8446, section 6), not encrypted.
            const isSent = await peer
              .send(Uint8Array.of(21, 3, 3, 0, 2, 2, alert), { timeouts: { totalMs: 500 } })
              .then(
                () => true,
                () => false,
              );
            await world.sleep(goesAfterMs);
            const hasArrived = isSent && peer.basis.socket.unacknowledged === 0;
            peer.abort();
            const failure = await failing;
            if (!hasArrived) return expect(failure).toBeInstanceOf(WantioError);
            heard++;
            expect(failure).toMatchObject({ name: 'TlsError', side: 'remote', alert });
          }),
        );
        if (!replaying()) expect(heard).toBeGreaterThan(0);
      },
      600_000,
    );
  },
);

/** @returns the client hello. */
async function helloOf(contexts: Contexts): Promise<Uint8Array> {
  let hello: Uint8Array = new Uint8Array();
  await simulate({}, async (world) => {
    const { client, server } = await pairIn(world);
    const shaking = client
      .secure(contexts.client, { serverName: 'there' })
      .handshake()
      .catch(() => undefined);
    hello = await server.receive('*s');
    server.abort();
    await shaking;
  });
  return hello;
}

/** Receives a line by `readable$` and `tryReceive`. */
function lineByReadiness(connection: Connection): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const subscription = connection.readable$.subscribe({
      next: () => {
        const bytes = connection.tryReceive();
        if (bytes instanceof Uint8Array) text += Buffer.from(bytes).toString();
        if (!text.endsWith('\n')) return;
        subscription.unsubscribe();
        resolve(text.trim());
      },
      complete: () => {
        reject(new Error('the connection is closed'));
      },
    });
  });
}
