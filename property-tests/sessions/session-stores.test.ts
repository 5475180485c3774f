// Law: a session store returns the value that was last set under a key, until it is removed, taken or expired, and
// never any other value. It keeps its bounds. A session server does the same whatever the network and the system calls
// do, or the call rejects with a StoreError.

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { FileSessionStore } from '../../protocols/stores/files/file-store.ts';
import { MemorySessionStore } from '../../protocols/stores/memory-store.ts';
import { SessionServerStore } from '../../protocols/stores/session-server/session-server-store.ts';
import { SessionServer } from '../../protocols/stores/session-server/session-server.ts';
import { StoreError } from '../../protocols/stores/store-error.ts';
import { VALUE_AT_MOST } from '../../protocols/stores/store.ts';
import type { TakingSessionStore } from '../../protocols/stores/store.ts';
import { bytes } from '../../protocols/testing/stores/check-store.ts';
import { withFolder } from '../../protocols/testing/stores/folder.ts';
import { ManualClock } from '../../protocols/testing/stores/manual-clock.ts';
import type { LinkOptions } from '../../reactor/simulated/link.ts';
import { anyFaults, buffers, harmlessFaults, link } from '../kit/arbitraries.ts';
import { checkLaw, tryLaw } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

type Step =
  | { readonly kind: 'set'; readonly key: string; readonly size: number; readonly salt: number; readonly ttlMs: number }
  | { readonly kind: 'get' | 'take' | 'remove'; readonly key: string }
  | { readonly kind: 'pass'; readonly ms: number };

/** The model of a store: the value of each key, and when it expires. */
class Model {
  readonly #entries = new Map<string, { readonly value: Uint8Array; readonly expiresAt: number }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  set(key: string, value: Uint8Array, ttlMs: number): void {
    this.#entries.set(key, { value, expiresAt: this.#now() + ttlMs });
  }

  remove(key: string): void {
    this.#entries.delete(key);
  }

  get(key: string): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.expiresAt > this.#now() ? entry.value : undefined;
  }

  take(key: string): Uint8Array | undefined {
    const value = this.get(key);
    this.remove(key);
    return value;
  }
}

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'A', '-', '__proto__', 'a'.repeat(64));
const size = fc.oneof(
  { arbitrary: fc.nat(400), weight: 5 },
  { arbitrary: fc.constantFrom(0, 63, 64, 65, 127, 128, 4_096, VALUE_AT_MOST), weight: 1 },
);
const ttlMs = fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constant(100_000));
const set = fc.record({ kind: fc.constant('set' as const), key, size, salt: fc.nat(255), ttlMs });
const ask = fc.record({
  kind: fc.constantFrom('get' as const, 'get' as const, 'get' as const, 'take' as const, 'remove' as const),
  key,
});
const pass = fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(40) });
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: set, weight: 4 },
  { arbitrary: ask, weight: 5 },
  { arbitrary: pass, weight: 1 },
);
const steps = (maxLength: number): fc.Arbitrary<Step[]> => fc.array(step, { maxLength });

/** Runs a step on the store and on the model, and compares the results. */
async function perform(each: Step, store: TakingSessionStore, model: Model, clock: ManualClock): Promise<void> {
  switch (each.kind) {
    case 'pass':
      clock.pass(each.ms);
      return;
    case 'set': {
      const value = bytes(each.size, each.salt);
      await store.set(each.key, value, each.ttlMs);
      model.set(each.key, value, each.ttlMs);
      return;
    }
    case 'remove':
      await store.remove(each.key);
      model.remove(each.key);
      return;
    case 'take':
      expect(await store.take(each.key)).toEqual(model.take(each.key));
      return;
    case 'get':
      expect(await store.get(each.key)).toEqual(model.get(each.key));
  }
}

