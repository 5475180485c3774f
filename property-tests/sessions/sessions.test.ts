// Law: the sessions of a client and a ring of ticket keys behave like simple models of them, whatever the clock does.
// Whatever a session store and the network do, no handshake fails because of the store, and none waits for it longer
// than `sessionLookupMs`.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

import { TlsContext } from '../../protocols/tls/context/context.ts';
import type { TlsVersion } from '../../protocols/tls/context/options.ts';
import { SecureConnection } from '../../protocols/tls/secure-connection.ts';
import { selfSigned } from '../../protocols/tls/certificates/self-signed.ts';
import { ClientSessions } from '../../protocols/tls/sessions/client-sessions.ts';
import { TlsSession } from '../../protocols/tls/sessions/session.ts';
import { ManualClock } from '../../protocols/testing/stores/manual-clock.ts';
import { TicketKeys } from '../../protocols/tls/sessions/ticket-keys.ts';
import type { SessionStore, TakingSessionStore } from '../../protocols/stores/store.ts';
import type { World } from '../../reactor/simulated/world.ts';
import { buffers, harmlessFaults, link } from '../kit/arbitraries.ts';
import { checkLaw, replaying, tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';

const { certificate, key } = selfSigned({ names: ['there'] });
const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const made = new Map<TlsVersion, TlsSession>();

/** Runs a handshake in a world without faults, and sends a line each way, so that the tickets arrive. */
async function meet(
  world: World,
  client: TlsContext,
  server: TlsContext,
): Promise<[SecureConnection, SecureConnection]> {
  const { client: near, server: far } = await pairIn(world, {}, { client, server });
  if (!(near instanceof SecureConnection) || !(far instanceof SecureConnection))
    throw new Error('the ends are not secure');
  await Promise.all([near.handshake(), far.handshake()]);
  await Promise.all([near.send('hi\n'), far.receive(), far.send('hi\n'), near.receive()]);
  return [near, far];
}

beforeAll(async () => {
  for (const version of versions) {
    const server = await TlsContext.server({
      certificate: { pem: certificate },
      key: { pem: key },
      resumption: 'stateful',
    });
    const client = await TlsContext.client({ ca: { pem: certificate }, protocols: { min: version, max: version } });
    await simulate({}, async (world) => {
      const [near] = await meet(world, client, server);
      made.set(version, near.session as TlsSession);
    });
    client.close();
    server.close();
  }
});

describe('the sessions of a client', () => {
  interface Kept {
    readonly number: number;
    readonly version: TlsVersion;
    readonly expiresAt: number;
  }
  const keys = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const step = fc.oneof(
    {
      arbitrary: fc.record({
        kind: fc.constant('add' as const),
        key: keys,
        version: fc.constantFrom(...versions),
        seconds: fc.integer({ min: 1, max: 40 }),
      }),
      weight: 5,
    },
    { arbitrary: fc.record({ kind: fc.constant('take' as const), key: keys }), weight: 5 },
    {
      arbitrary: fc.record({
        kind: fc.constant('pass' as const),
        ms: fc.oneof(fc.nat(20_000), fc.integer({ min: -5_000, max: -1 })),
      }),
      weight: 2,
    },
    { arbitrary: fc.record({ kind: fc.constant('forget' as const), key: keys }), weight: 1 },
    { arbitrary: fc.record({ kind: fc.constant('move' as const) }), weight: 1 },
  );

  it(
    'are taken newest first until they expire, those of TLS 1.3 once, within their bounds',
    () =>
      checkLaw(
        fc.property(
          fc.array(step, { maxLength: 40 }),
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 1, max: 3 }),
          (steps, maxServers, maxPerServer) => {
            const clock = new ManualClock(1_700_000_000_000);
            const options = { maxServers, maxPerServer, now: clock.now };
            let sessions = new ClientSessions(options);
            /** The sessions of each key, the most recently used key last. */
            const model = new Map<string, Kept[]>();
            const use = (name: string, kept: Kept[]): void => {
              model.delete(name);
              if (kept.length > 0) model.set(name, kept);
            };
            for (const [number, each] of steps.entries()) {
              if (each.kind === 'pass') clock.pass(each.ms);
              else if (each.kind === 'forget') {
                // Without a store this takes effect at once.
                void sessions.forget(each.key);
                model.delete(each.key);
              } else if (each.kind === 'move') {
                // Moves all sessions to another process.
                const exported = sessions.export();
                sessions = new ClientSessions(options);
                sessions.import(exported);
                for (const [name, kept] of [...model]) {
                  const living = kept.filter(({ expiresAt }) => expiresAt > clock.now());
                  if (living.length > 0) model.set(name, living);
                  else model.delete(name);
                }
              } else if (each.kind === 'add') {
                const session = TlsSession.fromDer((made.get(each.version) as TlsSession).toDer());
                // The lifetime contains the number of the step, so that each session can be recognized. Times are whole
                // seconds.
                session.time = new Date(clock.now() - 1000 * number);
                session.timeoutSeconds = number + each.seconds;
                const expiresAt =
                  Math.floor((clock.now() - 1000 * number) / 1000) * 1000 + (number + each.seconds) * 1000;
                expect(sessions.add(each.key, session)).toBe(expiresAt > clock.now());
                if (expiresAt <= clock.now()) continue;
                const kept = [
                  ...(model.get(each.key) ?? []),
                  { number: number + each.seconds, version: each.version, expiresAt },
                ];
                use(each.key, kept.slice(-maxPerServer));
                if (model.size > maxServers) model.delete([...model.keys()][0]);
              } else {
                const kept = model.get(each.key) ?? [];
                while ((kept.at(-1)?.expiresAt ?? Infinity) <= clock.now()) kept.pop();
                const newest = kept.at(-1);
                const taken = sessions.take(each.key);
                expect(taken?.timeoutSeconds).toBe(newest?.number);
                expect(taken?.protocol).toBe(newest?.version);
                if (newest?.version === 'TLSv1.3') {
                  kept.pop();
                  if (kept.length === 0) model.delete(each.key);
                } else use(each.key, kept);
                taken?.dispose();
              }
              expect(sessions.size).toBe([...model.values()].reduce((sum, kept) => sum + kept.length, 0));
            }
            sessions.clear();
          },
        ),
        1_000,
      ),
    600_000,
  );
});

