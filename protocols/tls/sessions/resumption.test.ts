import { describe, expect, it } from 'vitest';

import type { TlsContext } from '../context/context.ts';
import type { TlsClientOptions, TlsServerOptions, TlsVersion } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { portOf } from '../../../reactor/testing/with-reactor.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { abort, failuresOf, securePair, shakenPair, talk } from '../../testing/tls/pair.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { Resumption } from './resumption.ts';
import { TlsSession } from './session.ts';
import { ManualClock } from '../../testing/stores/manual-clock.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { TicketKeys } from './ticket-keys.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const issued = authority.issue({ names: ['localhost', 'other.test'] });
const person = authority.issue({ names: ['someone.test'] });
const identity = { certificate: { pem: issued.certificate }, key: { pem: issued.key } };
const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** Connects, exchanges a line so that tickets arrive, and returns the server's result of the resumption. */
async function visit(
  secure: SecureReactor,
  client: TlsContext,
  server: TlsContext,
  serverName = 'localhost',
): Promise<Resumption> {
  const pair = await shakenPair(secure, { client, server, serverName });
  await talk(...pair);
  const { resumption } = pair[1];
  expect(pair[0].reused).toBe(resumption === 'resumed');
  abort(...pair);
  return resumption;
}

/** Connects with a separate client context, and returns the session that the client gets. */
async function sessionFrom(
  secure: SecureReactor,
  server: TlsContext,
  options: TlsClientOptions = {},
  serverName = 'localhost',
): Promise<TlsSession> {
  const pair = await shakenPair(secure, { client: await secure.client({ ca, ...options }), server, serverName });
  await talk(...pair);
  const session = pair[0].session;
  abort(...pair);
  if (session === undefined) throw new Error('there is no session');
  return session;
}

async function comeBack(
  secure: SecureReactor,
  session: TlsSession,
  server: TlsContext,
  options: TlsClientOptions = {},
  serverName = 'localhost',
): Promise<{ resumption: Resumption; pair: [SecureConnection, SecureConnection] }> {
  const client = (await secure.client({ ca, ...options })).with({ session });
  const pair = await shakenPair(secure, { client, server, serverName });
  await talk(...pair);
  abort(...pair);
  return { resumption: pair[1].resumption, pair };
}

const policies: [string, () => Partial<TlsServerOptions>][] = [
  ['stateful, in the context', () => ({ resumption: 'stateful' })],
  ['stateful, in a store that answers later', () => ({ resumption: 'stateful', sessionStore: new MapStore() })],
  [
    'stateful, in a store that answers at once',
    () => ({ resumption: 'stateful', sessionStore: new MapStore((value) => value) }),
  ],
  ['stateless', () => ({ resumption: 'stateless' })],
];

