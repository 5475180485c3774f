// Law: a program may close, abort, unsubscribe, cancel or begin operations inside any callback. Another connection of
// the same reactor, the witness, still gets its bytes, every operation settles, and everything is released.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { harmlessFaults, link } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const acts = [
  'close',
  'abort',
  'unsubscribe',
  'cancel',
  'close the listener',
  'send',
  'receive',
  'shutdown',
  'unread',
  'nothing',
] as const;
const places = ['readable', 'writable', 'wants', 'close event', 'progress', 'continuation', 'secure'] as const;
const plan = fc.record({
  link: link(),
  faults: harmlessFaults(),
  script: fc.array(
    fc.record({
      place: fc.constantFrom(...places),
      nth: fc.integer({ min: 1, max: 4 }),
      act: fc.constantFrom(...acts),
    }),
    { minLength: 1, maxLength: 4 },
  ),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

const run = ({ link: carrying, faults, script }: Plan, contexts?: Contexts) =>
  simulate({ link: carrying, faults }, async (world) => {
    const [here, there] = [world.machine('here'), world.machine('there')];
    const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
    listener.serve(
      { ...(contexts && { secure: contexts.server }), timeouts: { blockMs: 2_000 } },
      async (connection) => {
        for await (const bytes of connection) await connection.send(bytes);
      },
    );
    const connect = (): PromiseLike<Connection> => {
      const target = { host: 'there', port: 7, timeouts: { totalMs: 10_000 } };
      return contexts === undefined
        ? here.reactor.connect(target)
        : here.reactor.connectSecure({ ...target, secure: contexts.client });
    };
    const witness = await connect();
    const actor = await connect();
    actor.timeouts = { totalMs: 3_000 };

    const settled: PromiseLike<unknown>[] = [];
    const watch = (promise: PromiseLike<unknown>): void => {
      settled.push(
        promise.then(undefined, (error: unknown) => {
          if (!(error instanceof WantioError)) throw error;
        }),
      );
    };
    const cancel = new AbortController();
    const subscriptions: { unsubscribe(): void }[] = [];
    const counts = new Map<string, number>();
    const at = (place: (typeof places)[number]): void => {
      const nth = (counts.get(place) ?? 0) + 1;
      counts.set(place, nth);
      for (const { act } of script.filter((each) => each.place === place && each.nth === nth)) perform(act);
    };
    const perform = (act: (typeof acts)[number]): void => {
      switch (act) {
        case 'close':
          return watch(actor.close());
        case 'abort':
          return actor.abort();
        case 'unsubscribe':
          return subscriptions.splice(0).forEach((each) => {
            each.unsubscribe();
          });
        case 'cancel':
          return cancel.abort();
        case 'close the listener':
          return listener.close();
        case 'send':
          return watch(actor.send('more', { signal: cancel.signal }));
        case 'receive':
          return watch(actor.receive(1, { signal: cancel.signal }));
        case 'shutdown':
          return watch(actor.shutdown('send'));
        case 'unread':
          return actor.unread(Buffer.from('x'));
        case 'nothing':
          return;
      }
    };

    actor.on('close', () => {
      at('close event');
    });
    actor.on('secure', () => {
      at('secure');
    });
    subscriptions.push(
      actor.readable$.subscribe(() => {
        at('readable');
      }),
      actor.writable$.subscribe(() => {
        at('writable');
      }),
      actor.wants$.subscribe(() => {
        at('wants');
      }),
    );
    const sending = actor.send(new Uint8Array(3_000), { signal: cancel.signal });
    subscriptions.push(
      sending.progress$.subscribe(() => {
        at('progress');
      }),
    );
    watch(
      sending.then(() => {
        at('continuation');
      }),
    );
    watch(
      actor.receive(100, { signal: cancel.signal }).then(() => {
        at('continuation');
      }),
    );

    await witness.send('I saw it\n');
    expect(await witness.receive()).toBe('I saw it');
    await world.sleep(500);
    await Promise.all(settled);
    // Operations that began later settle as well, at the latest at their limits.
    await world.sleep(5_000);
    await Promise.all(settled);
    await Promise.all([witness.close(), actor.close()]);
  });

describe('calls inside callbacks', () => {
  it('do not disturb another plain connection', () => tryLaw(plan, 1_000, (each) => run(each)), 600_000);
  it('do not disturb another connection over TLS', async () => {
    const contexts = await contextsFor('TLSv1.3');
    await tryLaw(plan, 200, (each) => run(each, contexts));
  }, 600_000);
});
