// Law: an operation that waits on a connection, a listener or a relay settles when this side ends it, in any of the
// ways to end it. An operation that begins after the end settles at once.

import { lastValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { describe, expect, it } from 'vitest';

import { Relay } from '../../protocols/relay.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { toDuplex } from '../../reactor/streams/to-duplex.ts';
import { WantioError } from '../../core/errors.ts';
import type { SimulatedMachine, World } from '../../reactor/simulated/world.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const contexts = await contextsFor('TLSv1.3');

interface Scene {
  readonly world: World;
  readonly here: SimulatedMachine;
  readonly connection: Connection;
  readonly peer: Connection;
}

interface Waiter {
  readonly wait: (scene: Scene) => Promise<unknown>;
  /** An operation occupies its direction. While it runs, no layer and no stream can take the connection over. */
  readonly isOperation?: boolean;
}

const complete = (observable: Observable<unknown>): Promise<unknown> =>
  lastValueFrom(observable, { defaultValue: undefined });

/** Each promise settles when the wait ends. */
const WAITERS: Record<string, Waiter> = {
  'a select to read': {
    wait: ({ here, connection }) => here.reactor.select({ read: [connection] }).then(() => undefined),
  },
  'a receive': { wait: ({ connection }) => connection.receive().then(() => undefined), isOperation: true },
  'a receive until a delimiter': {
    wait: ({ connection }) => connection.receiveUntil('\r\n').then(() => undefined),
    isOperation: true,
  },
  'a skip': { wait: ({ connection }) => connection.skip(9).then(() => undefined), isOperation: true },
  'a receive into memory': {
    wait: ({ connection }) => connection.receiveInto(Buffer.alloc(9)).then(() => undefined),
    isOperation: true,
  },
  'a send': {
    wait: ({ connection }) => connection.send(Buffer.alloc(1_000_000)).then(() => undefined),
    isOperation: true,
  },
  'a shutdown of the receiving direction': {
    wait: ({ connection }) => connection.shutdown('receive').then(() => undefined),
    isOperation: true,
  },
  lines: {
    wait: async ({ connection }) => {
      for await (const line of connection.lines()) expect(line).toBe('never');
    },
    isOperation: true,
  },
  iteration: {
    wait: async ({ connection }) => {
      for await (const bytes of connection) expect(bytes).toBe('never');
    },
    isOperation: true,
  },
  readable$: { wait: ({ connection }) => complete(connection.readable$) },
  wants$: { wait: ({ connection }) => complete(connection.wants$) },
  'the signal': {
    wait: ({ connection }) =>
      new Promise((resolve) => {
        if (connection.signal.aborted) resolve(undefined);
        else connection.signal.addEventListener('abort', resolve, { once: true });
      }),
  },
  'a relay': {
    wait: async ({ world, here, connection }) => {
      const other = await anotherFor(world, here);
      return new Relay(connection, other).done;
    },
    isOperation: true,
  },
  'a relay as its second side': {
    wait: async ({ world, here, connection }) => {
      const other = await anotherFor(world, here);
      return new Relay(other, connection).done;
    },
    isOperation: true,
  },
};

/** A wait may end with a result, a typed error, or the reason that the test gave. */
function expectTyped(outcome: unknown): void {
  if (outcome instanceof Error && outcome !== REASON) expect(outcome).toBeInstanceOf(WantioError);
}

const REASON = new Error('enough');
let port = 100;

async function run(scenario: (world: World) => Promise<void>): Promise<void> {
  await simulate({}, scenario);
}

async function anotherFor(world: World, here: SimulatedMachine): Promise<Connection> {
  const there = world.machines.find(({ host }) => host.name === 'there') as SimulatedMachine;
  const listener = await there.reactor.listen({ host: '0.0.0.0', port: ++port });
  const [other, accepted] = await Promise.all([here.reactor.connect({ host: 'there', port }), listener.accept()]);
  void accepted.receive('*a').then(
    () => accepted.close(),
    () => undefined,
  );
  return other;
}

/** The ways to end a connection from this side. Each promise resolves when the end is complete. */
const ENDINGS: Record<string, { readonly end: (scene: Scene) => Promise<unknown>; readonly takesOver?: boolean }> = {
  abort: { end: ({ connection }) => Promise.resolve(connection.abort()) },
  'abort with a reason': { end: ({ connection }) => Promise.resolve(connection.abort(REASON)) },
  close: { end: ({ connection }) => connection.close({ idleMs: 100 }) },
  breakOff: { end: ({ connection }) => connection.breakOff({ idleMs: 100 }) },
  'an abort of the reactor': { end: ({ here }) => Promise.resolve(here.reactor.abort()) },
  'a drain that takes too long': { end: ({ here }) => here.reactor.close({ timeoutMs: 50 }) },
  'a layer that takes it over': {
    end: ({ connection }) => Promise.resolve(connection.secure(contexts.client, { serverName: 'there' }).abort()),
    takesOver: true,
  },
  'a stream that is destroyed': {
    end: ({ connection }) => new Promise((resolve) => toDuplex(connection).once('close', resolve).destroy()),
    takesOver: true,
  },
};

describe.each(Object.keys(ENDINGS))('%s', (how) => {
  const { end, takesOver = false } = ENDINGS[how];

  it.each(Object.entries(WAITERS).filter(([, { isOperation = false }]) => !takesOver || !isOperation))(
    'wakes %s',
    async (_, { wait }) => {
      await simulate({}, async (world) => {
        const { here, client, server } = await pairIn(world, { sendBuffer: 1_000, receiveBuffer: 1_000 });
        const scene = { world, here, connection: client, peer: server };
        const woken = wait(scene).catch((error: unknown) => error);
        await world.sleep(10);
        const ended = end(scene);
        // A drain waits for the peer, which sends nothing.
        const [, outcome] = await Promise.all([ended, woken]);
        expectTyped(outcome);
        server.abort();
      });
    },
  );

  it.each(Object.entries(WAITERS))('settles %s that begins afterwards', async (name, { wait }) => {
    await simulate({}, async (world) => {
      const { here, client, server } = await pairIn(world);
      const scene = { world, here, connection: client, peer: server };
      // A relay needs a second connection, and a closed reactor cannot make one. So the test makes it first.
      if (name.includes('relay') && (how.includes('reactor') || how.includes('drain'))) {
        const other = await anotherFor(world, here);
        await end(scene);
        expectTyped(await new Relay(client, other).done.catch((error: unknown) => error));
      } else {
        await end(scene);
        expectTyped(
          await Promise.resolve()
            .then(() => wait(scene))
            .catch((error: unknown) => error),
        );
      }
      server.abort();
    });
  });
});

describe('the close of a listener', () => {
  it('settles an accept, a select and connections$ that began before it or begin after it', () =>
    run(async (world) => {
      const { reactor } = world.machine('here');
      const listener = await reactor.listen({ host: '0.0.0.0', port: 1 });
      const waits = () =>
        [
          Promise.resolve(listener.accept()),
          reactor.select({ read: [listener] }).then(() => undefined),
          complete(listener.connections$),
        ].map((each) => each.catch((error: unknown) => error));
      const before = waits();
      await world.sleep(1);
      listener.close();
      expect((await Promise.all(before)).map(String)).toEqual([
        'ClosedError: accept failed: the listener was closed',
        'undefined',
        'undefined',
      ]);
      expect((await Promise.all(waits())).map(String)).toEqual([
        'ClosedError: accept refused: the listener is closed',
        'undefined',
        'undefined',
      ]);
    }));
});

describe("the peer's end", () => {
  it.each(['plain', 'over TLS'])(
    'is emitted without a running receive, and keeps the bytes that came before it: %s',
    (kind) =>
      run(async (world) => {
        const { client, server } = await pairIn(world, {}, kind === 'plain' ? undefined : contexts);
        await Promise.all([client.handshake(), server.handshake()]);
        const told: string[] = [];
        client.on('end', () => told.push('end')).on('broken', () => told.push('broken'));
        await server.send('last words');
        await world.sleep(1);
        expect(told).toEqual([]);
        await server.shutdown('send');
        await world.sleep(1);
        expect([told, client.signal.aborted]).toEqual([['end'], false]);
        // A later receive sees the end as well, but the event comes once.
        expect(Buffer.from(await client.receive('*a')).toString()).toBe('last words');
        await client.send('still listening?\n');
        expect(await server.receive()).toBe('still listening?');
        server.abort();
        await world.sleep(1);
        expect(told).toEqual(['end', 'broken']);
        expect(client.signal).toMatchObject({ aborted: true });
        expect(String(client.signal.reason)).toMatch(/SystemError/);
        client.abort();
      }),
  );

  it('is emitted to an event listener that is added afterwards', () =>
    run(async (world) => {
      const { client, server } = await pairIn(world);
      await server.shutdown('send');
      await world.sleep(5);
      const told = new Promise<void>((resolve) => client.once('end', resolve));
      await told;
      client.abort();
    }));

  it('notifies each later subscriber of readiness once, even after it was read', () =>
    run(async (world) => {
      const { client, server } = await pairIn(world);
      await server.shutdown('send');
      expect((await client.receive('*a')).length).toBe(0);
      for (let round = 0; round < 2; round++) {
        let shown = 0;
        const subscription = client.readable$.subscribe(() => shown++);
        await world.sleep(20);
        subscription.unsubscribe();
        expect(shown).toBe(1);
      }
      client.abort();
    }));

  it('ends a relay that is made after it was read', () =>
    run(async (world) => {
      const { here, client, server } = await pairIn(world);
      await server.shutdown('send');
      expect((await client.receive('*a')).length).toBe(0);
      const relay = new Relay(client, await anotherFor(world, here));
      await server.receive('*a');
      await server.close();
      expect(await relay.done).toMatchObject({ forward: 0, backward: 0 });
    }));
});