describe('a store returns the value that was set last', () => {
  it(
    'from memory',
    () =>
      checkLaw(
        fc.asyncProperty(steps(80), async (plan) => {
          const clock = new ManualClock();
          const store = new MemorySessionStore({ now: clock.now });
          const model = new Model(clock.now);
          for (const each of plan) await perform(each, store, model, clock);
        }),
        1_000,
      ),
    600_000,
  );

  it(
    'from files, also after it was opened again, and never bytes that it did not write',
    () =>
      checkLaw(
        fc.asyncProperty(
          fc.array(
            fc.oneof(
              { arbitrary: step, weight: 8 },
              { arbitrary: fc.constantFrom('open again', 'corrupt'), weight: 1 },
            ),
            { maxLength: 25 },
          ),
          fc.uint8Array({ maxLength: 200 }),
          (plan, garbage) =>
            withFolder(async (directory) => {
              const clock = new ManualClock(1_700_000_000_000);
              const model = new Model(clock.now);
              let store = new FileSessionStore({ directory, now: clock.now });
              for (const each of plan) {
                if (each === 'open again') {
                  await store.close();
                  store = new FileSessionStore({ directory, now: clock.now });
                } else if (each === 'corrupt') {
                  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
                    if (!/^[0-9a-f]{2}\/[\w-]+$/.test(name)) continue;
                    writeFileSync(join(directory, name), garbage);
                    model.remove(name.slice(3));
                  }
                } else await perform(each, store, model, clock);
              }
              await store.close();
            }),
        ),
        300,
      ),
    600_000,
  );
});

describe('a store in memory', () => {
  it(
    'keeps the maxSessions sessions that were used last',
    () =>
      checkLaw(
        fc.property(steps(80), fc.integer({ min: 1, max: 6 }), (plan, maxSessions) => {
          const clock = new ManualClock();
          const store = new MemorySessionStore({ maxSessions, maxBytes: 4 * 1024 * 1024, now: clock.now });
          const model = new Model(clock.now);
          // The keys, the most recently used one last.
          const used: string[] = [];
          const use = (name: string): void => {
            const at = used.indexOf(name);
            if (at >= 0) used.splice(at, 1);
            used.push(name);
          };
          for (const each of plan) {
            if (each.kind === 'pass') clock.pass(each.ms);
            else if (each.kind === 'remove') {
              store.remove(each.key);
              model.remove(each.key);
            } else if (each.kind === 'set') {
              const value = bytes(each.size, each.salt);
              store.set(each.key, value, each.ttlMs);
              model.set(each.key, value, each.ttlMs);
              use(each.key);
            } else {
              const isRecent = used.indexOf(each.key) >= used.length - maxSessions;
              const found = each.kind === 'take' ? store.take(each.key) : store.get(each.key);
              const expected = each.kind === 'take' ? model.take(each.key) : model.get(each.key);
              if (found !== undefined || isRecent) expect(found).toEqual(expected);
              if (found !== undefined && each.kind === 'get') use(each.key);
            }
            expect(store.statistics.size).toBeLessThanOrEqual(maxSessions);
          }
        }),
        1_000,
      ),
    600_000,
  );

  it(
    'never exceeds maxBytes, and counts no bytes when it is empty again',
    () =>
      checkLaw(
        fc.property(
          fc.array(fc.record({ key, size: fc.nat(VALUE_AT_MOST), salt: fc.nat(255) }), { maxLength: 30 }),
          (sets) => {
            const maxBytes = 256 * 1024;
            const store = new MemorySessionStore({ maxBytes });
            for (const each of sets) {
              const value = bytes(each.size, each.salt);
              store.set(each.key, value, 1_000);
              expect(Buffer.from(store.get(each.key) ?? []).equals(value)).toBe(true);
              expect(store.statistics.bytes).toBeLessThanOrEqual(maxBytes);
            }
            for (const each of sets) store.remove(each.key);
            expect(store.statistics).toMatchObject({ size: 0, bytes: 0 });
          },
        ),
        1_000,
      ),
    600_000,
  );
});

