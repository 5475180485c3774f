import { describe, expect, it } from 'vitest';

import type { TlsContext } from '../context/context.ts';
import type { TlsServerOptions } from '../context/options.ts';
import { abort, shakenPair, talk } from '../../testing/tls/pair.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import { ClientSessions } from './client-sessions.ts';
import type { CacheMode } from './internal-cache.ts';
import type { SessionStatistics } from './session-cache.ts';
import type { TlsSession } from './session.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { TicketKeys } from './ticket-keys.ts';
import { comeBack, met, sessionFrom, shake } from '../../testing/stores/visits.ts';

// Under TLS 1.2 a handshake creates one session; under TLS 1.3 one a ticket, and these servers send one ticket.
const versions = ['TLSv1.2', 'TLSv1.3'] as const;

const nothing: Omit<SessionStatistics, 'resumption' | 'tickets' | 'store'> = {
  number: 0,
  connect: 0,
  connectGood: 0,
  connectRenegotiated: 0,
  accept: 0,
  acceptGood: 0,
  acceptRenegotiated: 0,
  hits: 0,
  callbackHits: 0,
  misses: 0,
  timeouts: 0,
  cacheFull: 0,
};

/** The options of a client that keeps no session. */
const passing = { sessions: 'off' } as const;

/** Waits a turn, in which removals that OpenSSL reported are emitted. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

describe.each(versions)('the cache of a context, under %s,', (version) => {
  const protocols = { min: version, max: version };
  const visiting = { ...passing, protocols };

  async function stateful(secure: SecureReactor, options: Partial<TlsServerOptions> = {}): Promise<TlsContext> {
    return secure.server({ resumption: 'stateful', tickets: 1, ...options });
  }

  // Each of the four modes, for a server and for a client.
  it.each<[CacheMode, number, number]>([
    ['off', 0, 0],
    ['client', 0, 1],
    ['server', 1, 0],
    ['both', 1, 1],
  ])('in mode %s keeps %i of a server and %i of a client', (mode, ofServer, ofClient) =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure, { sessionCache: { mode } });
      const client = await secure.client({ ...visiting, sessionCache: { mode } });
      expect([server.sessions.mode, client.sessions.mode]).toEqual([mode, mode]);
      // A side that caches nothing also creates nothing, so each side meets one that caches.
      await met(secure, client, await stateful(secure), () => undefined);
      await met(secure, await secure.client(visiting), server, () => undefined);
      expect(server.sessions.statistics.number).toBe(ofServer);
      expect(client.sessions.statistics.number).toBe(ofClient);
      expect(server.sessions.list()).toHaveLength(ofServer);
    }),
  );

  it('is on for stateful servers without a store, and off for all others', () =>
    withSecureReactor(async (secure) => {
      expect((await secure.server()).sessions.mode).toBe('off');
      expect((await secure.server({ resumption: 'stateless' })).sessions.mode).toBe('off');
      expect((await secure.client(passing)).sessions.mode).toBe('off');
      const kinds = [
        await stateful(secure),
        await stateful(secure, { sessionStore: new MapStore() }),
        await secure.client({ protocols }),
      ];
      const client = await secure.client(visiting);
      for (const server of kinds.slice(0, 2)) await met(secure, client, server, () => undefined);
      await met(secure, kinds[2], kinds[0], () => undefined);
      // A session that is stored elsewhere is not stored twice.
      expect(kinds.map(({ sessions }) => sessions.statistics.number)).toEqual([2, 0, 0]);
    }));

  it('counts handshakes, hits, misses and timeouts, of the server and of the client', () =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure);
      const client = await secure.client(visiting);
      expect(server.sessions.statistics).toEqual({ ...nothing, resumption: {}, tickets: undefined, store: undefined });
      expect(client.sessions.statistics).toEqual({ ...nothing, resumption: {}, tickets: undefined, store: undefined });
      const session = await sessionFrom(secure, server, visiting);
      expect(server.sessions.statistics).toEqual({
        ...nothing,
        number: 1,
        accept: 1,
        acceptGood: 1,
        resumption: { 'not offered': 1 },
        tickets: undefined,
        store: undefined,
      });
      await met(secure, client.with({ session }), server, (near) => {
        expect(near.reused).toBe(true);
      });
      expect(server.sessions.statistics).toMatchObject({
        accept: 2,
        acceptGood: 2,
        hits: 1,
        misses: 0,
        callbackHits: 0,
        resumption: { 'not offered': 1, resumed: 1 },
      });
      expect(client.sessions.statistics).toMatchObject({
        connect: 1,
        connectGood: 1,
        accept: 0,
        hits: 1,
        resumption: { resumed: 1 },
      });
      // A session that is missing, and one that has expired.
      server.sessions.flushAll();
      expect(await comeBack(secure, session, server, visiting)).toBe('unknown');
      const { misses } = server.sessions.statistics;
      expect(misses).toBe(1);
      const [kept] = server.sessions.list();
      const offered = await sessionFrom(secure, server, visiting);
      for (const each of server.sessions.list()) {
        server.sessions.remove(each);
        each.time = new Date(Date.now() - 100_000_000);
        each.timeoutSeconds = 1;
        server.sessions.add(each);
      }
      expect(kept.disposed).toBe(false);
      expect(['expired', 'unknown']).toContain(await comeBack(secure, offered, server, visiting));
      expect(server.sessions.statistics.timeouts).toBe(1);
      expect(server.sessions.statistics.acceptGood).toBe(5);
    }));

  it('counts failed handshakes separately from successful ones', () =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure);
      const stranger = await secure.client({ ...visiting, ca: 'bundled' });
      await expect(met(secure, stranger, server, () => undefined)).rejects.toThrow();
      expect(stranger.sessions.statistics).toMatchObject({ connect: 1, connectGood: 0 });
      expect(server.sessions.statistics).toMatchObject({ accept: 1, acceptGood: 0, resumption: {} });
    }));

  it('counts hits that came from a store separately', () =>
    withSecureReactor(async (secure) => {
      const store = new MapStore();
      const server = await stateful(secure, { sessionStore: store });
      const session = await sessionFrom(secure, server, visiting);
      expect(await comeBack(secure, session, server, visiting)).toBe('resumed');
      expect(server.sessions.statistics).toMatchObject({
        number: 0,
        hits: 1,
        callbackHits: 1,
        store: { lost: 0, failures: 0, resting: false },
      });
      expect(server.sessions.statistics.store?.saved).toBeGreaterThan(0);
    }));

  it('is not searched with lookup: false, but still stores sessions', () =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure, { sessionCache: { lookup: false } });
      const session = await sessionFrom(secure, server, visiting);
      expect(server.sessions.statistics.number).toBe(1);
      expect(await comeBack(secure, session, server, visiting)).toBe('unknown');
      expect(server.sessions.statistics.hits).toBe(0);
    }));

  it('stores nothing with store: false, but is still searched', () =>
    withSecureReactor(async (secure) => {
      const open = await stateful(secure, { sessionScope: 'shared' });
      const server = await stateful(secure, { sessionScope: 'shared', sessionCache: { store: false } });
      const session = await sessionFrom(secure, server, visiting);
      expect(server.sessions.statistics.number).toBe(0);
      expect(await comeBack(secure, session, server, visiting)).toBe('unknown');
      // A session that is added explicitly is found.
      const brought = await sessionFrom(secure, open, visiting);
      for (const each of open.sessions.list()) expect(server.sessions.add(each)).toBe(true);
      expect(await comeBack(secure, brought, server, visiting)).toBe('resumed');
    }));

  it('is bounded: evicted sessions are counted', () =>
    withSecureReactor(async (secure) => {
      // OpenSSL keeps one session less than the size.
      const server = await stateful(secure, { sessionCache: { size: 4 } });
      expect(server.sessions.size).toBe(4);
      const removed: string[] = [];
      server.sessions.remove$.subscribe((id) => removed.push(id));
      const sessions: TlsSession[] = [];
      for (let index = 0; index < 5; index++) sessions.push(await sessionFrom(secure, server, visiting));
      await turn();
      expect(server.sessions.statistics).toMatchObject({ number: 3, cacheFull: 2 });
      expect(new Set(removed).size).toBe(2);
      // The oldest session was evicted.
      expect(await comeBack(secure, sessions[0], server, visiting)).toBe('unknown');
      server.sessions.size = 1;
      await sessionFrom(secure, server, visiting);
      expect(server.sessions.statistics.number).toBe(1);
      server.sessions.size = 0;
      for (let index = 0; index < 4; index++) await sessionFrom(secure, server, visiting);
      expect(server.sessions.statistics).toMatchObject({ number: 5, cacheFull: 6 });
      for (const wrong of [-1, 1.5, NaN])
        expect(() => {
          server.sessions.size = wrong;
        }).toThrow(RangeError);
    }));

  it('has a size of 20,480 by default', () =>
    withSecureReactor(async (secure) => {
      expect((await stateful(secure)).sessions.size).toBe(20_480);
      for (const size of [-1, 1.5, NaN])
        await expect(stateful(secure, { sessionCache: { size } })).rejects.toThrow(RangeError);
      await expect(stateful(secure, { sessionCache: { mode: 'everything' as CacheMode } })).rejects.toThrow(
        "sessionCache.mode takes 'off' or 'client' or 'server' or 'both'",
      );
    }));

  it('emits new sessions, and is not affected when a subscriber disposes of them', () =>
    withSecureReactor(async (secure) => {
      const store = new MapStore();
      const server = await stateful(secure, { sessionStore: store });
      const sessions = new ClientSessions();
      const client = await secure.client({ ...visiting, sessions });
      let told = 0;
      for (const context of [server, client])
        context.sessions.new$.subscribe((session) => {
          told++;
          session.dispose();
        });
      await met(secure, client, server, () => undefined);
      await server.sessions.saved();
      expect([told, store.values.size, sessions.size]).toEqual([2, 1, 1]);
    }));

  it('emits each session as it is made, and the id of each that is removed', () =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure);
      const client = await secure.client({ ...visiting, sessions: new ClientSessions() });
      const [made, atClient, removed]: [string[], string[], string[]] = [[], [], []];
      server.sessions.new$.subscribe(({ id }) => made.push(id));
      client.sessions.new$.subscribe(({ id }) => atClient.push(id));
      server.sessions.remove$.subscribe((id) => removed.push(id));
      for (let index = 0; index < 3; index++) await met(secure, client, server, () => undefined);
      expect(made).toHaveLength(3);
      expect(atClient).toHaveLength(3);
      expect(new Set(server.sessions.list().map(({ id }) => id))).toEqual(new Set(made));
      const [first, second] = server.sessions.list();
      server.sessions.remove(first);
      await turn();
      expect(removed).toEqual([first.id]);
      server.sessions.flushAll();
      await turn();
      expect(removed).toHaveLength(3);
      expect(removed).toContain(second.id);
    }));

  it('completes its observables when the context is closed, and throws after that', () =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure);
      await sessionFrom(secure, server, visiting);
      const { sessions } = server;
      let ends = 0;
      const removed: string[] = [];
      sessions.new$.subscribe({ complete: () => ends++ });
      sessions.remove$.subscribe({ next: (id) => removed.push(id), complete: () => ends++ });
      const [kept] = sessions.list();
      sessions.remove(kept);
      server.close();
      await turn();
      expect(ends).toBe(2);
      expect(removed).toEqual([]);
      for (const use of [
        () => sessions.list(),
        () => sessions.statistics,
        () => sessions.add(kept),
        () => {
          sessions.flushAll();
        },
        () => sessions.size,
        () => server.sessions,
      ])
        expect(use).toThrow('the TLS context is closed');
    }));

  it('can be listed and searched, and sessions can be added and removed', () =>
    withSecureReactor(async (secure) => {
      const [server, other] = [await stateful(secure), await stateful(secure)];
      for (let index = 0; index < 3; index++) await sessionFrom(secure, server, visiting);
      const all = server.sessions.list();
      expect(all).toHaveLength(3);
      const [one] = all;
      expect(server.sessions.get(one.id)?.id).toBe(one.id);
      expect(server.sessions.get(one.id.toUpperCase())?.id).toBe(one.id);
      expect(server.sessions.get('00')).toBeUndefined();
      expect(server.sessions.get('')).toBeUndefined();
      expect(other.sessions.get(one.id)).toBeUndefined();
      expect(server.sessions.add(one)).toBe(false);
      expect(server.sessions.remove(one)).toBe(true);
      expect(server.sessions.remove(one)).toBe(false);
      expect(server.sessions.get(one.id)).toBeUndefined();
      expect(server.sessions.add(one)).toBe(true);
      expect(other.sessions.add(one)).toBe(true);
      expect(server.sessions.statistics.number).toBe(3);
      // The session is a copy: disposing of it removes nothing from the cache.
      one.dispose();
      expect(server.sessions.statistics.number).toBe(3);
      expect(() => server.sessions.add(one)).toThrow('the session was disposed of');
    }));

  it('drops the sessions that have expired at a given moment, or all sessions', () =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure);
      for (let index = 0; index < 3; index++) await sessionFrom(secure, server, visiting);
      const now = Date.now();
      for (const [index, each] of server.sessions.list().entries()) {
        server.sessions.remove(each);
        each.time = new Date(now);
        each.timeoutSeconds = (index + 1) * 1000;
        expect(server.sessions.add(each)).toBe(true);
      }
      server.sessions.flushExpired();
      expect(server.sessions.statistics.number).toBe(3);
      server.sessions.flushExpired(new Date(now + 1_500_000));
      expect(
        server.sessions
          .list()
          .map(({ timeoutSeconds }) => timeoutSeconds)
          .sort(),
      ).toEqual([2000, 3000]);
      // The start of the epoch is a moment like any other: nothing has expired by then.
      server.sessions.flushExpired(new Date(0));
      expect(server.sessions.statistics.number).toBe(2);
      server.sessions.flushAll();
      expect(server.sessions.statistics.number).toBe(0);
    }));

  it.each([true, false])('drops expired sessions by itself after 255 handshakes, if autoClear is %s', (autoClear) =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure, { sessionCache: { autoClear } });
      const donor = await stateful(secure);
      await sessionFrom(secure, donor, visiting);
      const [old] = donor.sessions.list();
      old.time = new Date(Date.now() - 10_000_000);
      old.timeoutSeconds = 1;
      expect(server.sessions.add(old)).toBe(true);
      const client = await secure.client(visiting);
      await shake(secure, client, server, 254);
      expect(server.sessions.get(old.id)).toBeDefined();
      // OpenSSL clears when it creates another session: under TLS 1.2 before it counts the handshake, under TLS 1.3
      // after it.
      for (let index = 0; index < 2; index++) await met(secure, client, server, () => undefined);
      expect(server.sessions.get(old.id) === undefined).toBe(autoClear);
    }),
  );

  it('gives new sessions the timeout that is set', () =>
    withSecureReactor(async (secure) => {
      const server = await stateful(secure, { sessionTimeoutSeconds: 500 });
      expect(server.sessions.timeoutSeconds).toBe(500);
      await sessionFrom(secure, server, visiting);
      server.sessions.timeoutSeconds = 900.5;
      await sessionFrom(secure, server, visiting);
      expect(
        server.sessions
          .list()
          .map(({ timeoutSeconds }) => timeoutSeconds)
          .sort(),
      ).toEqual([500, 900]);
      server.sessions.timeoutSeconds = 100 * 24 * 3600;
      expect(server.sessions.timeoutSeconds).toBe(7 * 24 * 3600);
      for (const wrong of [0, -1, NaN])
        expect(() => {
          server.sessions.timeoutSeconds = wrong;
        }).toThrow(RangeError);
      expect((await stateful(secure)).sessions.timeoutSeconds).toBe(7200);
    }));

  it('resumes only sessions with its own id context', () =>
    withSecureReactor(async (secure) => {
      const [server, same, other] = [
        await stateful(secure),
        await stateful(secure),
        await stateful(secure, { sessionScope: 'another' }),
      ];
      const session = await sessionFrom(secure, server, visiting);
      const contexts = new Set(server.sessions.list().map(({ idContext }) => idContext));
      expect(contexts.size).toBe(1);
      for (const each of server.sessions.list()) for (const there of [same, other]) there.sessions.add(each);
      expect(await comeBack(secure, session, same, visiting)).toBe('resumed');
      expect(await comeBack(secure, session, other, visiting)).toBe('unknown');
    }));

  it.each(['stateful', 'stateless'] as const)(
    'with a given id context shares sessions with the same id context, if everything else agrees: %s',
    (resumption) =>
      withSecureReactor(async (secure) => {
        const shared =
          resumption === 'stateful'
            ? { resumption, sessionStore: new MapStore(), sessionStoreKey: Buffer.alloc(32, 1) }
            : { resumption, ticketKeys: new TicketKeys() };
        const [one, same, theirs, other] = [
          await stateful(secure, shared),
          await stateful(secure, shared),
          await stateful(secure, shared),
          await stateful(secure, { ...shared, sessionScope: 'another' }),
        ];
        for (const server of [one, same, other]) server.sessions.idContext = Buffer.from('ours');
        theirs.sessions.idContext = Buffer.from('theirs');
        const session = await sessionFrom(secure, one, visiting);
        expect(await comeBack(secure, session, same, visiting)).toBe('resumed');
        for (const server of [theirs, other])
          expect(await comeBack(secure, session, server, visiting)).not.toBe('resumed');
        expect(() => {
          one.sessions.idContext = Buffer.alloc(33);
        }).toThrow(RangeError);
      }),
  );
});

it('the cache of a context counts renegotiations', () =>
  withSecureReactor(async (secure) => {
    const protocols = { max: 'TLSv1.2' } as const;
    const [client, server] = [
      await secure.client({ protocols, sessions: 'off' }),
      await secure.server({ protocols, resumption: 'stateful', allowPeerRenegotiations: 1 }),
    ];
    const pair = await shakenPair(secure, { client, server });
    await talk(...pair);
    const heard = pair[1].receive();
    await Promise.all([pair[0].renegotiate(), pair[0].send('on\n'), heard]);
    abort(...pair);
    expect(client.sessions.statistics).toMatchObject({ connectRenegotiated: 1 });
    expect(server.sessions.statistics).toMatchObject({ acceptRenegotiated: 1 });
  }));