describe('clients that share their sessions', () => {
  const lookupMs = 50;
  const act = fc.record({
    kind: fc.constantFrom('answer', 'answer', 'answer', 'throw', 'reject', 'hang', 'lie'),
    ms: fc.constantFrom(0, 0, 1, 20, 49, 51, 200),
  });
  const visit = fc.record({
    client: fc.nat(2),
    key: fc.constantFrom('a', 'b'),
    version: fc.constantFrom(...versions),
    gives: fc.nat(2),
    staysMs: fc.nat(60),
  });

  // A visit takes a session, if there is one, and adds the sessions that it gets from its server. Several visits run at
  // the same time.
  it('use each TLS 1.3 session once, for its own server, and wait for the store at most lookupMs', async () => {
    let [passedOn, late] = [0, 0];
    const visits = fc.array(fc.array(visit, { minLength: 1, maxLength: 3 }), { maxLength: 4 });
    await checkLaw(
      fc.asyncProperty(
        visits,
        fc.array(act, { maxLength: 30 }),
        fc.uint8Array({ maxLength: 80 }),
        async (rounds, acts, garbage) => {
          await simulate({}, async (world) => {
            const values = new Map<string, Uint8Array>();
            let [asked, number] = [0, 0];
            const answering = <T>(value: T): T | Promise<T> => {
              const { kind, ms } = acts[asked++] ?? { kind: 'answer', ms: 0 };
              if (kind === 'throw') throw new Error('at once');
              if (kind === 'hang') return new Promise<T>(() => undefined);
              const answer = (kind === 'lie' ? garbage : value) as T;
              return ms === 0
                ? answer
                : world.sleep(ms).then(() => {
                    if (kind === 'reject') throw new Error('later');
                    return answer;
                  });
            };
            const store: TakingSessionStore = {
              get: (name) => values.get(name),
              take: (name) => {
                const value = values.get(name);
                values.delete(name);
                return answering(value);
              },
              set: (name, value) => {
                values.set(name, value);
                return answering(undefined);
              },
              remove: (name) => void values.delete(name),
            };
            const born = Math.floor(Date.now() / 1000) * 1000;
            const { reactor } = world.machine('here');
            const clients = [0, 1, 2].map(
              () =>
                new ClientSessions({
                  store,
                  storeKey: Buffer.alloc(32, 3),
                  lookupMs,
                  maxPerServer: 3,
                  now: () => born,
                }),
            );
            const makers = new Map<number, { key: string; client: number; used: number }>();
            for (const round of rounds) {
              await Promise.all(
                round.map(async ({ client, key: name, version, gives, staysMs }) => {
                  const sessions = clients[client];
                  const startedAt = reactor.now();
                  const miss = await sessions.fetch(name, reactor);
                  expect(reactor.now() - startedAt).toBeLessThanOrEqual(lookupMs + 5);
                  if (miss === 'store late') late++;
                  const taken = sessions.take(name);
                  if (taken !== undefined) {
                    const maker = makers.get(taken.timeoutSeconds);
                    expect(maker?.key).toBe(name);
                    if (maker !== undefined && taken.protocol === 'TLSv1.3') expect(++maker.used).toBe(1);
                    if (maker?.client !== client) passedOn++;
                    taken.dispose();
                  }
                  await world.sleep(staysMs);
                  for (let index = 0; index < gives; index++) {
                    const session = TlsSession.fromDer((made.get(version) as TlsSession).toDer());
                    session.time = new Date(born);
                    session.timeoutSeconds = 1_000 + ++number;
                    makers.set(session.timeoutSeconds, { key: name, client, used: 0 });
                    sessions.keep(name, session, reactor);
                  }
                }),
              );
            }
            for (const sessions of clients) sessions.clear();
          });
        },
      ),
      1_000,
    );
    if (replaying()) return;
    expect(passedOn).toBeGreaterThan(0);
    expect(late).toBeGreaterThan(0);
  }, 600_000);
});

