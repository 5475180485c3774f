// Law: however an operation ends, it leaves nothing behind: no deadline, no listener on its signal or its connection,
// no entry in `reactor.operations()`. No system call uses a closed descriptor.

import { getEventListeners } from 'node:events';

import { describe, expect, it } from 'vitest';

import { ClosedError } from '../../core/errors.ts';
import type { OperationOptions } from '../../core/operation.ts';
import { Relay } from '../../protocols/relay.ts';
import type { Listener } from '../../reactor/listening/listener.ts';
import { EBADF, ECONNRESET, systemError } from '../../reactor/system-calls.ts';
import type { SimulatedMachine, World } from '../../reactor/simulated/world.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Pair } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const contexts = await contextsFor('TLSv1.3');

interface Scene extends Pair {
  readonly world: World;
}

interface Work {
  readonly begin: (scene: Scene, options: OperationOptions) => Promise<unknown>;
  /** What the peer does so that the operation succeeds. Absent if the operation succeeds without it. */
  readonly help?: (scene: Scene) => unknown;
  /** Whether the buffers on the way to the peer are full when the operation begins. */
  readonly isFull?: boolean;
  /** The operation takes no `timeouts`. */
  readonly isUnlimited?: boolean;
}

const fullListeners = new WeakMap<SimulatedMachine, Listener>();

const WORK: Record<string, Work> = {
  receive: { begin: ({ client }, options) => client.receive('*l', options), help: ({ server }) => server.send('hi\n') },
  receiveInto: {
    begin: ({ client }, options) => client.receiveInto(new Uint8Array(9), options),
    help: ({ server }) => server.send('hi\n'),
  },
  receiveUntil: {
    begin: ({ client }, options) => client.receiveUntil('\r\n', options),
    help: ({ server }) => server.send('hi\r\n'),
  },
  skip: { begin: ({ client }, options) => client.skip(2, options), help: ({ server }) => server.send('hi') },
  lines: { begin: ({ client }, options) => client.lines(options).next(), help: ({ server }) => server.send('hi\n') },
  send: {
    begin: ({ client }, options) => client.send(Buffer.alloc(10_000), options),
    help: ({ server }) => server.receive('*a').catch(() => undefined),
    isFull: true,
  },
  handshake: {
    begin: ({ client }, options) => client.secure(contexts.client, { serverName: 'there' }).handshake(options),
    help: ({ server }) =>
      server
        .secure(contexts.server)
        .handshake()
        .catch(() => undefined),
  },
  connect: {
    begin: ({ world, here, there }, options) => {
      world.link(here, there).partition();
      return here.reactor.connect({ host: 'there', port: 7, ...options });
    },
    help: ({ world, here, there }) => {
      world.link(here, there).heal();
    },
  },
  'connect to a Unix socket whose backlog is full': {
    begin: async ({ here }, options) => {
      const listener = await here.reactor.listen({ path: '/full', backlog: 0 });
      await here.reactor.connect({ path: '/full' });
      fullListeners.set(here, listener);
      return here.reactor.connect({ path: '/full', ...options });
    },
    help: ({ here }) => fullListeners.get(here)?.accept(),
  },
  'connect to a name': {
    begin: ({ world, here }, options) => {
      world.network.name('slow.test', ['10.0.0.2'], { delayMs: 50 });
      return here.reactor.connect({ host: 'slow.test', port: 7, ...options });
    },
  },
  accept: {
    begin: async ({ here }, options) => (await here.reactor.listen({ host: '0.0.0.0', port: 9 })).accept(options),
    help: ({ there }) => there.reactor.connect({ host: 'here', port: 9 }),
  },
  select: {
    begin: ({ here, client }, { signal }) => here.reactor.select({ read: [client] }, Infinity, { signal }),
    help: ({ server }) => server.send('hi\n'),
    isUnlimited: true,
  },
  sleep: { begin: ({ here }, { signal }) => here.reactor.sleep(50, { signal }), isUnlimited: true },
  relay: {
    begin: ({ client, here }, { signal }) =>
      here.reactor.connect({ host: 'there', port: 7 }).then((second) => new Relay(client, second, { signal }).done),
    help: ({ server }) => server.close(),
    isUnlimited: true,
  },
};

