// Law: however handshakes end, no SSL, SSL_CTX, SSL_SESSION, BIO, X509 or X509_STORE is left, and the memory of the
// process does not grow. They may be complete, refused, cancelled, timed out or broken off, also in the middle of a
// look-up or of a renegotiation.

import { setImmediate as turn } from 'node:timers/promises';

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import { livingAnswers } from '../../protocols/tls/callbacks.ts';
import { TlsContext } from '../../protocols/tls/context/context.ts';
import type { TlsClientOptions, TlsServerOptions } from '../../protocols/tls/context/options.ts';
import { SecureConnection } from '../../protocols/tls/secure-connection.ts';
import { MapStore } from '../../protocols/testing/stores/map-store.ts';
import { Authority } from '../../protocols/testing/tls/authority.ts';
import { LivingObjects } from '../../protocols/testing/tls/living-objects.ts';
import { anyFaults } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';

const living = new LivingObjects();
const authority = new Authority();
const ca = { pem: authority.pem };
const issued = authority.issue({ names: ['there'] });
const stranger = new Authority().issue({ names: ['there'] });
const other = authority.issue({ names: ['elsewhere'] });
const person = authority.issue({ names: ['someone.test'] });
const identity = (from: typeof issued) => ({ certificate: { pem: from.certificate }, key: { pem: from.key } });
const key = Buffer.alloc(32, 1);

const spare = await TlsContext.server(identity(issued));

/** The kinds of handshake: the options of both sides. */
const WAYS: Record<string, { client?: TlsClientOptions; server?: Partial<TlsServerOptions> }> = {
  complete: {},
  'complete, TLS 1.2': { client: { protocols: { max: 'TLSv1.2' } } },
  'a certificate of another host': { server: identity(other) },
  'a certificate of an unknown authority': { server: identity(stranger) },
  'accepted faults of a certificate': { server: identity(stranger), client: { dangerouslyAccept: 'all' } },
  'a client certificate': { client: identity(person), server: { verify: ['peer', 'fail_if_no_peer_cert'], ca } },
  'no client certificate': { server: { verify: ['peer', 'fail_if_no_peer_cert'], ca } },
  'no version in common': { client: { protocols: { max: 'TLSv1.2' } }, server: { protocols: { min: 'TLSv1.3' } } },
  'no protocol in common': { client: { alpn: ['a'] }, server: { alpn: ['b'] } },
  'a shared key': { client: { psk: { identity: 'me', key } }, server: { psk: () => Promise.resolve(key) } },
  'another shared key': {
    client: { psk: { identity: 'me', key }, protocols: { max: 'TLSv1.2' } },
    server: { psk: () => Buffer.alloc(16) },
  },
  'a chosen context': { server: { chooseContext: () => Promise.resolve(undefined) } },
  'another context chosen': { server: { chooseContext: () => Promise.resolve(spare) } },
  'another context chosen at once, by name': {
    server: { chooseContext: ({ serverName }) => (serverName === 'there' ? spare : undefined) },
  },
  'a failing choice': { server: { chooseContext: () => Promise.reject(new Error('no')) } },
  'a choice that never settles': { server: { chooseContext: () => new Promise(() => undefined) } },
  tickets: { server: { resumption: 'stateless' } },
  'tickets, TLS 1.2': { client: { protocols: { max: 'TLSv1.2' } }, server: { resumption: 'stateless' } },
  'sessions in the context': { server: { resumption: 'stateful' } },
  'sessions in the context, TLS 1.2': { client: { protocols: { max: 'TLSv1.2' } }, server: { resumption: 'stateful' } },
  'sessions in a store': { server: { resumption: 'stateful', sessionStore: new MapStore() } },
  'sessions in a store, TLS 1.2': {
    client: { protocols: { max: 'TLSv1.2' } },
    server: { resumption: 'stateful', sessionStore: new MapStore() },
  },
  'an expectation that fails': { client: { expect: { digest: '00'.repeat(32) } } },
  'a staple and logged keys': {
    client: { requestOcspStaple: true, dangerouslyLogKeys: 'event' },
    server: { ocspStaple: Buffer.from('staple'), dangerouslyLogKeys: 'event' },
  },
};

const plan = fc.record({
  way: fc.constantFrom(...Object.keys(WAYS)),
  faults: fc.oneof(fc.constant({}), anyFaults()),
  ending: fc.constantFrom('close', 'abort', 'talk', 'refresh', 'cancel'),
  blockMs: fc.integer({ min: 1, max: 2_000 }),
});

it('handshakes leave no OpenSSL objects behind, however they end', async () => {
  const contexts = new Map<string, { client: TlsContext; server: TlsContext }>();
  const before = living.counts;
  const made = living.made('SSL');
  const sizes: number[] = [];
  for (const [way, { client, server }] of Object.entries(WAYS)) {
    contexts.set(way, {
      client: await TlsContext.client({ ca, allowPeerRenegotiations: 9, ...client }),
      server: await TlsContext.server({ ...identity(issued), ...server }),
    });
  }
  let runs = 0;
  await tryLaw(plan, 2_000, async ({ way, faults, ending, blockMs }) => {
    if (runs++ % 100 === 0) sizes.push(process.memoryUsage.rss());
    return simulate({ faults, steps: 200_000 }, async (world) => {
      const limits = { blockMs, totalMs: 10_000 };
      try {
        const { client, server } = await pairIn(world, {}, contexts.get(way), limits);
        const signal = ending === 'cancel' ? AbortSignal.abort() : undefined;
        const options = signal === undefined ? { timeouts: limits } : { timeouts: limits, signal };
        await Promise.all([client.handshake(options), server.handshake({ timeouts: limits })]);
        if (ending === 'talk')
          await Promise.all([client.send('x', { timeouts: limits }), server.receive('*s', { timeouts: limits })]);
        if (ending === 'refresh' && client instanceof SecureConnection) {
          const receiving = server.receive('*s', { timeouts: limits }).catch(() => undefined);
          await (/1\.2/.test(way) ? client.renegotiate({ timeouts: limits }) : client.updateKeys({ timeouts: limits }));
          server.abort();
          await receiving;
        }
        if (ending === 'abort') client.abort();
        await Promise.all([client.close({ timeoutMs: 50 }), server.close({ timeoutMs: 50 })]);
      } catch (error) {
        if (!(error instanceof WantioError)) throw error;
      }
    });
  });
  for (const { client, server } of contexts.values()) {
    client.close();
    server.close();
  }
  expect(living.made('SSL') - made).toBeGreaterThan(2_000);
  // The library frees every object that it makes itself, so the test need not wait for finalizers of Node.
  await turn();
  expect(living.counts).toEqual(before);
  expect(livingAnswers()).toBe(0);
  const half = sizes.slice(sizes.length / 2);
  if (half.length >= 10) expect(half.at(-1) as number).toBeLessThan(half[0] * 1.1 + 16 * 1024 * 1024);
}, 3_600_000);
