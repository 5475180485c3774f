/**
 * What SSLeay's `session.doc` (1998) says about sessions, statement by statement. The name of each test paraphrases the
 * document.
 */

import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { TlsContext } from '../context/context.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { abort, failuresOf, securePair, shakenPair, talk } from '../../testing/tls/pair.ts';
import { fileOf } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { CacheMode } from './internal-cache.ts';
import { TlsSession } from './session.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { comeBack, met, sessionFrom, shake } from '../../testing/stores/visits.ts';

// The document knows neither tickets nor TLS 1.3. Its statements hold there too, unless a test says otherwise.
const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const authority = new Authority();
const site = authority.issue({ names: ['localhost'] });
const person = authority.issue({ names: ['someone.test'] });
const own = { certificate: { pem: site.certificate }, key: { pem: site.key } };
const ca = { pem: authority.pem };

const serving = (secure: SecureReactor, options = {}): Promise<TlsContext> =>
  secure.server({ ...own, resumption: 'stateful', tickets: 1, ...options });
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/** Changes a session so that it was created long ago and has expired. */
function aged(session: TlsSession): TlsSession {
  session.time = new Date(Date.now() - 10_000_000);
  session.timeoutSeconds = 100;
  return session;
}

describe.each(versions)('as session.doc says, under %s:', (version) => {
  const protocols = { min: version, max: version };
  const visiting = { ca, protocols, sessions: 'off' } as const;

  it('a context has cached sessions and certificates, and serves many connections', () =>
    withSecureReactor(async (secure) => {
      const [server, client] = [await serving(secure), await secure.client(visiting)];
      for (let index = 0; index < 3; index++)
        await met(secure, client, server, (near) => {
          expect(near.verification().ok).toBe(true);
        });
      expect(server.sessions.list()).toHaveLength(3);
    }));

  it('a context can be closed while a connection uses it', async () => {
    await withSecureReactor(async (secure) => {
      const server = await TlsContext.server({ ...own, resumption: 'stateful' });
      await met(secure, await secure.client(visiting), server, async (near, far) => {
        server.close();
        await talk(near, far);
      });
      expect(() => server.sessions).toThrow('closed');
    });
  });

  it('by default the cache is in server mode: a successful accept adds its session, and a connect does not', () =>
    withSecureReactor(async (secure) => {
      const [server, client] = [await serving(secure), await secure.client(visiting)];
      expect(server.sessions.mode).toBe('server');
      await met(secure, client, server, () => undefined);
      expect([server, client].map(({ sessions }) => sessions.statistics.number)).toEqual([1, 0]);
      // A failed accept adds nothing.
      const stranger = await secure.client({ ...visiting, ca: 'bundled' });
      const pair = await securePair(secure, { client: stranger, server });
      await failuresOf(...pair.map((each) => each.handshake()));
      abort(...pair);
      expect(server.sessions.statistics.number).toBe(1);
    }));

  it('in client mode a connect adds its session to the cache', () =>
    withSecureReactor(async (secure) => {
      const [server, client] = [
        await serving(secure),
        await secure.client({ ...visiting, sessionCache: { mode: 'client' } }),
      ];
      await met(secure, client, server, () => undefined);
      expect(client.sessions.statistics.number).toBe(1);
    }));

  it.each<CacheMode>(['off', 'client', 'server', 'both'])('the mode can be set and read: %s', (mode) =>
    withSecureReactor(async (secure) => {
      expect((await serving(secure, { sessionCache: { mode } })).sessions.mode).toBe(mode);
    }),
  );

  it.each([true, false])('every 255 handshakes the cache drops expired sessions, if autoClear is %s', (autoClear) =>
    withSecureReactor(async (secure) => {
      const [server, donor] = [await serving(secure, { sessionCache: { autoClear } }), await serving(secure)];
      const client = await secure.client(visiting);
      await met(secure, client, donor, () => undefined);
      const [old] = donor.sessions.list();
      server.sessions.add(aged(old));
      await shake(secure, client, server, 254);
      expect(server.sessions.get(old.id)).toBeDefined();
      for (let index = 0; index < 2; index++) await met(secure, client, server, () => undefined);
      expect(server.sessions.get(old.id) === undefined).toBe(autoClear);
    }),
  );

  it('hits counts resumed sessions, misses failed lookups, and timeouts the sessions that were found expired', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      await comeBack(secure, session, server, visiting);
      expect(server.sessions.statistics).toMatchObject({ hits: 1, timeouts: 0 });
      server.sessions.flushAll();
      await comeBack(secure, session, server, visiting);
      expect(server.sessions.statistics).toMatchObject({
        hits: 1,
        misses: 1,
        resumption: { unknown: 1 },
      });
      server.sessions.flushAll();
      const next = await sessionFrom(secure, server, visiting);
      for (const each of server.sessions.list()) {
        server.sessions.remove(each);
        server.sessions.add(aged(each));
      }
      await comeBack(secure, next, server, visiting);
      expect(server.sessions.statistics).toMatchObject({ hits: 1, timeouts: 1 });
    }));

  it('new$ emits each session once it is in the cache, at the end of the handshake', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const made: string[] = [];
      server.sessions.new$.subscribe(({ id }) => made.push(id));
      await met(secure, await secure.client(visiting), server, (_, far) => {
        expect(made).toHaveLength(1);
        expect(far.session?.id).toBe(made[0]);
      });
      expect(server.sessions.list().map(({ id }) => id)).toEqual(made);
      // The subscriber owns the emitted session, so it has no reference to count.
    }));

  it('a store is asked for an id that is not in the cache, and returns the session or nothing', () =>
    withSecureReactor(async (secure) => {
      const store = new MapStore((value) => value);
      const server = await serving(secure, { sessionStore: store });
      const session = await sessionFrom(secure, server, visiting);
      expect(store.asked).toBe(0);
      expect(await comeBack(secure, session, server, visiting)).toBe('resumed');
      expect(store.asked).toBe(1);
      store.values.clear();
      expect(await comeBack(secure, session, server, visiting)).toBe('unknown');
      expect(store.asked).toBe(2);
    }));

  it('processes share sessions through a store, which may answer asynchronously, as its author wished', () =>
    withSecureReactor(async (secure) => {
      const shared = { sessionStore: new MapStore(), sessionStoreKey: Buffer.alloc(32, 1) };
      const [one, other] = [await serving(secure, shared), await serving(secure, shared)];
      const session = await sessionFrom(secure, one, visiting);
      const client = (await secure.client(visiting)).with({ session });
      const wants: string[] = [];
      const pair = await securePair(secure, { client, server: other });
      pair[1].wants$.subscribe(({ want }) => {
        wants.push(want);
      });
      await Promise.all(pair.map((each) => each.handshake()));
      await turn();
      expect(pair[1].resumption).toBe('resumed');
      expect(wants).toContain('lookup');
      abort(...pair);
    }));

  it('the sessions of a context can be listed and counted', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      for (let index = 0; index < 4; index++) await sessionFrom(secure, server, visiting);
      expect(new Set(server.sessions.list().map(({ id }) => id)).size).toBe(4);
      expect(server.sessions.statistics.number).toBe(4);
    }));

  it('a session is secret, and is created only when both ends have accepted their peer', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure, { verify: 'fail_if_no_peer_cert', ca });
      const pair = await securePair(secure, { client: await secure.client(visiting), server });
      await failuresOf(pair[0].receive(), pair[1].handshake());
      abort(...pair);
      expect(server.sessions.statistics.number).toBe(0);
      const session = await sessionFrom(secure, server, {
        ...visiting,
        certificate: { pem: person.certificate },
        key: { pem: person.key },
      });
      expect(server.sessions.statistics.number).toBe(1);
      expect(JSON.stringify(session)).not.toContain(Buffer.from(session.toDer()).toString('base64').slice(30, 50));
    }));

  it('a session can be set for the next connect', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      await met(secure, (await secure.client(visiting)).with({ session }), server, (near, far) => {
        expect([near.reused, far.reused]).toEqual([true, true]);
      });
    }));

  it('a session cannot be set on an open connection', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const client = await secure.client(visiting);
      const [first, second] = [
        await shakenPair(secure, { client, server }),
        await shakenPair(secure, { client, server }),
      ];
      expect(() => {
        second[0].copySessionFrom(first[0]);
      }).toThrow('copySessionFrom refused: the handshake is complete');
      second[0].abort();
      expect(() => {
        second[0].copySessionFrom(first[0]);
      }).toThrow('copySessionFrom refused: the connection is closed');
      await talk(...first);
      abort(...first, ...second);
    }));

  it('a session that is set on a server has no effect: the server creates one, or takes one from its cache', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      await met(secure, await secure.client(visiting), server.with({ session }), (_, far) => {
        expect(far.resumption).toBe('not offered');
      });
      await met(
        secure,
        (await secure.client(visiting)).with({ session }),
        server.with({ session: await sessionFrom(secure, server, visiting) }),
        (_, far) => {
          expect(far.resumption).toBe('resumed');
        },
      );
    }));

  it('a connection returns its session, and throws before the handshake', () =>
    withSecureReactor(async (secure) => {
      const pair = await securePair(secure, { client: await secure.client(visiting), server: await serving(secure) });
      for (const each of pair) expect(() => each.session).toThrow('session refused: the handshake is not complete');
      await Promise.all(pair.map((each) => each.handshake()));
      await talk(...pair);
      expect(pair.map(({ session }) => session?.protocol)).toEqual([version, version]);
      abort(...pair);
    }));

  it('a session can be removed from the cache and added again; add returns false when it is there already', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      const [kept] = server.sessions.list();
      expect(server.sessions.add(kept)).toBe(false);
      expect(server.sessions.remove(kept)).toBe(true);
      expect(await comeBack(secure, session, server, visiting)).toBe('unknown');
      expect(server.sessions.add(kept)).toBe(true);
      expect(await comeBack(secure, session, server, visiting)).toBe('resumed');
    }));

  it('setting a session for a connect does not add it to the cache', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      const client = await secure.client({ ...visiting, sessionCache: { mode: 'client', store: false } });
      await met(secure, client.with({ session }), server, () => undefined);
      expect(client.sessions.get(session.id)).toBeUndefined();
      client.sessions.add(session);
      expect(client.sessions.get(session.id)?.id).toBe(session.id);
    }));

  it('sessions can be written and read in DER and PEM, and passed between processes', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      const file = fileOf('session.pem', session.toPem());
      const reads = [TlsSession.fromDer(session.toDer()), TlsSession.fromPem(readFileSync(file, 'utf8'))];
      session.dispose();
      expect(reads.map(({ id }) => id)).toEqual([reads[0].id, reads[0].id]);
      for (const read of reads) expect(await comeBack(secure, read, server, visiting)).toBe('resumed');
    }));

  it('a session has a creation time and a timeout in seconds, which can be set and are part of its DER', () =>
    withSecureReactor(async (secure) => {
      const before = Math.floor(Date.now() / 1000) * 1000;
      const session = await sessionFrom(secure, await serving(secure), visiting);
      expect(session.time.getTime()).toBeGreaterThanOrEqual(before);
      expect(session.time.getTime()).toBeLessThanOrEqual(Date.now());
      session.time = new Date(1_600_000_000_000);
      session.timeoutSeconds = 99;
      const read = TlsSession.fromDer(session.toDer());
      expect([read.time.getTime(), read.timeoutSeconds]).toEqual([1_600_000_000_000, 99]);
    }));

  it('an expired session is removed from the cache with the next lookup', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      const [kept] = server.sessions.list();
      server.sessions.remove(kept);
      server.sessions.add(aged(kept));
      expect(server.sessions.get(kept.id)).toBeDefined();
      expect(await comeBack(secure, session, server, visiting)).not.toBe('resumed');
      // Under TLS 1.3 OpenSSL leaves the removal to a flush.
      expect(server.sessions.get(kept.id) === undefined).toBe(version === 'TLSv1.2');
      server.sessions.flushExpired();
      expect(server.sessions.get(kept.id)).toBeUndefined();
    }));

  it('a session whose time is renewed before that stays valid', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      const [kept] = server.sessions.list();
      server.sessions.remove(kept);
      aged(kept).time = new Date();
      server.sessions.add(kept);
      expect(await comeBack(secure, session, server, visiting)).toBe('resumed');
    }));

  it('a context has a timeout that all its new sessions inherit, and each can be given another', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      server.sessions.timeoutSeconds = 500;
      expect(server.sessions.timeoutSeconds).toBe(500);
      await sessionFrom(secure, server, visiting);
      const [kept] = server.sessions.list();
      expect(kept.timeoutSeconds).toBe(500);
      kept.timeoutSeconds = 50;
      expect([kept.timeoutSeconds, server.sessions.timeoutSeconds]).toEqual([50, 500]);
      // In the document a timeout of 0 means the default; here it is an error.
      expect(() => {
        server.sessions.timeoutSeconds = 0;
      }).toThrow(RangeError);
    }));

  it('setting or adding a session copies it, and each copy is freed separately', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      const [kept] = server.sessions.list();
      server.sessions.remove(kept);
      server.sessions.add(kept);
      kept.dispose();
      const pair = await securePair(secure, { client: (await secure.client(visiting)).with({ session }), server });
      session.dispose();
      await Promise.all(pair.map((each) => each.handshake()));
      expect(pair[1].resumption).toBe('resumed');
      abort(...pair);
    }));

  it('flushExpired drops what has expired by a given time, and flushAll drops everything', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure, { sessionTimeoutSeconds: 1000 });
      for (let index = 0; index < 3; index++) await sessionFrom(secure, server, visiting);
      const [kept] = server.sessions.list();
      server.sessions.remove(kept);
      server.sessions.add(aged(kept));
      server.sessions.flushExpired();
      expect(server.sessions.statistics.number).toBe(2);
      server.sessions.flushExpired(new Date(Date.now() + 2_000_000));
      expect(server.sessions.statistics.number).toBe(0);
      await sessionFrom(secure, server, visiting);
      server.sessions.flushAll();
      expect(server.sessions.statistics.number).toBe(0);
    }));

  it('a session does not replace the certificate and key: a full handshake needs them when it has expired', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      server.sessions.flushAll();
      await met(secure, (await secure.client(visiting)).with({ session }), server, (near) => {
        expect(near.reused).toBe(false);
        expect(near.verification().ok).toBe(true);
      });
      await expect(TlsContext.server({ resumption: 'stateful' })).rejects.toThrow('a TLS server needs a certificate');
    }));
});