const REASONS = {
  'no reason': undefined,
  'an Error of the caller as its reason': new Error('mine'),
  'a WantioError as its reason': new ClosedError('enough'),
  'a system error as its reason': systemError(-ECONNRESET, 'recv'),
};

describe.each(['TCP', 'TLS'])('an abort over %s', (layer) => {
  it.each(Object.entries(REASONS))('releases everything at once, with %s', (_, reason) =>
    simulate({}, async (world) => {
      const pair = await pairIn(world, {}, layer === 'TLS' ? contexts : undefined);
      const { here, client, server } = pair;
      await Promise.all([client.handshake(), server.handshake()]);
      await server.send('unread');
      await world.sleep(5);
      const abortedAt = world.now();
      const closing = client.close();
      client.abort(reason);
      expect([here.host.openDescriptors, here.reactor.connections.size, here.reactor.loop.deadlines.size]).toEqual([
        0, 0, 0,
      ]);
      await closing;
      expect(world.now()).toBe(abortedAt);
      server.abort(reason);
      await server.close();
      expect(world.now()).toBe(abortedAt);
    }).then(() => undefined),
  );
});

const ENDINGS = [
  'success',
  'an abort',
  'a timeout',
  'the close of the connection',
  'a break by the peer',
  'the end of the reactor',
] as const;

async function fill(world: World, { client }: Pair): Promise<void> {
  while (client.trySend(new Uint8Array(1_000)) > 0) await world.sleep(1);
}

describe.each(Object.entries(WORK))('%s', (_, { begin, help, isFull = false, isUnlimited = false }) => {
  it.each(ENDINGS.filter((ending) => !isUnlimited || ending !== 'a timeout'))(
    'leaves nothing behind after %s',
    (ending) =>
      simulate({}, async (world, { trace }) => {
        const pair = await pairIn(world, { sendBuffer: 1_000, receiveBuffer: 1_000 });
        const { here, client, server } = pair;
        if (isFull) await fill(world, pair);
        const controller = new AbortController();
        const listeners = (): number[] => [
          getEventListeners(controller.signal, 'abort').length,
          getEventListeners(client.signal, 'abort').length,
          here.reactor.operations().length,
        ];
        const before = [...listeners(), here.reactor.loop.deadlines.size];
        const timeouts = ending === 'a timeout' ? { totalMs: 20 } : {};
        let hasSettled = false;
        const outcome = begin({ world, ...pair }, { signal: controller.signal, timeouts })
          .catch((error: unknown) => error)
          .finally(() => {
            hasSettled = true;
          });
        await world.sleep(10);
        expect(hasSettled).toBe(false);
        if (ending === 'success') void Promise.resolve(help?.({ world, ...pair }));
        else if (ending === 'an abort') controller.abort(new ClosedError('enough'));
        else if (ending === 'the close of the connection') client.abort();
        else if (ending === 'a break by the peer') server.abort();
        else if (ending === 'the end of the reactor') here.reactor.abort();
        // An operation that does not depend on the connection still runs. It is cancelled here.
        await world.sleep(200);
        if (!hasSettled) controller.abort();
        if (!hasSettled || isUnlimited) await world.sleep(1);
        const value = await outcome;
        if (ending === 'an abort') expect(value).toBeInstanceOf(Error);
        expect(listeners()).toEqual(before.slice(0, 3));
        // The relay's connections may still be ending.
        client.abort();
        server.abort();
        here.reactor.abort();
        await world.sleep(1);
        expect(here.reactor.loop.deadlines.size).toBe(0);
        expect(trace.entries.filter(({ result }) => result === -EBADF)).toEqual([]);
      }).then(() => undefined),
  );
});