describe.each(versions)('under %s', (version: TlsVersion) => {
  const protocols = { min: version, max: version };

  describe.each(policies)('%s', (_, policy) => {
    it('a client resumes its sessions by itself', () =>
      withSecureReactor(async (secure) => {
        const server = await secure.server({ ...identity, ...policy() });
        const client = await secure.client({ ca, protocols });
        const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
        const outcomes: Resumption[] = [];
        for (let index = 0; index < 6; index++) {
          const [accepted, connection] = await Promise.all([
            listener.accept().then(async (plain) => {
              const above = plain.secure(server);
              await above.handshake();
              return above;
            }),
            secure.reactor.connectSecure({
              host: '127.0.0.1',
              port: portOf(listener),
              secure: client,
              serverName: 'localhost',
            }),
          ]);
          await talk(connection, accepted);
          outcomes.push(accepted.resumption);
          expect(connection.reused).toBe(accepted.reused);
          abort(connection, accepted);
        }
        listener.close();
        expect(outcomes).toEqual(['not offered', 'resumed', 'resumed', 'resumed', 'resumed', 'resumed']);
        expect(server.sessions.statistics).toMatchObject({
          acceptGood: 6,
          hits: 5,
          resumption: { 'not offered': 1, resumed: 5 },
        });
      }));

    it('a session is not resumed for another server name', () =>
      withSecureReactor(async (secure) => {
        const server = await secure.server({ ...identity, ...policy() });
        const session = await sessionFrom(secure, server, { protocols });
        const { resumption } = await comeBack(secure, session, server, { protocols }, 'other.test');
        expect(['server name', 'unknown']).toContain(resumption);
        expect((await comeBack(secure, session, server, { protocols })).resumption).toBe('resumed');
      }));
  });

  it('sessions are not resumed by default', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server(identity);
      const client = await secure.client({ ca, protocols });
      expect(await visit(secure, client, server)).toBe('off');
      expect(await visit(secure, client, server)).toBe('off');
    }));

  // The class of CVE-2025-23419: a session of one context must not admit its client to another context.
  it.each<[string, Partial<TlsServerOptions>]>([
    ['required client certificates', { verify: 'fail_if_no_peer_cert', ca }],
    ['an optional client certificate', { verify: 'peer', ca }],
    ['other protocols', { alpn: ['x'] }],
    ['another expectation', { expect: { name: 'someone.test' }, verify: 'peer', ca }],
    ['accepted faults', { verify: 'peer', ca, dangerouslyAccept: ['CERT_HAS_EXPIRED'] }],
    ['another security level', { dangerouslyLowerSecurityLevel: 1 }],
    ['other ciphers', { ciphers: 'ECDHE+CHACHA20:ECDHE+AESGCM', ciphersuites: 'TLS_AES_256_GCM_SHA384' }],
  ])('a session is not resumed in a context with other settings: %s', (_, different) =>
    withSecureReactor(async (secure) => {
      const options = { protocols, certificate: { pem: person.certificate }, key: { pem: person.key }, alpn: ['x'] };
      for (const [kind, expected] of [
        ['stateful', 'scope'],
        ['stateless', 'scope'],
      ] as const) {
        const shared =
          kind === 'stateful'
            ? { resumption: kind, sessionStore: new MapStore(), sessionStoreKey: Buffer.alloc(32, 1) }
            : { resumption: kind, ticketKeys: new TicketKeys() };
        const open = await secure.server({ ...identity, ...shared });
        const closed = await secure.server({ ...identity, ...shared, ...different });
        const session = await sessionFrom(secure, open, options);
        expect((await comeBack(secure, session, closed, options)).resumption).toBe(expected);
        expect((await comeBack(secure, session, open, options)).resumption).toBe('resumed');
      }
    }),
  );

  it('a session of an open server name does not admit to a name that requires client certificates', () =>
    withSecureReactor(async (secure) => {
      for (const resumption of ['stateful', 'stateless'] as const) {
        const shared =
          resumption === 'stateful'
            ? { resumption, sessionStore: new MapStore(), sessionStoreKey: Buffer.alloc(32, 1) }
            : { resumption, ticketKeys: new TicketKeys() };
        const server = await secure.server({
          ...identity,
          ...shared,
          serverNames: {
            'other.test': await secure.server({ ...identity, ...shared, verify: 'fail_if_no_peer_cert', ca }),
          },
        });
        const session = await sessionFrom(secure, server, { protocols });
        const client = (await secure.client({ ca, protocols })).with({ session });
        const pair = await securePair(secure, { client, server, serverName: 'other.test' });
        // Under TLS 1.3 the client learns of the failure later.
        const [, failure] = await failuresOf(pair[0].receive(), pair[1].handshake());
        expect(failure).toMatchObject({ name: 'TlsError', reason: 'peer did not return a certificate' });
        abort(...pair);
      }
    }));

  it('sessions stay valid after the renewal of the certificate', () =>
    withSecureReactor(async (secure) => {
      const renewed = authority.issue({ names: ['localhost', 'other.test'] });
      for (const shared of [
        { resumption: 'stateful', sessionStore: new MapStore(), sessionStoreKey: Buffer.alloc(32, 1) } as const,
        { resumption: 'stateless', ticketKeys: new TicketKeys() } as const,
      ]) {
        const before = await secure.server({ ...identity, ...shared });
        const session = await sessionFrom(secure, before, { protocols });
        const after = await secure.server({
          certificate: { pem: renewed.certificate },
          key: { pem: renewed.key },
          ...shared,
        });
        expect((await comeBack(secure, session, after, { protocols })).resumption).toBe('resumed');
        await before.replaceCertificate({ certificate: { pem: renewed.certificate }, key: { pem: renewed.key } });
        expect((await comeBack(secure, session, before, { protocols })).resumption).toBe('resumed');
      }
    }));

  it('a stolen store reveals no session, and a changed or moved value is a miss', () =>
    withSecureReactor(async (secure) => {
      const store = new MapStore();
      const sessionStoreKey = Buffer.alloc(32, 1);
      const server = await secure.server({ ...identity, resumption: 'stateful', sessionStore: store, sessionStoreKey });
      const [one, two] = [
        await sessionFrom(secure, server, { protocols }),
        await sessionFrom(secure, server, { protocols }),
      ];
      const keyOf = (session: TlsSession): string =>
        [...store.values.keys()].find(
          (key) =>
            one.toDer().length > 0 &&
            session.toDer().length > 0 &&
            Buffer.from(session.toDer()).includes(Buffer.from(key, 'base64url')),
        ) ?? '';
      const [first, second] = [keyOf(one), keyOf(two)];
      expect(first).not.toBe(second);
      for (const value of store.values.values()) {
        for (const secret of [one, two])
          expect(Buffer.from(value).includes(Buffer.from(secret.toDer()).subarray(20, 60))).toBe(false);
        expect(() => TlsSession.fromDer(value)).toThrow();
      }
      const original = store.values.get(first) ?? new Uint8Array(0);
      for (const wrong of [
        store.values.get(second) ?? new Uint8Array(0),
        original.map((byte, index) => (index === 40 ? byte ^ 1 : byte)),
        original.subarray(0, 50),
        new Uint8Array(0),
        Buffer.from('garbage'),
        new Uint8Array(70_000),
      ]) {
        store.values.set(first, wrong);
        expect((await comeBack(secure, one, server, { protocols })).resumption).toBe('corrupted');
      }
      store.values.set(first, original);
      expect((await comeBack(secure, one, server, { protocols })).resumption).toBe('resumed');
      // Another process with the same store and another key.
      const thief = await secure.server({
        ...identity,
        resumption: 'stateful',
        sessionStore: store,
        sessionStoreKey: Buffer.alloc(32, 2),
      });
      expect((await comeBack(secure, one, thief, { protocols })).resumption).toBe('unknown');
    }));

  it('a store that fails or hangs costs a full handshake, and is left alone after five failures', () =>
    withSecureReactor(async (secure) => {
      const wrongs: [Resumption, <T>(value: T) => T | Promise<T>][] = [
        ['store failed', () => Promise.reject(new Error('down'))],
        [
          'store failed',
          () => {
            throw new Error('down at once');
          },
        ],
        ['store late', () => new Promise(() => undefined)],
      ];
      for (const [expected, wrong] of wrongs) {
        let answer: <T>(value: T) => T | Promise<T> = (value) => value;
        const store = new MapStore((value) => answer(value));
        const server = await secure.server({
          ...identity,
          resumption: 'stateful',
          sessionStore: store,
          sessionLookupMs: expected === 'store late' ? 5 : 60_000,
        });
        const session = await sessionFrom(secure, server, { protocols });
        answer = wrong;
        expect((await comeBack(secure, session, server, { protocols })).resumption).toBe(expected);
        for (let index = 0; index < 5; index++) await comeBack(secure, session, server, { protocols });
        const { asked } = store;
        answer = (value) => value;
        expect((await comeBack(secure, session, server, { protocols })).resumption).toBe('store resting');
        expect(store.asked).toBe(asked);
        expect(server.sessions.statistics.store).toMatchObject({ resting: true });
      }
    }));

  it('ids that the server did not make never reach the store', () =>
    withSecureReactor(async (secure) => {
      const [mine, theirs] = [new MapStore(), new MapStore()];
      const server = await secure.server({ ...identity, resumption: 'stateful', sessionStore: mine });
      const other = await secure.server({ ...identity, resumption: 'stateful', sessionStore: theirs });
      const session = await sessionFrom(secure, other, { protocols });
      expect((await comeBack(secure, session, server, { protocols })).resumption).toBe('unknown');
      await visit(secure, await secure.client({ ca }), server);
      expect(mine.asked).toBe(0);
    }));

  it('a revoked session is not resumed', () =>
    withSecureReactor(async (secure) => {
      for (const policy of [{}, { sessionStore: new MapStore() }]) {
        const server = await secure.server({ ...identity, resumption: 'stateful', ...policy });
        // A client of TLS 1.3 has another id for its session. So revoke the server's own sessions.
        const made: TlsSession[] = [];
        server.sessions.new$.subscribe((each) => made.push(each));
        const session = await sessionFrom(secure, server, { protocols });
        expect((await comeBack(secure, session, server, { protocols })).resumption).toBe('resumed');
        expect(made.length).toBeGreaterThan(0);
        for (const each of made) await server.sessions.revoke(each);
        expect((await comeBack(secure, session, server, { protocols })).resumption).toBe('unknown');
      }
    }));
});

