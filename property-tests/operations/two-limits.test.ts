// Law: when two limits apply at once, the shorter one ends the work, exactly at its moment. The error names this limit,
// whichever of the two it is.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Operation } from '../../core/operation.ts';
import type { Timeouts } from '../../core/timeouts.ts';
import { Relay } from '../../protocols/relay.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { ConnectionCloseOptions } from '../../reactor/connections/progress-watch.ts';
import { checkLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Pair } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';
import type { World } from '../../reactor/simulated/world.ts';

const contexts = await contextsFor('TLSv1.3');

interface Scene extends Pair {
  readonly world: World;
}

/** Work with two limits. */
interface Limited {
  /** For each limit, a text that the outcome contains when this limit ends the work. */
  readonly limits: readonly [string, string];
  /** Whether the buffers on the way to the peer are full when the work begins. */
  readonly isFull?: boolean;
  /** Runs the work with both limits. @returns a text that says how it ended. */
  readonly run: (scene: Scene, first: number, second: number) => Promise<string>;
}

const nothing = (): void => undefined;
const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error as Error).message,
  );

/** An operation that never ends by itself, so that a limit must end it. */
function operation(begin: (scene: Scene, timeouts: Timeouts) => Operation<unknown> | Promise<unknown>): Limited {
  return {
    limits: ['block', 'total'],
    run: (scene, blockMs, totalMs) => messageOf(Promise.resolve(begin(scene, { blockMs, totalMs }))),
  };
}

/** A close that waits for a peer that reads nothing. */
function ending(end: (client: Connection, limits: ConnectionCloseOptions) => Promise<void>): Limited {
  return {
    limits: ['ended', 'ended'],
    isFull: true,
    run: ({ client }, timeoutMs, idleMs) =>
      end(client, { timeoutMs, idleMs, minBytesPerSecond: 0 }).then(() => 'ended'),
  };
}

const WORK: Record<string, Limited> = {
  receive: operation(({ client }, timeouts) => client.receive('*l', { timeouts })),
  'receive with the limits of the connection': operation(({ client }, timeouts) => {
    client.timeouts = timeouts;
    return client.receive('*l');
  }),
  receiveUntil: operation(({ client }, timeouts) => client.receiveUntil('\r\n', { timeouts })),
  skip: operation(({ client }, timeouts) => client.skip(1, { timeouts })),
  receiveInto: operation(({ client }, timeouts) => client.receiveInto(new Uint8Array(1), { timeouts })),
  'send to a peer that reads nothing': operation(({ client }, timeouts) =>
    client.send(Buffer.alloc(10_000), { timeouts }),
  ),
  handshake: operation(({ client }, timeouts) =>
    client.secure(contexts.client, { serverName: 'there' }).handshake({ timeouts }),
  ),
  'connect to a host that does not answer': operation(({ world, here, there }, timeouts) => {
    world.link(here, there).partition();
    return here.reactor.connect({ host: 'there', port: 7, timeouts });
  }),
  'connect to a name whose look-up takes long': operation(({ world, here }, timeouts) => {
    world.network.name('slow.test', ['10.0.0.2'], { delayMs: 100_000 });
    return here.reactor.connect({ host: 'slow.test', port: 7, timeouts });
  }),
  accept: operation(async ({ here }, timeouts) =>
    (await here.reactor.listen({ host: '0.0.0.0', port: 9 })).accept({ timeouts }),
  ),
  'receive with a block limit of the call and a total limit of the connection': {
    limits: ['block', 'total'],
    run: ({ client }, blockMs, totalMs) => {
      client.timeouts = { blockMs: 100_000, totalMs };
      return messageOf(client.receive('*l', { timeouts: { blockMs } }));
    },
  },
  relay: {
    limits: ['block', 'total'],
    run: ({ client, server }, idleMs, totalMs) => messageOf(new Relay(client, server, { idleMs, totalMs }).done),
  },
  'close with a peer that reads nothing': ending((client, limits) => client.close(limits)),
  'breakOff with a peer that reads nothing': ending((client, limits) => client.breakOff(limits)),
  'drain with a closing connection': {
    limits: ['ended', 'ended'],
    isFull: true,
    run: async ({ here, client }, timeoutMs, idleMs) => {
      const closing = client.close({ timeoutMs: Infinity, idleMs, minBytesPerSecond: 0 });
      await here.reactor.close({ timeoutMs });
      await closing;
      return 'ended';
    },
  },
  'serve with handshakeMs and a total limit': {
    limits: ['total', 'total'],
    run: (scene, handshakeMs, totalMs) => servedSilence(scene, handshakeMs, { totalMs }),
  },
  'serve with handshakeMs and a block limit': {
    limits: ['total', 'block'],
    run: (scene, handshakeMs, blockMs) => servedSilence(scene, handshakeMs, { blockMs }),
  },
  'receive with a signal and a total limit': {
    limits: ['cancelled', 'total'],
    run: ({ client, here }, signalMs, totalMs) => {
      const controller = new AbortController();
      const cancel = here.reactor.after(signalMs, () => {
        controller.abort();
      });
      return messageOf(client.receive('*l', { signal: controller.signal, timeouts: { totalMs } })).finally(cancel);
    },
  },
};

/** Serves a client that never begins its handshake. @returns the message of the clientError event. */
async function servedSilence({ here, there }: Scene, handshakeMs: number, timeouts: Timeouts): Promise<string> {
  const listener = await there.reactor.listen({ host: '0.0.0.0', port: 9 });
  const message = new Promise<string>((resolve) => {
    listener.on('clientError', (error) => {
      resolve(error.message);
    });
  });
  listener.serve({ secure: contexts.server, handshakeMs, timeouts }, nothing);
  await here.reactor.connect({ host: 'there', port: 9 });
  return message;
}

/** Sends until the buffers of both systems are full. */
async function fill(world: World, { client }: Pair): Promise<void> {
  while (client.trySend(new Uint8Array(1_000)) > 0) await world.sleep(1);
}

describe.each(Object.entries(WORK))('%s', (_, { limits: [first, second], isFull = false, run }) => {
  it(
    'ends at the shorter of its limits',
    () =>
      checkLaw(
        fc.asyncProperty(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 1, max: 900 }), async (one, other) => {
          fc.pre(one !== other);
          await simulate({}, async (world) => {
            const pair = await pairIn(world, { sendBuffer: 1_000, receiveBuffer: 1_000 });
            if (isFull) await fill(world, pair);
            const startedAt = world.now();
            const outcome = await run({ world, ...pair }, one, other);
            expect(outcome).toContain(one < other ? first : second);
            expect(world.now() - startedAt).toBe(Math.min(one, other));
          });
        }),
        60,
      ),
    60_000,
  );
});
