// Law: a client sends a real client hello with bytes changed, lost, doubled, inserted or cut off, in any pieces. The
// handshake of the server then rejects with a WantioError, or continues as with a valid hello. It never crashes, hangs
// or leaks, and the server serves the next client.

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import { TlsContext } from '../../protocols/tls/context/context.ts';
import type { TlsClientOptions } from '../../protocols/tls/context/options.ts';
import { Authority } from '../../protocols/testing/tls/authority.ts';
import { LivingObjects } from '../../protocols/testing/tls/living-objects.ts';
import { link } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';

const living = new LivingObjects();
const authority = new Authority();
const ca = { pem: authority.pem };
const issued = authority.issue({ names: ['there', 'other.test'] });
const identity = { certificate: { pem: issued.certificate }, key: { pem: issued.key } };
const key = Buffer.alloc(32, 1);

const CLIENTS: readonly TlsClientOptions[] = [
  { ca },
  { ca, protocols: { max: 'TLSv1.2' } },
  { ca, alpn: ['h2', 'http/1.1'], requestOcspStaple: true },
  { ca, psk: { identity: 'me', key } },
  { ca, groups: 'P-384', protocols: { min: 'TLSv1.3' } },
];

/** @returns the first flight of a real client. */
async function helloOf(options: TlsClientOptions): Promise<Uint8Array> {
  const client = await TlsContext.client(options);
  const server = await TlsContext.server(identity);
  const { result } = await simulate({}, async (world) => {
    const plain = await pairIn(world);
    const secured = plain.client.secure(client, { serverName: 'there' });
    void secured.handshake().catch(() => undefined);
    return plain.server.receive('*s');
  });
  client.close();
  server.close();
  return result;
}

const mutation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('set' as const), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), value: fc.integer({ min: 0, max: 7 }) }),
  },
  fc.record({ kind: fc.constant('drop' as const), at: fc.nat(), value: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('double' as const), at: fc.nat(), value: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), value: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), value: fc.constant(0) }),
);

type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;

function mutate(bytes: Uint8Array, { kind, at, value }: Mutation): Uint8Array {
  if (bytes.length === 0) return bytes;
  const place = at % bytes.length;
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  switch (kind) {
    case 'set':
    case 'flip': {
      const changed = Uint8Array.from(bytes);
      changed[place] = kind === 'set' ? value : changed[place] ^ (1 << value);
      return changed;
    }
    case 'drop':
      return Buffer.concat([before, after.subarray(value)]);
    case 'double':
      return Buffer.concat([before, after.subarray(0, value), after]);
    case 'insert':
      return Buffer.concat([before, Buffer.alloc(value, value), after]);
    case 'cut':
      return before;
  }
}

const plan = fc.record({
  client: fc.nat({ max: CLIENTS.length - 1 }),
  mutations: fc.array(mutation, { minLength: 1, maxLength: 5 }),
  link: link(),
  staysOpen: fc.boolean(),
});

it('a broken client hello fails only its own handshake', async () => {
  const hellos = await Promise.all(CLIENTS.map(helloOf));
  const before = living.counts;
  const server = await TlsContext.server({
    ...identity,
    alpn: (offered) => offered[0],
    psk: (name) => (name === 'me' ? Promise.resolve(key) : undefined),
    ocspStaple: () => Promise.resolve(Buffer.from('staple')),
    chooseContext: () => Promise.resolve(undefined),
    verify: 'peer',
    ca,
  });
  const good = await TlsContext.client({ ca });
  const ends = { done: 0, failed: 0, waiting: 0 };
  await tryLaw(
    plan,
    1_000,
    ({ client, mutations, link: carrying, staysOpen }) =>
      simulate({ link: carrying, steps: 200_000 }, async (world) => {
        const broken = mutations.reduce(mutate, hellos[client]);
        const plain = await pairIn(world);
        const secured = plain.server.secure(server);
        const outcome = secured.handshake({ timeouts: { totalMs: 5_000 } }).then(
          () => 'done' as const,
          (error: unknown) => {
            if (!(error instanceof WantioError)) throw error;
            return error.code === 'ERR_WANTIO_TIMEOUT' ? ('waiting' as const) : ('failed' as const);
          },
        );
        if (broken.length > 0) await plain.client.send(broken);
        // Some clients half-close, others wait for an answer that does not come.
        if (!staysOpen) await plain.client.shutdown('send');
        ends[await outcome]++;
        plain.client.abort();
        secured.abort();
        const [next, peer] = await Promise.all([
          plain.here.reactor.connectSecure({ host: 'there', port: 7, secure: good, serverName: 'there' }),
          accepted(),
        ]);
        next.abort();
        peer.abort();

        async function accepted() {
          const [listener] = plain.there.reactor.openListeners;
          const connection = (await listener.accept()).secure(server);
          await connection.handshake();
          return connection;
        }
      }),
    false,
  );
  server.close();
  good.close();
  // Some mutations must pass the first checks of OpenSSL, so that the later checks are tested as well.
  expect(ends.failed).toBeGreaterThan(0);
  expect(ends.waiting).toBeGreaterThan(0);
  expect(living.counts).toEqual(before);
}, 3_600_000);
