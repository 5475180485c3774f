import { describe, expect, it } from 'vitest';

import { ClosedError, OperationTimeoutError, SystemError } from '../../core/errors.ts';
import type { Connection } from '../connections/connection.ts';
import { DeadlockError, LivelockError, World } from './world.ts';
import type { SimulatedMachine } from './world.ts';

/** Both ends of a connection: a client on one machine and a server on another. */
async function pair(
  here: SimulatedMachine,
  there: SimulatedMachine,
): Promise<[client: Connection, server: Connection]> {
  const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
  const ends = await Promise.all([here.reactor.connect({ host: there.host.name, port: 7 }), listener.accept()]);
  listener.close();
  return ends;
}

const failure = (promise: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(promise).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('a world', () => {
  it('jumps to the time of the next event', async () => {
    const world = new World({ link: { latencyMs: 40 } });
    const [here, there] = [world.machine('here'), world.machine('there')];
    const times = await world.run(
      (async () => {
        const [client, server] = await pair(here, there);
        const connectedAt = world.now();
        await client.send('x\n');
        await server.receive();
        const receivedAt = world.now();
        await world.sleep(3_600_000);
        return [connectedAt, receivedAt, world.now()];
      })(),
    );
    expect(times).toEqual([80, 120, 3_600_120]);
  });

  it.each([0, 10])('gives the reader a turn after each segment (latency %i ms)', async (latencyMs) => {
    const world = new World({ link: { latencyMs, segment: 3 } });
    const [here, there] = [world.machine('here'), world.machine('there')];
    const pieces = await world.run(
      (async () => {
        const [client, server] = await pair(here, there);
        await client.send('0123456789');
        await client.shutdown('send');
        const received = [];
        for await (const piece of server) received.push(Buffer.from(piece).toString());
        await Promise.all([client.close(), server.close()]);
        return received;
      })(),
    );
    expect(pieces).toEqual(['012', '345', '678', '9']);
  });

  it('does not cut a stream into ever smaller segments when the buffers are small', async () => {
    const world = new World({ link: { segment: 512 } });
    const [here, there] = ['here', 'there'].map((name) =>
      world.machine(name, { sendBuffer: 1_025, receiveBuffer: 1_024 }),
    );
    const sizes = await world.run(
      (async () => {
        const [client, server] = await pair(here, there);
        const sent = client.send(new Uint8Array(20_000)).then(() => client.shutdown('send'));
        const received = [];
        for await (const piece of server) received.push(piece.length);
        await sent;
        await Promise.all([client.close(), server.close()]);
        return received;
      })(),
    );
    expect(sizes.reduce((sum, size) => sum + size)).toBe(20_000);
    expect(sizes.length).toBeLessThan(20_000 / 256);
  });

  it('throws a DeadlockError that lists each waiting operation, its want and its start', async () => {
    const world = new World({ link: { latencyMs: 5 } });
    const [here, there] = [world.machine('here'), world.machine('there')];
    const error = await failure(
      world.run(
        (async () => {
          const [client] = await pair(here, there);
          await client.receive();
        })(),
      ),
    );
    expect(error).toBeInstanceOf(DeadlockError);
    expect((error as DeadlockError).waiting).toMatchObject([
      { name: 'receive', want: 'read', sinceMs: 10, remaining: null, peer: { host: '10.0.0.2', port: 7 } },
    ]);
    expect((error as Error).message).toContain(
      'deadlock at 10 ms: no event is left in the world that could wake\n  receive wants read since 10 ms',
    );
  });

  it('throws a LivelockError after too many steps', async () => {
    const world = new World();
    const { reactor } = world.machine('only');
    const spinning = (async () => {
      for (;;) await reactor.select({}, 0);
    })();
    expect(await failure(world.run(spinning, 500))).toBeInstanceOf(LivelockError);
    const again = new World();
    const machine = again.machine('only');
    void (async () => {
      for (;;) await machine.reactor.select({}, 0);
    })();
    await new Promise((resolve) => setImmediate(resolve));
    expect(await failure(again.driveBounded(500))).toBeInstanceOf(LivelockError);
  });

  it('can be driven step by step', async () => {
    const world = new World();
    const [here, there] = [world.machine('here'), world.machine('there')];
    let line = '';
    void (async () => {
      const [client, server] = await pair(here, there);
      void client.send('driven\n');
      line = await server.receive();
    })();
    await new Promise((resolve) => setImmediate(resolve));
    while (line === '') if (!(await world.step())) await new Promise((resolve) => setImmediate(resolve));
    expect(line).toBe('driven');
  });
});

describe('a simulated network', () => {
  it('carries bytes no faster than its bandwidth', async () => {
    const world = new World({ link: { latencyMs: 10, bandwidth: 1_000 } });
    const [here, there] = [world.machine('here'), world.machine('there')];
    await world.run(
      (async () => {
        const [client, server] = await pair(here, there);
        const startedAt = world.now();
        await Promise.all([client.send(new Uint8Array(500)), server.receive(500)]);
        expect(world.now() - startedAt).toBe(510);
      })(),
    );
  });

  it('holds all bytes back while it is partitioned, and delivers them after it heals', async () => {
    const world = new World({ link: { latencyMs: 1 } });
    const [here, there] = [world.machine('here'), world.machine('there')];
    await world.run(
      (async () => {
        const [client, server] = await pair(here, there);
        world.link(here, there).partition();
        await client.send('late ');
        await client.send('but whole\n');
        expect(await failure(server.receive('*l', { timeouts: { totalMs: 1_000 } }))).toBeInstanceOf(
          OperationTimeoutError,
        );
        world.link(here, there).heal();
        expect(await server.receive('*l', { timeouts: { totalMs: 10 } })).toBe('late but whole');
      })(),
    );
  });

  it('refuses connects to closed ports, ignores unknown addresses, and finds no unknown names', async () => {
    const world = new World({ link: { latencyMs: 3 } });
    const here = world.machine('here');
    world.machine('there');
    await world.run(
      (async () => {
        expect(await failure(here.reactor.connect({ host: 'there', port: 7 }))).toMatchObject({ code: 'ECONNREFUSED' });
        expect(world.now()).toBe(6);
        expect(
          await failure(here.reactor.connect({ host: '10.9.9.9', port: 7, timeouts: { totalMs: 250 } })),
        ).toBeInstanceOf(OperationTimeoutError);
        expect(await failure(here.reactor.connect({ host: 'nobody', port: 7 }))).toMatchObject({
          code: 'ENOTFOUND',
          syscall: 'getaddrinfo',
        });
        expect(here.host.openDescriptors).toBe(0);
      })(),
    );
  });

  it('fails an unanswered connect with ETIMEDOUT after 127 seconds, as Linux does', async () => {
    const world = new World();
    const [here, there] = [world.machine('here'), world.machine('there')];
    await world.run(
      (async () => {
        expect(await failure(here.reactor.connect({ host: '10.9.9.9', port: 7 }))).toMatchObject({ code: 'ETIMEDOUT' });
        expect(world.now()).toBe(127_000);
        world.link(here, there).partition();
        expect(await failure(here.reactor.connect({ host: 'there', port: 7 }))).toMatchObject({ code: 'ETIMEDOUT' });
        expect(world.now()).toBe(254_000);
      })(),
    );
  });

  it('resets clients that wait to be accepted when their listener closes', async () => {
    const world = new World({ link: { latencyMs: 3 } });
    const [here, there] = [world.machine('here'), world.machine('there')];
    await world.run(
      (async () => {
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
        const client = await here.reactor.connect({ host: 'there', port: 7 });
        listener.close();
        expect(await failure(client.receive())).toMatchObject({ code: 'ECONNRESET' });
      })(),
    );
  });

  it('answers look-ups late, with an error or without an address', async () => {
    const world = new World();
    const here = world.machine('here');
    world.network.name('slow', ['127.0.0.1'], { delayMs: 500 });
    world.network.name('broken', [], { failure: 'EAI_AGAIN' });
    world.network.name('empty', []);
    await world.run(
      (async () => {
        const listener = await here.reactor.listen({ host: '127.0.0.1', port: 7 });
        expect(
          await failure(here.reactor.connect({ host: 'slow', port: 7, timeouts: { blockMs: 100 } })),
        ).toMatchObject({ message: 'connect timed out (block 100 ms) waiting for a look-up' });
        const connection = await here.reactor.connect({ host: 'slow', port: 7 });
        expect(world.now()).toBe(600);
        connection.abort();
        listener.close();
        expect(await failure(here.reactor.connect({ host: 'broken', port: 7 }))).toMatchObject({ code: 'EAI_AGAIN' });
        expect(await failure(here.reactor.connect({ host: 'empty', port: 7 }))).toBeInstanceOf(ClosedError);
      })(),
    );
  });

  it('makes clients retry their connect while the backlog is full', async () => {
    const world = new World();
    const [here, there] = [world.machine('here'), world.machine('there')];
    await world.run(
      (async () => {
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7, backlog: 0 });
        const first = await here.reactor.connect({ host: 'there', port: 7 });
        const second = here.reactor.connect({ host: 'there', port: 7 });
        await world.sleep(500);
        expect(second.settled).toBe(false);
        const accepted = await listener.accept();
        const late = await second;
        expect(world.now()).toBe(1_000);
        for (const connection of [first, late, accepted]) connection.abort();
      })(),
    );
  });

  it('has a limit of descriptors for each machine', async () => {
    const world = new World();
    const here = world.machine('here', { descriptors: 2 });
    await world.run(
      (async () => {
        const listener = await here.reactor.listen({ host: '127.0.0.1', port: 7 });
        expect(await failure(here.reactor.connect({ host: '127.0.0.1', port: 7 }))).toMatchObject({ code: 'EMFILE' });
        listener.close();
        expect(here.host.openDescriptors).toBe(0);
      })(),
    );
  });

  it('makes a listener pause longer with each shortage in a row, until it has accepted again', async () => {
    const world = new World();
    const [here, there] = [world.machine('here'), world.machine('there')];
    await world.run(
      (async () => {
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
        const pauses: number[] = [];
        listener.on('overload', (_, pauseMs) => pauses.push(pauseMs));
        listener.serve({}, async (connection) => {
          await connection.receive('*a');
        });
        const { descriptorLimit } = there.host;
        const shortage = async (): Promise<number[]> => {
          pauses.length = 0;
          // Enough only for the listener and its reserve descriptor.
          there.host.descriptorLimit = 2;
          const clients = [];
          for (let index = 0; index < 9; index++) {
            clients.push(
              await here.reactor.connect({ host: 'there', port: 7 }),
              await here.reactor.connect({ host: 'there', port: 7 }),
            );
            await world.sleep(1_000);
          }
          there.host.descriptorLimit = descriptorLimit;
          await world.sleep(1_000);
          for (const client of clients) client.abort();
          await world.sleep(100);
          return pauses.slice(0, 9);
        };
        const grows = [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000];
        expect(await shortage()).toEqual(grows);
        const client = await here.reactor.connect({ host: 'there', port: 7 });
        await world.sleep(10);
        client.abort();
        await world.sleep(10);
        expect(await shortage()).toEqual(grows);
        for (const { reactor } of world.machines) reactor.abort();
      })(),
    );
  });

  it('delivers bytes that arrived before a reset', async () => {
    const world = new World({ link: { latencyMs: 5 } });
    const [here, there] = [world.machine('here'), world.machine('there')];
    await world.run(
      (async () => {
        const [client, server] = await pair(here, there);
        await client.send('arrived');
        await world.sleep(10);
        client.abort();
        await world.sleep(10);
        expect(Buffer.from(await server.receive(7)).toString()).toBe('arrived');
        expect(await failure(server.receive())).toBeInstanceOf(SystemError);
      })(),
    );
  });
});
