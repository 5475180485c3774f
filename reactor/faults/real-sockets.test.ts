import { createHash, randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { OperationTimeoutError } from '../../core/errors.ts';
import type { SystemError } from '../../core/errors.ts';
import type { Connection } from '../connections/connection.ts';
import { epollGround } from '../epoll/epoll-ground.ts';
import { Reactor } from '../reactor.ts';
import { Ledger } from '../ledger.ts';
import { portOf } from '../testing/with-reactor.ts';
import { drawnFaults } from './drawn-faults.ts';
import { FaultInjector } from './fault-injector.ts';
import { PASS } from './fault.ts';
import type { Fault, FaultErrno, FaultRule, FaultyCall } from './fault.ts';

/** Runs `use` on real sockets whose system calls fail by `rule`. @returns the faults that happened, by kind. */
async function withFaults(
  rule: FaultRule,
  use: (reactor: Reactor) => Promise<void>,
): Promise<ReadonlyMap<Fault['kind'], number>> {
  const ledger = new Ledger();
  const injector = new FaultInjector(rule);
  const reactor = new Reactor(injector.wrap(epollGround((calls) => ledger.wrap(calls))));
  await use(reactor);
  reactor.abort();
  await reactor.close();
  expect([...ledger.open]).toEqual([]);
  expect(ledger.closedTwice).toEqual([]);
  expect(reactor.loop.deadlines.size).toBe(0);
  return injector.happened;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Sends in many small pieces, so that there are many calls to fail. */
async function sendInPieces(connection: Connection, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += 100) await connection.send(bytes.subarray(at, at + 100));
}

/** Both ends of one connection. */
async function pair(reactor: Reactor): Promise<[client: Connection, server: Connection]> {
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  return Promise.all([reactor.connect({ host: '127.0.0.1', port: portOf(listener) }), listener.accept()]);
}

/** A rule that makes one call fail: the `nth` of its name, counted from 0. */
function once(call: FaultyCall, nth: number, code: FaultErrno): FaultRule {
  return (context) => (context.call === call && context.index === nth ? { kind: 'errno', code } : PASS);
}

describe('a fault that lasts', () => {
  it.each(['reset', 'end', 'hold'] as const)(
    '(%s) ends when its descriptor is closed, and does not affect the next socket with the same number',
    async (kind) => {
      let staged = 0;
      await withFaults(
        ({ call }) => (call === 'recv' && staged++ === 0 ? { kind } : PASS),
        async (reactor) => {
          const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
          const numbers: number[] = [];
          for (let round = 0; round < 2; round++) {
            const client = await reactor.connect({ host: '127.0.0.1', port: portOf(listener) });
            const server = await listener.accept();
            numbers.push(client.basis.socket.handle.fd);
            await server.send('hello\n');
            const line = await client.receive('*l', { timeouts: { totalMs: 50 } }).catch((error: unknown) => error);
            if (round === 0) expect(line).toBeInstanceOf(Error);
            else expect(line).toBe('hello');
            client.abort();
            server.abort();
          }
          expect(numbers[1]).toBe(numbers[0]);
        },
      );
    },
  );
});

describe('real sockets whose system calls fail', () => {
  it('still carry every byte once and in order', async () => {
    const total = new Map<Fault['kind'], number>();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 0x7fffffff }), async (seed) => {
        const [there, back] = [randomBytes(6_000), randomBytes(5_000)];
        const happened = await withFaults(drawnFaults(seed).rule, async (reactor) => {
          const [client, server] = await pair(reactor);
          const [atServer, atClient] = await Promise.all([
            server.receive(there.length),
            client.receive(back.length),
            sendInPieces(client, there),
            sendInPieces(server, back),
          ]);
          expect([digest(atServer), digest(atClient)]).toEqual([digest(there), digest(back)]);
        });
        for (const [kind, count] of happened) total.set(kind, (total.get(kind) ?? 0) + count);
      }),
      { numRuns: 10 },
    );
    for (const kind of ['short', 'zero', 'delay', 'errno'] as const)
      expect(total.get(kind) ?? 0, kind).toBeGreaterThan(0);
  });

  it('retry a send until ENOBUFS is over', async () => {
    const happened = await withFaults(
      ({ call, index }) => (call === 'send' && index < 5 ? { kind: 'errno', code: 'ENOBUFS' } : PASS),
      async (reactor) => {
        const [client, server] = await pair(reactor);
        await client.send('it gets there\n');
        expect(await server.receive()).toBe('it gets there');
      },
    );
    expect(happened.get('errno')).toBe(5);
  });

  it('reject a receive with ECONNRESET and the bytes that arrived before the reset', async () => {
    await withFaults(
      ({ call, index }) =>
        call === 'recv' && index === 1 ? { kind: 'reset' } : call === 'recv' ? { kind: 'short', bytes: 3 } : PASS,
      async (reactor) => {
        const [client, server] = await pair(reactor);
        await client.send('abcdef\n');
        await expect(server.receive()).rejects.toMatchObject({
          code: 'ECONNRESET',
          partial: Uint8Array.from(Buffer.from('abc')),
        });
      },
    );
  });

  it('reject a send with ECONNRESET, deliver the remaining bytes, then reject a receive too', async () => {
    await withFaults(once('send', 1, 'ECONNRESET'), async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send('read me first\n');
      await expect(client.send('x')).rejects.toMatchObject({ code: 'ECONNRESET', syscall: 'send', last: -1 });
      expect(await client.receive()).toBe('read me first');
      await server.shutdown('send');
      // After a reset the system reports an end, which is not a clean one.
      await expect(client.receive('*a')).rejects.toMatchObject({ code: 'ECONNRESET' });
      expect(client.closed).toBe(true);
    });
  });

  it('reject a send and a receive with ECONNRESET after a real reset', async () => {
    await withFaults(
      () => PASS,
      async (reactor) => {
        const [client, server] = await pair(reactor);
        server.abort();
        await reactor.select({ read: [client] }, 1_000);
        await expect(client.send('x')).rejects.toMatchObject({ code: 'ECONNRESET', syscall: 'send' });
        await expect(client.receive('*a')).rejects.toMatchObject({ code: 'ECONNRESET' });
      },
    );
  });

  it('can retry a failed send from the byte after the last one sent', async () => {
    await withFaults(
      ({ call, index }) =>
        call === 'send'
          ? index === 0
            ? { kind: 'short', bytes: 4 }
            : index === 1
              ? { kind: 'errno', code: 'ETIMEDOUT' }
              : PASS
          : PASS,
      async (reactor) => {
        const [client, server] = await pair(reactor);
        const failure = (await client.send('one line\n').catch((error: unknown) => error)) as SystemError;
        expect(failure).toMatchObject({ code: 'ETIMEDOUT', last: 3 });
        await client.send('one line\n', { first: 4 });
        expect(await server.receive()).toBe('one line');
      },
    );
  });

  it.each([
    ['connect', 1],
    ['listen', 0],
  ] as const)('reject %s with EMFILE when descriptors run out, and leak none', async (what, nth) => {
    const happened = await withFaults(once('socket', nth, 'EMFILE'), async (reactor) => {
      const begin = async (): Promise<unknown> => {
        const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
        return what === 'listen' ? listener : reactor.connect({ host: '127.0.0.1', port: portOf(listener) });
      };
      await expect(begin()).rejects.toMatchObject({ code: 'EMFILE', syscall: 'socket' });
      await begin();
    });
    expect(happened.get('errno')).toBe(1);
  });

  it('drop one client but keep serving when descriptors run out in accept', async () => {
    await withFaults(once('accept', 0, 'EMFILE'), async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const overloads: string[] = [];
      listener.on('overload', ({ code }) => overloads.push(code));
      listener.serve({}, (connection) => connection.send('served').then(() => undefined));
      const lost = await reactor.connect({ host: '127.0.0.1', port: portOf(listener) });
      expect((await lost.receive('*a')).length).toBe(0);
      const served = await reactor.connect({ host: '127.0.0.1', port: portOf(listener) });
      expect(Buffer.from(await served.receive('*a')).toString()).toBe('served');
      expect(overloads).toEqual(['EMFILE']);
    });
  });

  it('accept again after ECONNABORTED', async () => {
    const happened = await withFaults(once('accept', 0, 'ECONNABORTED'), async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('still here\n');
      expect(await server.receive()).toBe('still here');
    });
    expect(happened.get('errno')).toBe(1);
  });

  it('time out an operation when no more bytes arrive', async () => {
    const happened = await withFaults(
      ({ call }) => (call === 'recv' ? { kind: 'hold' } : PASS),
      async (reactor) => {
        const [client, server] = await pair(reactor);
        await client.send('it never gets there\n');
        await expect(server.receive('*l', { timeouts: { totalMs: 20 } })).rejects.toBeInstanceOf(OperationTimeoutError);
      },
    );
    expect(happened.get('hold')).toBe(1);
  });
});