it('an expired session is not resumed, wherever it is stored', () =>
  withSecureReactor(async (secure) => {
    const cases = await Promise.all(
      versions.flatMap((version) =>
        policies.map(async ([, policy]) => {
          const server = await secure.server({ ...identity, ...policy(), sessionTimeoutSeconds: 1 });
          const options = { protocols: { min: version, max: version } };
          const session = await sessionFrom(secure, server, options);
          // The client still wants to use the session; the server must refuse it.
          session.timeoutSeconds = 100;
          return { server, session, options };
        }),
      ),
    );
    // OpenSSL's sessions expire by the system clock, in whole seconds.
    await new Promise((resolve) => {
      setTimeout(resolve, 2_100);
    });
    // A client of TLS 1.3 does not even offer a ticket whose lifetime is over.
    for (const { server, session, options } of cases)
      expect(['expired', 'unknown', 'not offered']).toContain(
        (await comeBack(secure, session, server, options)).resumption,
      );
  }));

it('tickets of an older key are resumed and renewed, those of a dropped key are not', () =>
  withSecureReactor(async (secure) => {
    let now = 1_000_000_000_000;
    const ticketKeys = new TicketKeys({ rotateMs: 60_000, keep: 1, now: () => now });
    const server = await secure.server({ ...identity, resumption: 'stateless', ticketKeys });
    for (const version of versions) {
      const options = { protocols: { min: version, max: version } };
      const session = await sessionFrom(secure, server, options);
      now += 60_000;
      expect((await comeBack(secure, session, server, options)).resumption).toBe('resumed');
      now += 60_000;
      expect((await comeBack(secure, session, server, options)).resumption).toBe('unknown key');
    }
    expect(ticketKeys.size).toBeLessThanOrEqual(2);
    expect(ticketKeys.statistics.unknown).toBeGreaterThan(0);
    expect(ticketKeys.statistics.renewed).toBeGreaterThan(0);
  }));

