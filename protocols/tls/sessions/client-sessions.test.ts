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

/** A session of an hour. Its number stands in its time, in seconds after all were made. */
function session(version: TlsVersion, number = 0, resumption = 'stateless'): TlsSession {
  const each = TlsSession.fromDer(made.get(`${version} ${resumption}`) ?? new Uint8Array(0));
  each.time = new Date(bornAt + number * 1000);
  return each;
}

const numberOf = (each: TlsSession | undefined): number | undefined =>
  each === undefined ? undefined : (each.time.getTime() - bornAt) / 1000;

/** A clock that stands where the sessions were made, and what keeps them by it. */
function kept(options = {}): { sessions: ClientSessions; clock: ManualClock } {
  const clock = new ManualClock(bornAt);
  return { clock, sessions: new ClientSessions({ now: clock.now, ...options }) };
}

describe('the sessions of a client', () => {
  it('are given out newest first; those of TLS 1.3 once, those of TLS 1.2 again and again', () => {
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

  it("are the taker's own: to dispose of one harms no other", () => {
    const { sessions } = kept();
    sessions.add('two', session('TLSv1.2'));
    sessions.take('two')?.dispose();
    expect(sessions.take('two')?.disposed).toBe(false);
  });

  it('are bounded for each server: the oldest goes first, and is wiped', () => {
    const { sessions } = kept({ maxPerServer: 2 });
    const all = [1, 2, 3].map((number) => session('TLSv1.3', number));
    for (const each of all) sessions.add('a', each);
    expect(all.map(({ disposed }) => disposed)).toEqual([true, false, false]);
    expect(sessions.size).toBe(2);
    expect([1, 2, 3].map(() => numberOf(sessions.take('a')))).toEqual([3, 2, undefined]);
  });

  it('are bounded over all servers: the one that was not used for the longest time goes first', () => {
    const { sessions } = kept({ maxServers: 3 });
    const first = session('TLSv1.2', 1);
    sessions.add('a', session('TLSv1.2', 0));
    sessions.add('b', first);
    sessions.add('c', session('TLSv1.2', 2));
    // Both to take and to add is to use.
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

  it('that are taken from make no room for others', () => {
    const { sessions } = kept({ maxServers: 2 });
    sessions.add('a', session('TLSv1.3'));
    sessions.add('b', session('TLSv1.3'));
    sessions.take('b')?.dispose();
    sessions.add('c', session('TLSv1.3'));
    expect(['a', 'b', 'c'].map((key) => sessions.take(key) !== undefined)).toEqual([true, false, true]);
    expect(sessions.export()).toEqual([]);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('are of no use once their time has passed, under %s', (version) => {
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

  it('that nothing can be done with are wiped at once', () =>
    withSecureReactor(async (secure) => {
      const { sessions } = kept();
      // No ticket of TLS 1.3 has come.
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

  it('of a ticket that has no lifetime are thrown away (RFC 8446, section 4.6.1)', () => {
    const { sessions } = kept();
    const hint = session('TLSv1.3');
    expect(hint.ticketLifetimeHint).toBe(3600);
    const der = withoutHint(hint.toDer());
    const none = TlsSession.fromDer(der);
    expect(none.ticketLifetimeHint).toBe(0);
    expect(sessions.add('a', none)).toBe(false);
    // Under TLS 1.2 no lifetime means that the server does not say (RFC 5077, section 3.3).
    expect(sessions.add('a', TlsSession.fromDer(withoutHint(session('TLSv1.2').toDer())))).toBe(true);
  });

  it('are cut to seven days, whatever was asked for', () => {
    const { sessions, clock } = kept();
    const long = session('TLSv1.2', 0, 'stateful');
    long.timeoutSeconds = 365 * 24 * 3600;
    sessions.add('a', long);
    clock.pass(7 * 24 * 3_600_000 - 1);
    expect(sessions.take('a')).toBeDefined();
    clock.pass(1);
    expect(sessions.take('a')).toBeUndefined();
  });

  it('that last longer by their own account are cut all the same', () => {
    const { sessions, clock } = kept();
    // The bytes may come from anywhere: the timeout of an hour is made one of 65,535 hours.
    const der = Buffer.from(session('TLSv1.2', 0, 'stateful').toDer());
    const at = der.indexOf(Buffer.of(0xa2, 0x04, 0x02, 0x02, 0x0e, 0x10));
    expect(at).toBeGreaterThan(0);
    const longer = TlsSession.fromDer(resized(der, at, Buffer.of(0xa2, 0x06, 0x02, 0x04, 0x0e, 0x10, 0, 0)));
    expect(longer.expiresAt.getTime() - bornAt).toBeLessThanOrEqual(7 * 24 * 3_600_000);
    sessions.add('a', longer);
    clock.pass(7 * 24 * 3_600_000);
    expect(sessions.take('a')).toBeUndefined();
  });

  it('are of no use once the lifetime of their ticket has passed, though their own time has not', () => {
    const { sessions, clock } = kept();
    const each = session('TLSv1.3');
    each.timeoutSeconds = 100_000;
    sessions.add('a', each);
    clock.pass(3_600_000);
    expect(sessions.take('a')).toBeUndefined();
  });

  it('are forgotten by key and all together, and wiped', async () => {
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

  it('are wiped and kept no more when they are closed', async () => {
    const store = new MapStore();
    const { sessions } = kept({ store, storeKey: Buffer.alloc(32, 1) });
    const [before, after, made] = [session('TLSv1.2'), session('TLSv1.2'), session('TLSv1.3')];
    sessions.add('a', before);
    sessions.close();
    sessions.close();
    expect(sessions.add('a', after)).toBe(false);
    sessions.made('a', made, manualTime());
    await sessions.saved();
    expect([before, after, made].map(({ disposed }) => disposed)).toEqual([true, true, true]);
    expect(sessions.fetch('a', manualTime())).toBeUndefined();
    expect([sessions.take('a'), store.values.size]).toEqual([undefined, 0]);
  });

  it('can be kept beyond the life of the process', () => {
    const { sessions, clock } = kept();
    for (const number of [1, 2])
      for (const key of ['a', 'b']) sessions.add(key, session(key === 'a' ? 'TLSv1.2' : 'TLSv1.3', number));
    const exported = sessions.export();
    expect(exported.map(({ key }) => key)).toEqual(['a', 'a', 'b', 'b']);
    // Through a file, as one would.
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

  it('have bounds that make sense', () => {
    for (const wrong of [0, -1, NaN]) {
      expect(() => new ClientSessions({ maxServers: wrong })).toThrow(RangeError);
      expect(() => new ClientSessions({ maxPerServer: wrong })).toThrow(RangeError);
    }
  });
});

// What decides about trust decides about sessions: whoever shares them is told apart by all of it.
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

  /** Runs `use` with how to connect to a server that keeps its port. */
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

  it('go on with those of each other when they are of one mind', () =>
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
    ['no name', { dangerouslySkipNameCheck: true }],
    ['faults that are accepted', { dangerouslyAccept: ['CERT_HAS_EXPIRED'] }],
    ['another certificate of its own', { certificate: { pem: person.certificate }, key: { pem: person.key } }],
    ['other protocols', { alpn: ['y'] }],
    ['another security level', { dangerouslyLowerSecurityLevel: 1 }],
    ['another depth', { depth: 3 }],
    ['another name', {}, { serverName: 'other.test' }],
    ['somebody who is expected', {}, { expect: { name: 'localhost' } }],
    ['another host', {}, { peer: 'elsewhere:443' }],
  ])('do not when one differs by %s', (_, different, connection) =>
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

  it('keep none when they are told not to', () =>
    withServer({ resumption: 'stateful' }, async (secure, visit) => {
      const client = await secure.client({ ...trusts, sessions: 'off' });
      expect([await visit(client), await visit(client)]).toEqual(['not offered', 'not offered']);
    }));
});

/** The session without its ticket's lifetime, which stands in DER under the tag [9]. */
function withoutHint(der: Uint8Array): Uint8Array {
  const bytes = Buffer.from(der);
  const at = bytes.indexOf(Buffer.of(0xa9, 0x04, 0x02, 0x02, 0x0e, 0x10));
  expect(at).toBeGreaterThan(0);
  return resized(bytes, at, new Uint8Array(0));
}

/** The outer sequence with the field of six bytes at `at` replaced. */
function resized(der: Buffer, at: number, field: Uint8Array): Uint8Array {
  const header = der[1] < 0x80 ? 2 : 2 + (der[1] & 0x7f);
  const body = Buffer.concat([der.subarray(header, at), field, der.subarray(at + 6)]);
  return Buffer.concat([Buffer.of(0x30, 0x82, body.length >> 8, body.length & 0xff), body]);
}
