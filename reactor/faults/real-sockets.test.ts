import { createHash, randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Connection } from '../connection.ts';
import { epollGround } from '../epoll/epoll-ground.ts';
import { Reactor } from '../reactor.ts';
import { Ledger } from '../testing/ledger.ts';
import { portOf } from '../testing/with-reactor.ts';
import { FaultInjector } from './fault-injector.ts';
import type { Fault, FaultRule } from './fault.ts';

/** Runs `use` on real sockets whose calls go wrong by `rule`; @returns what happened. */
async function withFaults(rule: FaultRule, use: (reactor: Reactor) => Promise<void>): Promise<ReadonlyMap<Fault['kind'], number>> {
  const ledger = new Ledger();
  const injector = new FaultInjector(rule);
  const reactor = new Reactor(injector.wrap(epollGround((calls) => ledger.wrap(calls))));
  await use(reactor);
  reactor.abort();
  await reactor.close();
  expect([...ledger.open]).toEqual([]);
  expect(ledger.closedTwice).toEqual([]);
  expect(reactor.deadlines.size).toBe(0);
  return injector.happened;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Many small sends, so that many calls can go wrong. */
async function sendInPieces(connection: Connection, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += 100) await connection.send(bytes.subarray(at, at + 100));
}

/** A rule that draws a fault for each call from a generator with a seed. */
function drawn(seed: number, faults: readonly Fault[]): FaultRule {
  let state = seed;
  return ({ call }) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return call === 'recv' || call === 'send' ? faults[(state >>> 8) % faults.length] : { kind: 'pass' };
  };
}

describe('real sockets whose system calls go wrong', () => {
  it('still carry every byte once and in order', async () => {
    const total = new Map<Fault['kind'], number>();
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 0x7fffffff }), async (seed) => {
    const faults: Fault[] = [
      { kind: 'pass' }, { kind: 'short', bytes: 1 }, { kind: 'short', bytes: 1_000 }, { kind: 'zero' }, { kind: 'delay', ms: 1 },
      { kind: 'errno', code: 'EINTR' }, { kind: 'errno', code: 'EAGAIN' },
    ];
    const [there, back] = [randomBytes(6_000), randomBytes(5_000)];
    const happened = await withFaults(drawn(seed, faults), async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const [client, server] = await Promise.all([reactor.connect({ host: '127.0.0.1', port: portOf(listener) }), listener.accept()]);
      const [atServer, atClient] = await Promise.all([server.receive(there.length), client.receive(back.length), sendInPieces(client, there), sendInPieces(server, back)]);
      expect([digest(atServer), digest(atClient)]).toEqual([digest(there), digest(back)]);
    });
      for (const [kind, count] of happened) total.set(kind, (total.get(kind) ?? 0) + count);
    }), { numRuns: 10 });
    for (const kind of ['short', 'zero', 'delay', 'errno'] as const) expect(total.get(kind) ?? 0, kind).toBeGreaterThan(0);
  });

  it('wait out a shortage of memory in the kernel', async () => {
    const happened = await withFaults(({ call, index }) => (call === 'send' && index < 5 ? { kind: 'errno', code: 'ENOBUFS' } : { kind: 'pass' }), async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const [client, server] = await Promise.all([reactor.connect({ host: '127.0.0.1', port: portOf(listener) }), listener.accept()]);
      await client.send('it gets there\n');
      expect(await server.receive()).toBe('it gets there');
    });
    expect(happened.get('errno')).toBe(5);
  });

  it('tell a reset in the middle with what had come', async () => {
    await withFaults(({ call, index }) => (call === 'recv' && index === 1 ? { kind: 'reset' } : call === 'recv' ? { kind: 'short', bytes: 3 } : { kind: 'pass' }), async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const [client, server] = await Promise.all([reactor.connect({ host: '127.0.0.1', port: portOf(listener) }), listener.accept()]);
      await client.send('abcdef\n');
      await expect(server.receive()).rejects.toMatchObject({ code: 'ECONNRESET', partial: Uint8Array.from(Buffer.from('abc')) });
    });
  });
});