describe('a session server', () => {
  const asked = fc.array(fc.oneof(set, ask), { minLength: 1, maxLength: 12 });
  // Buffers of one byte on a slow link carry only a few bytes per second. With small values a frame still takes less
  // than ten seconds.
  const sizeOver = ({ latencyMs = 0 }: LinkOptions, wanted: number): number =>
    Math.min(wanted, latencyMs > 0 ? 100 : 2_000);
  const plan = fc.record({ link: link(), buffers: buffers(), batches: fc.array(asked, { maxLength: 5 }) });
  const path = '/run/sessions.sock';

  it(
    'returns the value that was set last, however the network cuts it into pieces',
    () =>
      tryLaw(
        fc.record({ plan, faults: harmlessFaults() }),
        1_000,
        ({ plan: { link: carrying, buffers: sizes, batches }, faults }) =>
          simulate({ link: carrying, faults }, async (world) => {
            const { reactor } = world.machine('here', sizes);
            const server = await SessionServer.listen(reactor, {
              path,
              store: new MemorySessionStore({ now: () => 0 }),
            });
            const store = new SessionServerStore(reactor, { path, timeoutMs: 600_000 });
            const model = new Model(() => 0);
            // The server handles the requests of a client in order, and the store in memory works at once.
            for (const batch of batches)
              await Promise.all(
                batch.map(async (each) => {
                  if (each.kind === 'set') {
                    const value = bytes(sizeOver(carrying, each.size), each.salt);
                    model.set(each.key, value, each.ttlMs);
                    await store.set(each.key, value, each.ttlMs);
                  } else if (each.kind === 'remove') {
                    model.remove(each.key);
                    await store.remove(each.key);
                  } else if (each.kind === 'take') {
                    const expected = model.take(each.key);
                    expect(await store.take(each.key)).toEqual(expected);
                  } else {
                    const expected = model.get(each.key);
                    expect(await store.get(each.key)).toEqual(expected);
                  }
                }),
              );
            await store.close();
            await server.close();
          }),
      ),
    600_000,
  );

  it(
    'returns a value that was set, or fails by its deadline, under any faults',
    () =>
      tryLaw(
        fc.record({ plan, faults: anyFaults() }),
        1_000,
        ({ plan: { link: carrying, buffers: sizes, batches }, faults }) =>
          simulate({ link: carrying, faults }, async (world) => {
            const { reactor } = world.machine('here', sizes);
            // The listen may fail as well. The store then has no server.
            const server = await SessionServer.listen(reactor, {
              path,
              store: new MemorySessionStore({ now: () => 0 }),
            }).catch(() => undefined);
            const timeoutMs = 300;
            const store = new SessionServerStore(reactor, { path, timeoutMs });
            // The possible values of each key: the certain value was set by a call that succeeded. An uncertain one
            // belongs to a call that failed, and may still take effect.
            const certain = new Map<string, Uint8Array | undefined>();
            const uncertain = new Map<string, (Uint8Array | undefined)[]>();
            const attempt = async (
              name: string,
              value: Uint8Array | undefined,
              task: () => Promise<void> | void,
            ): Promise<void> => {
              const before = certain.get(name);
              const others = [...(uncertain.get(name) ?? []), value];
              uncertain.set(name, others);
              try {
                await task();
                certain.set(name, value);
                uncertain.set(name, others.slice(0, -1));
              } catch (error) {
                if (!(error instanceof StoreError)) throw error;
                expect(certain.get(name)).toBe(before);
              }
            };
            for (const batch of batches)
              for (const each of batch) {
                const askedAt = world.now();
                if (each.kind === 'set') {
                  const value = bytes(sizeOver(carrying, each.size), each.salt);
                  await attempt(each.key, value, () => store.set(each.key, value, each.ttlMs));
                } else if (each.kind === 'remove') await attempt(each.key, undefined, () => store.remove(each.key));
                else {
                  const possible = [certain.get(each.key), ...(uncertain.get(each.key) ?? [])];
                  const check = (found: Uint8Array | undefined): void => {
                    expect(
                      possible.some((value) =>
                        value === undefined
                          ? found === undefined
                          : found !== undefined && Buffer.from(found).equals(value),
                      ),
                    ).toBe(true);
                  };
                  try {
                    if (each.kind === 'get') check(await store.get(each.key));
                    else
                      await attempt(each.key, undefined, async () => {
                        check(await store.take(each.key));
                      });
                  } catch (error) {
                    if (!(error instanceof StoreError)) throw error;
                  }
                }
                expect(world.now() - askedAt).toBeLessThanOrEqual(timeoutMs + 4);
              }
            await store.close();
            await server?.close();
          }),
      ),
    600_000,
  );
});