describe('exactly as session.doc says, under TLS 1.2:', () => {
  const protocols = { max: 'TLSv1.2' } as const;
  const visiting = { ca, protocols, sessions: 'off' } as const;

  it('the time and timeout of a session are set when it is created, and not when it is resumed', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      const [kept] = server.sessions.list();
      server.sessions.remove(kept);
      kept.time = new Date(Date.now() - 1_000_000);
      const then = kept.time;
      server.sessions.add(kept);
      expect(await comeBack(secure, session, server, visiting)).toBe('resumed');
      expect(server.sessions.get(kept.id)?.time).toEqual(then);
      // The caller can renew the time just after the connection is made.
      await met(secure, (await secure.client(visiting)).with({ session }), server, (_, far) => {
        const present = far.session as TlsSession;
        server.sessions.remove(present);
        present.time = new Date();
        server.sessions.add(present);
      });
      expect(server.sessions.get(kept.id)?.time.getTime()).toBeGreaterThan(then.getTime());
    }));

  it('only the accepting side checks time and timeout', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure);
      const session = await sessionFrom(secure, server, visiting);
      expect(await comeBack(secure, aged(session), server, visiting)).toBe('resumed');
    }));

  it('copySessionFrom also copies the certificate and key, so that a new session can be made with them', () =>
    withSecureReactor(async (secure) => {
      const server = await serving(secure, { verify: 'peer', ca });
      const known = await secure.client({
        ...visiting,
        certificate: { pem: person.certificate },
        key: { pem: person.key },
      });
      const unknown = await secure.client(visiting);
      const first = await shakenPair(secure, { client: known, server });
      for (const expected of ['resumed', 'unknown']) {
        const pair = await securePair(secure, { client: unknown, server });
        pair[0].copySessionFrom(first[0]);
        await Promise.all(pair.map((each) => each.handshake()));
        expect(pair[1].resumption).toBe(expected);
        expect(pair[1].peerCertificate()?.checkHost('someone.test')).toBe('someone.test');
        await talk(...pair);
        abort(...pair);
        server.sessions.flushAll();
      }
      abort(...first);
    }));

  // The document's example: a server that uses every operation on sessions.
  it('the example server loads from DER and PEM, accepts, saves, connects back, removes, flushes and copies', () =>
    withSecureReactor(async (secure) => {
      // Sessions of another process, in DER and in a PEM file.
      const another = await serving(secure);
      const [inBinary, inFile] = [
        await sessionFrom(secure, another, visiting),
        await sessionFrom(secure, another, visiting),
      ];
      const [der, file] = [
        another.sessions.get(inBinary.id)?.toDer() ?? new Uint8Array(0),
        fileOf('saved.pem', another.sessions.get(inFile.id)?.toPem() ?? ''),
      ];

      // Create a context with a certificate and key, so that it can create new sessions when needed.
      const server = await serving(secure);
      const client = await secure.client(visiting);

      // Add a session from DER to the cache, and one from a PEM file.
      using fromBinary = TlsSession.fromDer(der);
      expect(server.sessions.add(fromBinary)).toBe(true);
      using fromFile = TlsSession.fromPem(readFileSync(file, 'utf8'));
      expect(server.sessions.add(fromFile)).toBe(true);
      for (const session of [inBinary, inFile])
        expect(await comeBack(secure, session, server, visiting)).toBe('resumed');

      // Accept. Setting a session on the connection would have no effect. Print the session's details, and save it.
      const [caller, accepted] = await shakenPair(secure, { client, server });
      const session = accepted.session as TlsSession;
      expect(session.print()).toContain('Master-Key: (hidden)');
      const saved = fileOf('session.pem', session.toPem());

      // Connect back to the caller with the same session: the caller got it from us, and listens with the same
      // settings.
      const them = await serving(secure);
      them.sessions.add(TlsSession.fromPem(readFileSync(saved, 'utf8')));
      // A server created this session, so it contains no certificate of the caller. Only its secret proves that the
      // peer is the caller.
      const back = await secure.client({ ...visiting, dangerouslyVerifyNobody: true });
      const [connected, met] = await shakenPair(secure, { client: back.with({ session }), server: them });
      expect([connected.reused, met.reused]).toEqual([true, true]);
      expect(connected.session?.id).toBe(session.id);

      // Accept no more connections with this session. Existing connections continue, and other servers still resume it.
      expect(server.sessions.remove(session)).toBe(true);
      expect(await comeBack(secure, caller.session as TlsSession, server, visiting)).toBe('unknown');
      await talk(caller, accepted);
      await talk(connected, met);
      expect(accepted.session?.id).toBe(session.id);
      const [again, metAgain] = await shakenPair(secure, {
        client: back.with({ session: accepted.session }),
        server: them,
      });
      expect(metAgain.reused).toBe(true);

      // After ten weeks: drop the expired sessions.
      const living = server.sessions.statistics.number;
      expect(server.sessions.add(aged(fromBinary))).toBe(false);
      server.sessions.flushExpired();
      expect(server.sessions.statistics.number).toBe(living - 1);
      expect(server.sessions.get(fromFile.id)).toBeDefined();

      // Flush everything: each new connection needs a full handshake with its public key operations.
      server.sessions.flushAll();
      expect(server.sessions.list()).toEqual([]);
      expect(await comeBack(secure, inFile, server, visiting)).toBe('unknown');

      // Finally, copy the session and identity of a connection.
      const copy = await securePair(secure, { client: back, server: them });
      copy[0].copySessionFrom(again);
      await Promise.all(copy.map((each) => each.handshake()));
      expect(copy[1].reused).toBe(true);
      abort(caller, accepted, connected, met, again, metAgain, ...copy);
    }));

  it('beyond the document: a server does not resume a session that was created as a client', () =>
    withSecureReactor(async (secure) => {
      const [server, other] = [await serving(secure), await serving(secure)];
      const session = await sessionFrom(secure, server, visiting);
      other.sessions.add(session);
      expect(await comeBack(secure, session, other, visiting)).toBe('unknown');
    }));
});