it('processes that share a store rotate their ticket keys together', () =>
  withSecureReactor(async (secure) => {
    let now = 1_000_000_000_000;
    const shared = { rotateMs: 60_000, store: new MapStore(), storeKey: Buffer.alloc(32, 3), now: () => now };
    const rings = [new TicketKeys(shared), new TicketKeys(shared)];
    await rings[0].ready();
    await rings[1].ready();
    const [one, two] = await Promise.all(
      rings.map((ticketKeys) => secure.server({ ...identity, resumption: 'stateless', ticketKeys })),
    );
    for (let turn = 0; turn < 4; turn++) {
      expect((await comeBack(secure, await sessionFrom(secure, one), two)).resumption).toBe('resumed');
      expect((await comeBack(secure, await sessionFrom(secure, two), one)).resumption).toBe('resumed');
      now += 60_000;
      await Promise.all(rings.map((ring) => ring.ready()));
    }
    for (const ring of rings) ring.close();
  }));

it('a client gets one session a ticket, and does not offer it to a server at another address', () =>
  withSecureReactor(async (secure) => {
    const server = await secure.server({ ...identity, resumption: 'stateless', tickets: 1 });
    const client = await secure.client({ ca });
    const pairs = [];
    for (let index = 0; index < 2; index++) {
      const pair = await shakenPair(secure, { client, server });
      const sessions: TlsSession[] = [];
      pair[0].session$.subscribe((session) => sessions.push(session));
      await talk(...pair);
      expect(sessions.length).toBe(1);
      pairs.push(pair);
    }
    // Each pair has its own port, and a client offers a session only to the address that it came from.
    expect(pairs.map(([, far]) => far.resumption)).toEqual(['not offered', 'not offered']);
    abort(...pairs.flat());
  }));

it('copySessionFrom resumes the session of another connection, and throws after the handshake', () =>
  withSecureReactor(async (secure) => {
    const server = await secure.server({ ...identity, resumption: 'stateful' });
    const protocols = { max: 'TLSv1.2' } as const;
    const client = await secure.client({ ca, protocols, sessions: 'off' });
    const first = await shakenPair(secure, { client, server });
    const second = await securePair(secure, { client, server });
    second[0].copySessionFrom(first[0]);
    await Promise.all(second.map((each) => each.handshake()));
    expect(second[1].resumption).toBe('resumed');
    expect(() => {
      second[0].copySessionFrom(first[0]);
    }).toThrow('the handshake is complete');
    abort(...first, ...second);
  }));

it('a server seals with the given ticket keys, and its tickets outlive the server', () =>
  withSecureReactor(async (secure) => {
    const rotateMs = 60_000;
    const clock = new ManualClock(1_000_000 * rotateMs + rotateMs / 2);
    const keys = new TicketKeys({ rotateMs, now: clock.now });
    const first = await secure.server({ ...identity, resumption: 'stateless', ticketKeys: keys });
    const session = await sessionFrom(secure, first);
    expect(keys.statistics.sealed).toBe(2);
    first.close();
    const second = await secure.server({ ...identity, resumption: 'stateless', ticketKeys: keys });
    clock.pass(2 * rotateMs);
    expect((await comeBack(secure, session, second)).resumption).toBe('resumed');
    expect(keys.statistics).toEqual({ sealed: 3, renewed: 1, opened: 1, unknown: 0 });
    expect(second.sessions.statistics.tickets).toEqual(keys.statistics);
    clock.pass(rotateMs);
    expect((await comeBack(secure, session, second)).resumption).toBe('unknown key');
    keys.close();
  }));
