import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { AbortError, OperationTimeoutError, SystemError } from '../../core/errors.ts';
import type { Transport } from '../../core/transport.ts';
import type { Address } from '../addresses/address.ts';
import type { Connection } from '../connections/connection.ts';
import { epollGround } from '../epoll/epoll-ground.ts';
import type { Ground } from '../ground.ts';
import { Reactor } from '../reactor.ts';
import { EINPROGRESS, EINTR } from '../system-calls.ts';
import type { SystemCalls } from '../system-calls.ts';
import { Ledger } from '../ledger.ts';
import { portOf, withReactor } from '../testing/with-reactor.ts';

const host = '127.0.0.1';

/** Runs `use` with a reactor that looks names up with `lookUp`. */
async function withNames(lookUp: Ground['lookUp'], use: (reactor: Reactor) => Promise<void>): Promise<void> {
  const ledger = new Ledger();
  const reactor = new Reactor({ ...epollGround((calls) => ledger.wrap(calls)), lookUp });
  await use(reactor);
  await reactor.close({ timeoutMs: 1_000 });
  expect([...ledger.open]).toEqual([]);
}

describe('connect', () => {
  it('connects to a name', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const client = await reactor.connect({ host: 'localhost', port: portOf(listener) });
      client.abort();
    }));

  it('rejects with ECONNREFUSED when no process listens', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const port = portOf(listener);
      listener.close();
      const error = await reactor.connect({ host, port }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SystemError);
      expect(error).toMatchObject({
        code: 'ECONNREFUSED',
        syscall: 'connect',
        operation: 'connect',
        message: `connect ECONNREFUSED: connection refused (127.0.0.1:${String(port)})`,
      });
    }));

  it('rejects with the error of getaddrinfo when a name has no address', () =>
    withReactor(async (reactor) => {
      const error = await reactor.connect({ host: 'no-such-host.invalid', port: 1 }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SystemError);
      expect(error).toMatchObject({ syscall: 'getaddrinfo' });
      expect((error as SystemError).code).toMatch(/^(ENOTFOUND|EAI_)/);
    }));

  it('refuses an invalid port', () =>
    withReactor(async (reactor) => {
      expect(() => reactor.connect({ host, port: 65_536 })).toThrow(RangeError);
      await expect(reactor.listen({ host, port: Number.NaN })).rejects.toBeInstanceOf(RangeError);
      await expect(reactor.listen({ path: 'x'.repeat(108) })).rejects.toBeInstanceOf(RangeError);
    }));

  it('tries the next address when one fails, and rejects with the last error', () =>
    withNames(
      () =>
        Promise.resolve([
          { family: 'IPv6', host: '::1', port: 1 },
          { family: 'IPv4', host: '127.0.0.1', port: 1 },
        ]),
      async (reactor) => {
        await expect(reactor.connect({ host: 'nowhere', port: 1 })).rejects.toMatchObject({
          code: 'ECONNREFUSED',
          message: expect.stringContaining('127.0.0.1:1') as string,
        });
      },
    ));

  it('tries the next address when the first one is silent', async () => {
    let addresses: Address[] = [];
    await withNames(
      () => Promise.resolve(addresses),
      async (reactor) => {
        const silent = await reactor.listen({ host: '127.0.0.2', port: 0, backlog: 0 });
        const filling = await fillBacklog(reactor, '127.0.0.2', portOf(silent));
        const answering = await reactor.listen({ host, port: 0 });
        addresses = [silent.address, answering.address];
        const client = await reactor.connect({ host: 'both', port: portOf(answering), timeouts: { totalMs: 5_000 } });
        expect(client.remoteAddress).toEqual(answering.address);
        client.abort();
        filling.abort();
        await filling.done;
      },
    );
  });

  it('times out at its total limit while the peer is silent', () =>
    withReactor(async (reactor) => {
      const silent = await reactor.listen({ host: '127.0.0.2', port: 0, backlog: 0 });
      const filling = await fillBacklog(reactor, '127.0.0.2', portOf(silent));
      const error = await reactor
        .connect({ host: '127.0.0.2', port: portOf(silent), timeouts: { totalMs: 30 } })
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OperationTimeoutError);
      expect((error as Error).message).toBe('connect timed out (total 30 ms) waiting to write');
      filling.abort();
      await filling.done;
    }));

  it('closes the socket when the layer fails to create a connection over it', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const layer = {
        transport: (): Transport => {
          throw new TypeError('the layer refuses');
        },
        connection: (): Connection => {
          throw new TypeError('never called');
        },
      };
      await expect(reactor.connectSecure({ host, port: portOf(listener), secure: layer })).rejects.toThrow(
        'the layer refuses',
      );
      const accepted = await listener.accept();
      expect(await accepted.receive('*a', { timeouts: { totalMs: 1_000 } }).catch((error: unknown) => error)).toSatisfy(
        (outcome: unknown) => outcome instanceof SystemError || outcome instanceof Uint8Array,
      );
      accepted.abort();
    }));

  it('times out at its block limit while the name is looked up, and abandons the look-up', async () => {
    let isAbandoned: () => boolean = () => false;
    await withNames(
      (_host, _port, signal) => {
        isAbandoned = () => signal.aborted;
        return new Promise(() => undefined);
      },
      async (reactor) => {
        await expect(reactor.connect({ host: 'slow', port: 1, timeouts: { blockMs: 10 } })).rejects.toMatchObject({
          message: 'connect timed out (block 10 ms) waiting for a look-up',
        });
      },
    );
    expect(isAbandoned()).toBe(true);
  });

  it('rejects with AbortError when its signal is aborted', () =>
    withReactor(async (reactor) => {
      const cancel = new AbortController();
      const connecting = reactor.connect({ host: 'localhost', port: 1, signal: cancel.signal });
      cancel.abort();
      await expect(connecting).rejects.toBeInstanceOf(AbortError);
    }));

  it('calls connect only once after EINTR, and treats the attempt as in progress', async () => {
    let called = 0;
    await withReactor(
      async (reactor) => {
        const listener = await reactor.listen({ host, port: 0 });
        const client = await reactor.connect({ host, port: portOf(listener) });
        await expect(reactor.connect({ host, port: 1 })).rejects.toMatchObject({
          code: 'ECONNREFUSED',
          syscall: 'connect',
        });
        expect(called).toBe(2);
        client.abort();
      },
      (calls): SystemCalls => ({
        ...calls,
        connect: (fd, address) => {
          called++;
          const result = calls.connect(fd, address);
          return result === 0 || result === -EINPROGRESS ? -EINTR : result;
        },
      }),
    );
  });

  it('waits for room in the backlog of a Unix socket', () =>
    withReactor(async (reactor) => {
      const path = join(mkdtempSync(join(tmpdir(), 'wantio-')), 'socket');
      const listener = await reactor.listen({ path, backlog: 0 });
      const first = await reactor.connect({ path });
      const second = reactor.connect({ path, timeouts: { totalMs: 5_000 } });
      await reactor.select({}, 5);
      expect(second.settled).toBe(false);
      const accepted = await listener.accept();
      (await second).abort();
      first.abort();
      accepted.abort();
    }));
});

/** Connects until the backlog is full and the kernel no longer answers. */
async function fillBacklog(
  reactor: Reactor,
  address: string,
  port: number,
): Promise<{ abort(): void; done: Promise<unknown> }> {
  const cancel = new AbortController();
  const attempts = Array.from({ length: 3 }, () =>
    reactor.connect({ host: address, port, signal: cancel.signal }).then(
      (connection) => {
        cancel.signal.addEventListener('abort', () => {
          connection.abort();
        });
      },
      () => undefined,
    ),
  );
  await reactor.select({}, 20);
  return {
    abort: () => {
      cancel.abort();
    },
    done: Promise.all(attempts),
  };
}