describe('a ring of ticket keys', () => {
  const rotateMs = 10_000;
  const pass = fc.oneof(
    { arbitrary: fc.integer({ min: 0, max: 15_000 }), weight: 5 },
    { arbitrary: fc.integer({ min: -15_000, max: -1 }), weight: 2 },
    { arbitrary: fc.integer({ min: -1_000_000, max: 1_000_000 }), weight: 1 },
  );

  it(
    'opens tickets of this span, the next span and the earlier spans that it keeps, and no others, however the clock jumps',
    () =>
      checkLaw(
        fc.property(
          fc.array(
            fc.oneof(
              fc.constant('seal' as const),
              fc.nat(30),
              pass.map((ms) => ({ ms })),
            ),
            { maxLength: 60 },
          ),
          fc.integer({ min: 0, max: 3 }),
          (steps, keep) => {
            const clock = new ManualClock(1_700_000_000_000);
            const keys = new TicketKeys({ rotateMs, keep, now: clock.now });
            const spanOf = (): number => Math.floor(clock.now() / rotateMs);
            const sealed: { readonly name: Uint8Array; readonly span: number; isThere: boolean }[] = [];
            // Each use of the ring drops the keys that are out of reach. A dropped key never comes back.
            const look = (): void => {
              for (const each of sealed)
                if (each.span < spanOf() - keep || each.span > spanOf() + 1) each.isThere = false;
            };
            for (const step of steps) {
              if (typeof step === 'object') {
                clock.pass(step.ms);
                continue;
              }
              look();
              if (step === 'seal') {
                const name = Uint8Array.from(keys.sealing().name);
                const before = sealed.find(({ span, isThere }) => isThere && span === spanOf());
                if (before === undefined) {
                  expect(sealed.some((each) => Buffer.from(each.name).equals(name))).toBe(false);
                  sealed.push({ name, span: spanOf(), isThere: true });
                } else expect(name).toEqual(before.name);
              } else if (sealed.length > 0) {
                const asked = sealed[step % sealed.length];
                const found = keys.opening(asked.name);
                expect(found?.isOld).toBe(asked.isThere ? asked.span < spanOf() : undefined);
              }
              expect(keys.size).toBe(sealed.filter(({ isThere }) => isThere).length);
              expect(keys.size).toBeLessThanOrEqual(keep + 2);
            }
            keys.close();
            expect(keys.size).toBe(0);
          },
        ),
        1_000,
      ),
    600_000,
  );

  it(
    'has the same keys in all processes that share it, as long as the store answers',
    () =>
      checkLaw(
        fc.asyncProperty(
          fc.array(fc.record({ ms: fc.integer({ min: 0, max: 9_999 }), who: fc.nat(2) }), { maxLength: 20 }),
          async (steps) => {
            const clock = new ManualClock(1_700_000_000_000);
            const values = new Map<string, Uint8Array>();
            const store: SessionStore = {
              get: (name) => values.get(name),
              set: (name, value) => void values.set(name, value),
              remove: (name) => void values.delete(name),
            };
            const rings = [0, 1, 2].map(
              () => new TicketKeys({ rotateMs, now: clock.now, store, storeKey: Buffer.alloc(32, 1) }),
            );
            for (const ring of rings) await ring.ready();
            for (const { ms, who } of steps) {
              // The clock moves less than a span, so each ring is used at least once in each span.
              clock.pass(ms);
              const { name } = rings[who].sealing();
              for (const ring of rings) expect(ring.opening(name)?.isOld).toBe(false);
              for (const ring of rings) await ring.ready();
            }
            for (const ring of rings) ring.close();
          },
        ),
        1_000,
      ),
    600_000,
  );
});

