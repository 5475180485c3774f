import { beforeAll, describe, expect, it } from 'vitest';

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { TlsContext } from '../context/context.ts';
import type { TlsConnectionOptions, TlsServerOptions, TlsVersion } from '../context/options.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { abort, talk } from '../../testing/tls/pair.ts';
import { localhost, withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import { ClientSessions } from './client-sessions.ts';
import type { Resumption } from './resumption.ts';
import { TlsSession } from './session.ts';
import { ManualClock } from '../../testing/stores/manual-clock.ts';
import { manualTime } from '../../testing/stores/manual-time.ts';
import { MapStore } from '../../testing/stores/map-store.ts';
import { sessionFrom } from '../../testing/stores/visits.ts';

const made = new Map<string, Uint8Array>();
let bornAt = 0;

beforeAll(() =>
  withSecureReactor(async (secure) => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const resumption of ['stateful', 'stateless'] as const) {
        const session = await sessionFrom(secure, await secure.server({ resumption, sessionTimeoutSeconds: 3600 }), {
          protocols: { min: version, max: version },
        });
        session.timeoutSeconds = 3600;
        made.set(`${version} ${resumption}`, session.toDer());
        bornAt = session.time.getTime();
        session.dispose();
      }
    }
  }),
);

/**
 * A session with a lifetime of an hour. Its number is its age order: its time lies this many seconds after `bornAt`.
 */
function session(version: TlsVersion, number = 0, resumption = 'stateless'): TlsSession {
  const each = TlsSession.fromDer(made.get(`${version} ${resumption}`) ?? new Uint8Array(0));
  each.time = new Date(bornAt + number * 1000);
  return each;
}

const numberOf = (each: TlsSession | undefined): number | undefined =>
  each === undefined ? undefined : (each.time.getTime() - bornAt) / 1000;

/** A `ClientSessions` with a clock that starts when the sessions were made. */
function kept(options = {}): { sessions: ClientSessions; clock: ManualClock } {
  const clock = new ManualClock(bornAt);
  return { clock, sessions: new ClientSessions({ now: clock.now, ...options }) };
}

