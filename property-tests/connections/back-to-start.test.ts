// Law: state that belongs to one attempt starts afresh with the next: the pause of a listener, the rate of a closing
// connection. Limits outlast a change of layer, and bounds hold for every connection.

import { describe, expect, it } from 'vitest';

import { Relay } from '../../protocols/relay.ts';
import { PASS } from '../../reactor/faults/fault.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const contexts = await contextsFor('TLSv1.3');
const nothing = (): void => undefined;

describe('the pause of a listener', () => {
  it('starts at its first length again after a client was accepted', async () => {
    let isShort = false;
    await simulate(
      { faults: ({ call }) => (call === 'accept' && isShort ? { kind: 'errno', code: 'EMFILE' } : PASS) },
      async (world) => {
        const [here, there] = [world.machine('here'), world.machine('there')];
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
        const pauses: number[] = [];
        listener.on('overload', (_, ms) => {
          pauses.push(ms);
        });
        listener.serve({}, nothing);
        for (let times = 0; times < 2; times++) {
          isShort = true;
          const client = await here.reactor.connect({ host: 'there', port: 7 });
          while (pauses.length < 3 * (times + 1)) await world.sleep(1);
          isShort = false;
          // The listener accepts the client, and the handler ends at once.
          expect(await client.receive('*a')).toHaveLength(0);
          await client.close();
        }
        const [first] = pauses;
        expect(pauses).toEqual([first, first * 2, first * 4, first, first * 2, first * 4]);
      },
    );
  });
});

describe('the minimum rate of a closing connection', () => {
  it('counts only bytes that the peer takes after the close began', () =>
    simulate({}, async (world) => {
      const { client, server } = await pairIn(world, { sendBuffer: 1_000, receiveBuffer: 1_000 });
      await Promise.all([client.send(Buffer.alloc(1_000_000)), server.receive(1_000_000)]);
      while (client.trySend(new Uint8Array(1_000)) > 0) await world.sleep(1);
      let hasEnded = false;
      const startedAt = world.now();
      const closing = client.close({ timeoutMs: 1_000_000, idleMs: 1_000, minBytesPerSecond: 240 }).then(() => {
        hasEnded = true;
      });
      // The peer takes some bytes within each idle limit, but far fewer than the rate.
      while (!hasEnded && world.now() - startedAt < 60_000) {
        await server.receiveInto(new Uint8Array(10)).catch(nothing);
        await world.sleep(400);
      }
      await closing;
      expect(world.now() - startedAt).toBeLessThan(3_000);
    }).then(nothing));
});

describe('a lingering connection', () => {
  it('drops a bounded number of bytes from a peer that keeps sending', () =>
    simulate({}, async (world, { trace }) => {
      const [here, there] = [world.machine('here'), world.machine('there')];
      const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
      listener.on('clientError', nothing);
      listener.serve({ secure: contexts.server }, nothing);
      const client = await here.reactor.connect({ host: 'there', port: 7 });
      const flooding = client.send(Buffer.alloc(8 * 1024 * 1024, 'not TLS')).then(
        () => 'taken',
        () => 'refused',
      );
      expect(await flooding).toBe('refused');
      const dropped = trace.entries.reduce(
        (sum, { host, call, result }) => (host === 'there' && call === 'recv' && result > 0 ? sum + result : sum),
        0,
      );
      expect(dropped).toBeLessThan(512 * 1024);
      client.abort();
    }).then(nothing));
});

describe('a TLS layer over a connection', () => {
  it('takes over the timeouts of that connection', () =>
    simulate({}, async (world) => {
      const { client } = await pairIn(world);
      client.timeouts = { blockMs: 5, totalMs: 70 };
      const above = client.secure(contexts.client, { serverName: 'there' });
      expect(above.timeouts).toEqual({ blockMs: 5, totalMs: 70 });
      await expect(above.handshake()).rejects.toThrow('block 5 ms');
      above.abort();
    }).then(nothing));
});

describe('a relay', () => {
  it('ends at once when both of its connections break', () =>
    simulate({}, async (world) => {
      const { here, client, server } = await pairIn(world, { sendBuffer: 1_000, receiveBuffer: 1_000 });
      const far = await world.machine('far').reactor.listen({ host: '0.0.0.0', port: 9 });
      const [second, end] = await Promise.all([here.reactor.connect({ host: 'far', port: 9 }), far.accept()]);
      const { done } = new Relay(client, second);
      // Both directions carry more than the buffers hold.
      for (const peer of [server, end]) void peer.send(Buffer.alloc(10_000)).catch(nothing);
      await world.sleep(5);
      const startedAt = world.now();
      server.abort();
      end.abort();
      await expect(done).rejects.toThrow();
      expect(world.now() - startedAt).toBeLessThan(10);
    }).then(nothing));
});

describe('a receive that is refused because another receive runs', () => {
  it('does not put its prefix into the connection', () =>
    simulate({}, async (world) => {
      const { client, server } = await pairIn(world);
      const running = client.receive('*l');
      await expect(client.receive('*l', { prefix: Buffer.from('before ') })).rejects.toThrow(
        'receive is still running',
      );
      await server.send('line\n');
      expect(await running).toBe('line');
    }).then(nothing));
});

describe('a server at maxConnections', () => {
  it('drops a closing connection to serve a client that is already waiting', () =>
    simulate({}, async (world) => {
      const [here, there] = [
        world.machine('here', { receiveBuffer: 1_000 }),
        world.machine('there', { sendBuffer: 1_000 }),
      ];
      const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
      const served: number[] = [];
      listener.serve(
        { maxConnections: 1, close: { timeoutMs: 1_000_000, idleMs: 1_000_000, minBytesPerSecond: 0 } },
        async (connection) => {
          served.push(world.now());
          await world.sleep(50);
          // The client reads none of it, so the close would last until its limits.
          while (connection.trySend(new Uint8Array(1_000)) > 0) await world.sleep(1);
        },
      );
      await here.reactor.connect({ host: 'there', port: 7 });
      await world.sleep(10);
      await here.reactor.connect({ host: 'there', port: 7 });
      await world.sleep(500);
      expect(served.length).toBe(2);
    }).then(nothing));
});

describe('a simulated socket', () => {
  it('resets its peer when it closes with unread bytes, and half-closes without a reset otherwise', () =>
    simulate({}, async (world) => {
      for (const isRead of [true, false]) {
        const machines = [world.machine(`near-${String(isRead)}`), world.machine(`far-${String(isRead)}`)] as const;
        const listener = await machines[1].reactor.listen({ host: '0.0.0.0', port: 7 });
        const [near, far] = await Promise.all([
          machines[0].reactor.connect({ host: `far-${String(isRead)}`, port: 7 }),
          listener.accept(),
        ]);
        await near.send('unread');
        await world.sleep(1);
        if (isRead) await far.receive('*s');
        // This is the plain system call. The reactor's own close would drain the unread bytes first.
        machines[1].host.close(far.basis.socket.handle.fd);
        await world.sleep(1);
        if (isRead) expect(await near.receive('*a')).toHaveLength(0);
        else await expect(near.receive('*a')).rejects.toMatchObject({ code: 'ECONNRESET' });
        near.abort();
        far.abort();
      }
    }).then(nothing));
});
