import { AsyncLocalStorage } from 'node:async_hooks';

import { firstValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';

import { END } from '../../core/want.ts';
import type { Connection } from './connection.ts';
import type { Reactor } from '../reactor.ts';
import { portOf, withReactor } from '../testing/with-reactor.ts';

async function pair(reactor: Reactor): Promise<[client: Connection, server: Connection]> {
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  const [client, server] = await Promise.all([
    reactor.connect({ host: '127.0.0.1', port: portOf(listener) }),
    listener.accept(),
  ]);
  listener.close();
  return [client, server];
}

/** Resolves after `count` turns of the reactor. */
async function turns(reactor: Reactor, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await reactor.select({}, 0);
}

describe('readiness', () => {
  it('is emitted once in each turn while it lasts, and never inside subscribe', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send('abc');
      await firstValueFrom(client.readable$);
      const seen: number[] = [];
      const results: number[] = [];
      let subscribed = false;
      const subscription = client.readable$.subscribe(() => {
        expect(subscribed).toBe(true);
        seen.push(reactor.loop.turns);
        results.push(client.tryReceiveInto(new Uint8Array(1)));
      });
      subscribed = true;
      while (results.filter((result) => result === 1).length < 3) await turns(reactor, 1);
      await turns(reactor, 5);
      expect(seen).toEqual([...new Set(seen)]);
      // The three bytes are taken one at a time. One more emission may find no byte left. After that there is none.
      expect(results.slice(results.lastIndexOf(1) + 1).length).toBeLessThanOrEqual(1);
      subscription.unsubscribe();
      client.abort();
      server.abort();
    }));

  it('exists for bytes that were put back', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      client.unread(Buffer.from('again'));
      const { readable, timedOut } = await reactor.select({ read: [client, server] }, 1_000);
      expect(readable).toEqual([client]);
      expect(timedOut).toBe(false);
      expect(Buffer.from(client.tryReceive() as Uint8Array).toString()).toBe('again');
      client.abort();
      server.abort();
    }));

  it('is awaited by a select no longer than its timeout', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      expect(await reactor.select({ read: [client] }, 10)).toEqual({ readable: [], writable: [], timedOut: true });
      expect(await reactor.select({ read: [client], write: [server] }, 0)).toEqual({
        readable: [],
        writable: [server],
        timedOut: false,
      });
      client.abort();
      server.abort();
    }));

  it('is disarmed for a handler that spins, with a "spin" event, and armed again by the next try', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send('x');
      let emissions = 0;
      const spinning = new Promise((resolve) => reactor.once('spin', resolve));
      client.readable$.subscribe(() => emissions++);
      expect(await spinning).toBe(client);
      await turns(reactor, 5);
      expect(emissions).toBe(64);
      client.unread(client.tryReceive() as Uint8Array);
      await turns(reactor, 5);
      expect(emissions).toBeGreaterThan(64);
      client.abort();
      server.abort();
    }));

  it('has handlers whose continuations run before the next turn', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const rounds: { turn: number; after: number[] }[] = [];
      const done = new Promise<void>((resolve) => {
        client.readable$.subscribe(() => {
          // An emission is a hint: a try may still find nothing.
          if (typeof client.tryReceive() === 'number') return;
          const turn = reactor.loop.turns;
          const after: number[] = [];
          rounds.push({ turn, after });
          void (async () => {
            for (let i = 0; i < 3; i++) {
              await Promise.resolve();
              after.push(reactor.loop.turns);
            }
            if (rounds.length < 100) await server.send('x');
            else resolve();
          })();
        });
      });
      await server.send('x');
      await done;
      for (const { turn, after } of rounds) expect(after).toEqual([turn, turn, turn]);
      client.abort();
      server.abort();
    }));

  it('may have a handler that closes, aborts or unsubscribes', () =>
    withReactor(async (reactor) => {
      for (const act of ['abort', 'close', 'unsubscribe'] as const) {
        const [client, server] = await pair(reactor);
        await server.send('x');
        await new Promise<void>((resolve) => {
          const subscription = client.readable$.subscribe({
            next: () => {
              if (act === 'abort') client.abort();
              else if (act === 'close') void client.close();
              else subscription.unsubscribe();
              resolve();
            },
          });
        });
        await turns(reactor, 3);
        client.abort();
        server.abort();
      }
    }));

  it('completes when the connection closes', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const completed = new Promise<void>((resolve) => client.readable$.subscribe({ complete: resolve }));
      client.abort();
      await completed;
      server.abort();
    }));

  it('is emitted for the end until the end was received', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const results: number[] = [];
      client.readable$.subscribe(() => results.push(client.tryReceiveInto(new Uint8Array(8))));
      await server.shutdown('send');
      await turns(reactor, 6);
      expect(results.at(-1)).toBe(END);
      const length = results.length;
      await turns(reactor, 6);
      expect(results.length).toBe(length);
      client.abort();
      server.abort();
    }));

  it('has handlers that run in the asynchronous context of their subscription', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const storage = new AsyncLocalStorage<string>();
      const seen = storage.run(
        'mine',
        () =>
          new Promise((resolve) => {
            client.readable$.subscribe(() => {
              resolve(storage.getStore());
              client.tryReceive();
            });
          }),
      );
      await storage.run('another', () => server.send('x'));
      expect(await seen).toBe('mine');
      client.abort();
      server.abort();
    }));
});