describe('the sessions of a client', () => {
  it('are taken newest first, once under TLS 1.3 and repeatedly under TLS 1.2', () => {
    const { sessions } = kept();
    for (const number of [1, 2, 3]) {
      expect(sessions.add('three', session('TLSv1.3', number))).toBe(true);
      expect(sessions.add('two', session('TLSv1.2', number))).toBe(true);
    }
    expect(sessions.size).toBe(6);
    expect([1, 2, 3, 4].map(() => numberOf(sessions.take('three')))).toEqual([3, 2, 1, undefined]);
    expect([1, 2, 3, 4].map(() => numberOf(sessions.take('two')))).toEqual([3, 3, 3, 3]);
    expect(sessions.take('another')).toBeUndefined();
    expect(sessions.size).toBe(3);
  });

  it('are copies: disposing of a taken session does not affect another', () => {
    const { sessions } = kept();
    sessions.add('two', session('TLSv1.2'));
    sessions.take('two')?.dispose();
    expect(sessions.take('two')?.disposed).toBe(false);
  });

  it('are bounded per server: the oldest is dropped and wiped', () => {
    const { sessions } = kept({ maxPerServer: 2 });
    const all = [1, 2, 3].map((number) => session('TLSv1.3', number));
    for (const each of all) sessions.add('a', each);
    expect(all.map(({ disposed }) => disposed)).toEqual([true, false, false]);
    expect(sessions.size).toBe(2);
    expect([1, 2, 3].map(() => numberOf(sessions.take('a')))).toEqual([3, 2, undefined]);
  });

  it('are bounded in the number of servers: the least recently used server is dropped', () => {
    const { sessions } = kept({ maxServers: 3 });
    const first = session('TLSv1.2', 1);
    sessions.add('a', session('TLSv1.2', 0));
    sessions.add('b', first);
    sessions.add('c', session('TLSv1.2', 2));
    // Both take and add count as use.
    sessions.take('a')?.dispose();
    sessions.add('d', session('TLSv1.2', 3));
    expect(first.disposed).toBe(true);
    sessions.add('c', session('TLSv1.2', 4));
    sessions.add('e', session('TLSv1.2', 5));
    expect(['a', 'b', 'c', 'd', 'e'].map((key) => numberOf(sessions.take(key)))).toEqual([
      undefined,
      undefined,
      4,
      3,
      5,
    ]);
  });

  it('do not count towards the bound of servers once they are taken', () => {
    const { sessions } = kept({ maxServers: 2 });
    sessions.add('a', session('TLSv1.3'));
    sessions.add('b', session('TLSv1.3'));
    sessions.take('b')?.dispose();
    sessions.add('c', session('TLSv1.3'));
    expect(['a', 'b', 'c'].map((key) => sessions.take(key) !== undefined)).toEqual([true, false, true]);
    expect(sessions.export()).toEqual([]);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('are dropped when they expire, under %s', (version) => {
    const { sessions, clock } = kept();
    sessions.add('a', session(version, 0));
    sessions.add('a', session(version, 10));
    clock.pass(3_599_999);
    const late = session(version, 0);
    expect(sessions.add('b', late)).toBe(true);
    clock.pass(1);
    expect(sessions.take('b')).toBeUndefined();
    expect(late.disposed).toBe(true);
    expect(numberOf(sessions.take('a'))).toBe(10);
    clock.pass(10_000);
    expect(sessions.take('a')).toBeUndefined();
    const gone = session(version, 0);
    expect(sessions.add('a', gone)).toBe(false);
    expect(gone.disposed).toBe(true);
    expect(sessions.size).toBe(0);
  });

  it('that cannot be resumed are wiped at once', () =>
    withSecureReactor(async (secure) => {
      const { sessions } = kept();
      // No ticket has arrived under TLS 1.3 yet.
      const client = await secure.client({ sessions: 'off' });
      const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
      const server = await secure.server();
      const [far, near] = await Promise.all([
        listener.accept().then((plain) => plain.secure(server)),
        secure.reactor
          .connect({ host: '127.0.0.1', port: portOf(listener) })
          .then((plain) => plain.secure(client, { serverName: 'localhost' })),
      ]);
      await Promise.all([far.handshake(), near.handshake()]);
      const without = near.session;
      abort(near, far);
      listener.close();
      expect(without?.resumable).toBe(false);
      expect(sessions.add('a', without as TlsSession)).toBe(false);
      expect(without?.disposed).toBe(true);
      expect(sessions.size).toBe(0);
    }));

  it('whose ticket has no lifetime are dropped (RFC 8446, section 4.6.1)', () => {
    const { sessions } = kept();
    const hint = session('TLSv1.3');
    expect(hint.ticketLifetimeHint).toBe(3600);
    const der = withoutHint(hint.toDer());
    const none = TlsSession.fromDer(der);
    expect(none.ticketLifetimeHint).toBe(0);
    expect(sessions.add('a', none)).toBe(false);
    // Under TLS 1.2 a missing lifetime only means that the server does not state one (RFC 5077, section 3.3).
    expect(sessions.add('a', TlsSession.fromDer(withoutHint(session('TLSv1.2').toDer())))).toBe(true);
  });

  it('are kept for at most seven days, whatever their timeout', () => {
    const { sessions, clock } = kept();
    const long = session('TLSv1.2', 0, 'stateful');
    long.timeoutSeconds = 365 * 24 * 3600;
    sessions.add('a', long);
    clock.pass(7 * 24 * 3_600_000 - 1);
    expect(sessions.take('a')).toBeDefined();
    clock.pass(1);
    expect(sessions.take('a')).toBeUndefined();
  });

  it('are kept for at most seven days when their DER claims more', () => {
    const { sessions, clock } = kept();
    // The bytes may come from anywhere. Change the timeout from an hour to 65,535 hours.
    const der = Buffer.from(session('TLSv1.2', 0, 'stateful').toDer());
    const at = der.indexOf(Buffer.of(0xa2, 0x04, 0x02, 0x02, 0x0e, 0x10));
    expect(at).toBeGreaterThan(0);
    const longer = TlsSession.fromDer(resized(der, at, Buffer.of(0xa2, 0x06, 0x02, 0x04, 0x0e, 0x10, 0, 0)));
    expect(longer.expiresAt.getTime() - bornAt).toBeLessThanOrEqual(7 * 24 * 3_600_000);
    sessions.add('a', longer);
    clock.pass(7 * 24 * 3_600_000);
    expect(sessions.take('a')).toBeUndefined();
  });

  it('are dropped when the lifetime of their ticket is over, even before their own timeout', () => {
    const { sessions, clock } = kept();
    const each = session('TLSv1.3');
    each.timeoutSeconds = 100_000;
    sessions.add('a', each);
    clock.pass(3_600_000);
    expect(sessions.take('a')).toBeUndefined();
  });

  it('can be forgotten by key or all at once, and are wiped', async () => {
    const { sessions } = kept();
    const all = ['a', 'a', 'b', 'c'].map((key) => {
      const each = session('TLSv1.2');
      sessions.add(key, each);
      return each;
    });
    await sessions.forget('a');
    await sessions.forget('nobody');
    expect(all.map(({ disposed }) => disposed)).toEqual([true, true, false, false]);
    sessions.clear();
    expect(all.every(({ disposed }) => disposed)).toBe(true);
    expect(sessions.size).toBe(0);
  });

  it('are wiped by close, and not kept after it', async () => {
    const store = new MapStore();
    const { sessions } = kept({ store, storeKey: Buffer.alloc(32, 1) });
    const [before, after, made] = [session('TLSv1.2'), session('TLSv1.2'), session('TLSv1.3')];
    sessions.add('a', before);
    sessions.close();
    sessions.close();
    expect(sessions.add('a', after)).toBe(false);
    sessions.keep('a', made, manualTime());
    await sessions.saved();
    expect([before, after, made].map(({ disposed }) => disposed)).toEqual([true, true, true]);
    expect(sessions.fetch('a', manualTime())).toBeUndefined();
    expect([sessions.take('a'), store.values.size]).toEqual([undefined, 0]);
  });

  it('can be exported and imported by another process', () => {
    const { sessions, clock } = kept();
    for (const number of [1, 2])
      for (const key of ['a', 'b']) sessions.add(key, session(key === 'a' ? 'TLSv1.2' : 'TLSv1.3', number));
    const exported = sessions.export();
    expect(exported.map(({ key }) => key)).toEqual(['a', 'a', 'b', 'b']);
    // Through a JSON text, as a program would write it to a file.
    const text = JSON.stringify(exported.map(({ key, der }) => [key, Buffer.from(der).toString('base64')]));
    const read = (JSON.parse(text) as [string, string][]).map(([key, der]) => ({
      key,
      der: Buffer.from(der, 'base64'),
    }));
    const another = new ClientSessions({ now: clock.now });
    expect(another.import(read)).toBe(4);
    expect([1, 2].map(() => numberOf(another.take('b')))).toEqual([2, 1]);
    expect(numberOf(another.take('a'))).toBe(2);
    expect(sessions.size).toBe(4);
    clock.pass(3_601_000);
    const late = new ClientSessions({ now: clock.now });
    expect(
      late.import([...read, { key: 'c', der: Buffer.from('garbage') }, { key: 'd', der: new Uint8Array(0) }]),
    ).toBe(2);
  });

  it('throw for invalid bounds', () => {
    for (const wrong of [0, -1, NaN]) {
      expect(() => new ClientSessions({ maxServers: wrong })).toThrow(RangeError);
      expect(() => new ClientSessions({ maxPerServer: wrong })).toThrow(RangeError);
    }
  });
});

// Everything that affects trust must separate sessions: contexts with different trust do not share them.
describe.each(['TLSv1.2', 'TLSv1.3'] as const)('contexts that share their sessions, under %s,', (version) => {
  const protocols = { min: version, max: version };
  const authority = new Authority();
  const site = authority.issue({ names: ['localhost', 'other.test'] });
  const person = authority.issue({ names: ['someone.test'] });
  const own = {
    certificate: { pem: site.certificate },
    key: { pem: site.key },
    alpn: ['x', 'y'],
    dangerouslyIgnoreAlpnMismatch: true,
  };
  const trusts = { ca: { pem: authority.pem }, protocols };

  /** Calls `use` with a function that connects to one server, whose port stays the same. */
  async function withServer(
    options: Partial<TlsServerOptions>,
    use: (
      secure: SecureReactor,
      visit: (client: TlsContext, connection?: TlsConnectionOptions) => Promise<Resumption>,
    ) => Promise<void>,
  ): Promise<void> {
    await withSecureReactor(async (secure) => {
      const server = await secure.server({ ...own, ...options });
      const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
      await use(secure, async (client, connection = {}) => {
        const [far, near] = await Promise.all([
          listener.accept().then(async (plain) => {
            const above = plain.secure(server);
            await above.handshake();
            return above;
          }),
          secure.reactor.connectSecure({
            host: '127.0.0.1',
            port: portOf(listener),
            secure: client.with({ serverName: 'localhost', ...connection }),
          }),
        ]);
        await talk(near, far);
        abort(near, far);
        return far.resumption;
      });
      listener.close();
    });
  }

  it("resume each other's sessions when they trust alike", () =>
    withServer({ resumption: 'stateful' }, async (secure, visit) => {
      const sessions = new ClientSessions();
      const [one, other] = [await secure.client({ ...trusts, sessions }), await secure.client({ ...trusts, sessions })];
      expect(await visit(one)).toBe('not offered');
      expect(await visit(other)).toBe('resumed');
      expect(await visit(one)).toBe('resumed');
      sessions.clear();
      expect(await visit(one)).toBe('not offered');
    }));

  it.each<[string, object, TlsConnectionOptions?]>([
    ['other authorities', { ca: [{ pem: authority.pem }, { pem: localhost.certificate }] }],
    ['no verification', { dangerouslyVerifyNobody: true }],
    ['no name check', { dangerouslySkipNameCheck: true }],
    ['accepted faults', { dangerouslyAccept: ['CERT_HAS_EXPIRED'] }],
    ['another certificate of the client', { certificate: { pem: person.certificate }, key: { pem: person.key } }],
    ['other protocols', { alpn: ['y'] }],
    ['another security level', { dangerouslyLowerSecurityLevel: 1 }],
    ['another depth', { depth: 3 }],
    ['another name', {}, { serverName: 'other.test' }],
    ['an expected name', {}, { expect: { name: 'localhost' } }],
    ['another host', {}, { peer: 'elsewhere:443' }],
  ])('do not resume them when one context differs by %s', (_, different, connection) =>
    withServer({ resumption: 'stateless' }, async (secure, visit) => {
      const sessions = new ClientSessions();
      const [one, other] = [
        await secure.client({ ...trusts, alpn: ['x', 'y'], sessions }),
        await secure.client({ ...trusts, alpn: ['x', 'y'], sessions, ...different }),
      ];
      expect(await visit(one)).toBe('not offered');
      expect(await visit(other, connection)).toBe('not offered');
      expect(await visit(one)).toBe('resumed');
      expect(await visit(other, connection)).toBe('resumed');
    }),
  );

  it("keep none with sessions: 'off'", () =>
    withServer({ resumption: 'stateful' }, async (secure, visit) => {
      const client = await secure.client({ ...trusts, sessions: 'off' });
      expect([await visit(client), await visit(client)]).toEqual(['not offered', 'not offered']);
    }));
});

/** The session without the lifetime of its ticket, which has the tag [9] in DER. */
function withoutHint(der: Uint8Array): Uint8Array {
  const bytes = Buffer.from(der);
  const at = bytes.indexOf(Buffer.of(0xa9, 0x04, 0x02, 0x02, 0x0e, 0x10));
  expect(at).toBeGreaterThan(0);
  return resized(bytes, at, new Uint8Array(0));
}

/** The outer sequence, with the field of six bytes at `at` replaced by `field`. */
function resized(der: Buffer, at: number, field: Uint8Array): Uint8Array {
  const header = der[1] < 0x80 ? 2 : 2 + (der[1] & 0x7f);
  const body = Buffer.concat([der.subarray(header, at), field, der.subarray(at + 6)]);
  return Buffer.concat([Buffer.of(0x30, 0x82, body.length >> 8, body.length & 0xff), body]);
}