/** How a store answers one request. */
type Act = { readonly kind: 'answer' | 'reject' | 'throw' | 'hang' | 'lie' | 'null'; readonly ms: number };

describe.each(versions)('resumption under %s, from a store that fails, is late or returns garbage', (version) => {
  const act: fc.Arbitrary<Act> = fc.record({
    kind: fc.constantFrom('answer', 'answer', 'reject', 'throw', 'hang', 'lie', 'null'),
    ms: fc.oneof(fc.constant(0), fc.nat(400)),
  });
  const lookupMs = 100;

  it('fails no handshake, whatever the network does', async () => {
    const outcomes = new Map<string, number>();
    const plan = fc.record({
      link: link(),
      buffers: buffers(),
      faults: harmlessFaults(),
      acts: fc.array(act, { maxLength: 12 }),
      garbage: fc.uint8Array({ maxLength: 100 }),
    });
    await tryLaw(plan, 200, ({ link: carrying, buffers: sizes, faults, acts, garbage }) =>
      simulate({ link: carrying, faults }, async (world) => {
        const values = new Map<string, Uint8Array>();
        let next = 0;
        const serve = <T>(value: T): T | Promise<T> => {
          const { kind, ms } = acts[next++] ?? { kind: 'answer', ms: 0 };
          const answer = (kind === 'lie' ? garbage : kind === 'null' ? null : value) as T;
          if (kind === 'throw') throw new Error('at once');
          if (kind === 'hang') return new Promise<T>(() => undefined);
          if (kind === 'reject')
            return world.sleep(ms).then(() => {
              throw new Error('later');
            });
          return ms === 0 ? answer : world.sleep(ms).then(() => answer);
        };
        const store: SessionStore = {
          get: (name) => serve(values.get(name)),
          set: (name, value) => {
            values.set(name, value);
            return serve(undefined);
          },
          remove: () => undefined,
        };
        const server = await TlsContext.server({
          certificate: { pem: certificate },
          key: { pem: key },
          resumption: 'stateful',
          sessionStore: store,
          sessionLookupMs: lookupMs,
        });
        const client = await TlsContext.client({
          ca: { pem: certificate },
          protocols: { min: version, max: version },
          sessions: 'off',
        });
        const [here, there] = [world.machine('here', sizes), world.machine('there', sizes)];
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
        let session: TlsSession | undefined;
        for (let visit = 0; visit < 4; visit++) {
          const [plain, accepted] = await Promise.all([
            here.reactor.connect({ host: 'there', port: 7 }),
            listener.accept(),
          ]);
          const [near, far] = [
            plain.secure(client.with({ session }), { serverName: 'there' }),
            accepted.secure(server),
          ];
          await Promise.all([near.handshake(), far.handshake()]);
          expect(near.reused).toBe(far.reused);
          await Promise.all([near.send('hi\n'), far.receive(), far.send('hi\n'), near.receive()]);
          outcomes.set(far.resumption, (outcomes.get(far.resumption) ?? 0) + 1);
          session = near.session;
          near.abort();
          far.abort();
        }
        client.close();
        server.close();
      }),
    );
    if (replaying()) return;
    for (const outcome of ['resumed', 'corrupted', 'store failed', 'store late'])
      expect([outcome, outcomes.get(outcome) ?? 0]).not.toEqual([outcome, 0]);
  }, 600_000);

  // This network delivers at once, so the only time in a handshake is the time that the store takes.
  it(
    'waits for the store at most sessionLookupMs',
    () =>
      checkLaw(
        fc.asyncProperty(
          fc.array(act, { minLength: 6, maxLength: 12 }),
          fc.uint8Array({ maxLength: 100 }),
          async (acts, garbage) => {
            await simulate({}, async (world) => {
              const values = new Map<string, Uint8Array>();
              let next = 0;
              const store: SessionStore = {
                get: (name) => {
                  const { kind, ms } = acts[next++ % acts.length];
                  if (kind === 'throw') throw new Error('at once');
                  if (kind === 'hang') return new Promise(() => undefined);
                  return world.sleep(ms).then(() => {
                    if (kind === 'reject') throw new Error('later');
                    return kind === 'lie'
                      ? garbage
                      : kind === 'null'
                        ? (null as unknown as undefined)
                        : values.get(name);
                  });
                },
                set: (name, value) => void values.set(name, value),
                remove: () => undefined,
              };
              const server = await TlsContext.server({
                certificate: { pem: certificate },
                key: { pem: key },
                resumption: 'stateful',
                sessionStore: store,
                sessionLookupMs: lookupMs,
              });
              const client = await TlsContext.client({
                ca: { pem: certificate },
                protocols: { min: version, max: version },
                sessions: 'off',
              });
              const [here, there] = [world.machine('here'), world.machine('there')];
              const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
              let session: TlsSession | undefined;
              for (let visit = 0; visit < 8; visit++) {
                const [plain, accepted] = await Promise.all([
                  here.reactor.connect({ host: 'there', port: 7 }),
                  listener.accept(),
                ]);
                const [near, far] = [
                  plain.secure(client.with({ session }), { serverName: 'there' }),
                  accepted.secure(server),
                ];
                const startedAt = world.now();
                await Promise.all([near.handshake(), far.handshake()]);
                // The clock's tick adds some milliseconds.
                expect(world.now() - startedAt).toBeLessThanOrEqual(lookupMs + 5);
                if (far.resumption === 'store resting') expect(world.now()).toBe(startedAt);
                await Promise.all([near.send('hi\n'), far.receive(), far.send('hi\n'), near.receive()]);
                session = near.session;
                near.abort();
                far.abort();
              }
              client.close();
              server.close();
            });
          },
        ),
        200,
      ),
    600_000,
  );
});
