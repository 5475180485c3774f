import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { ClosedError, OperationTimeoutError, SystemError } from '../../core/errors.ts';
import type { Connection } from '../connections/connection.ts';
import { epollGround } from '../epoll/epoll-ground.ts';
import type { Handle } from '../handle.ts';
import type { Listener } from './listener.ts';
import { Reactor } from '../reactor.ts';
import type { Selector } from '../selector.ts';
import type { SystemCalls } from '../system-calls.ts';
import { EMFILE, systemError } from '../system-calls.ts';
import { portOf, withReactor } from '../testing/with-reactor.ts';

const host = '127.0.0.1';

describe('a listener', () => {
  it('serves many clients at a time and closes each connection when its handler ends', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      listener.serve({}, async (connection) => {
        await connection.send(`${await connection.receive()}!\n`);
      });
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const client = await reactor.connect({ host, port: portOf(listener) });
          await client.send(`${String(index)}\n`);
          const answer = await client.receive('*a');
          await client.close();
          return Buffer.from(answer).toString();
        }),
      );
      expect(answers).toEqual(answers.map((_, index) => `${String(index)}!\n`));
    }));

  it('accepts connections only while connections$ has a subscriber', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const client = await reactor.connect({ host, port: portOf(listener) });
      await reactor.select({ read: [listener] }, 1_000);
      expect(reactor.connections.size).toBe(1);
      const accepted = await new Promise<Connection>((resolve) => listener.connections$.subscribe(resolve));
      expect(accepted.remoteAddress).toEqual(client.localAddress);
      accepted.abort();
      client.abort();
    }));

  it('serves at most maxConnections at a time, and the others later', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      let serving = 0;
      let most = 0;
      listener.serve({ maxConnections: 2 }, async (connection) => {
        most = Math.max(most, ++serving);
        await connection.send(`${await connection.receive()}\n`);
        serving--;
      });
      await Promise.all(
        Array.from({ length: 9 }, async () => {
          const client = await reactor.connect({ host, port: portOf(listener) });
          await client.send('x\n');
          expect(await client.receive()).toBe('x');
          await client.close();
        }),
      );
      expect(most).toBe(2);
    }));

  it('emits clientError when a handler fails, and continues to serve', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const errors: string[] = [];
      listener.on('clientError', (error) => errors.push(error.message));
      listener.serve({ timeouts: { blockMs: 300 } }, async (connection) => {
        if ((await connection.receive()) === 'fail') throw new Error('the handler failed');
        await connection.send('fine\n');
      });
      const bad = await reactor.connect({ host, port: portOf(listener) });
      await bad.send('fail\n');
      const silent = await reactor.connect({ host, port: portOf(listener) });
      const good = await reactor.connect({ host, port: portOf(listener) });
      await good.send('go on\n');
      expect(await good.receive()).toBe('fine');
      expect((await bad.receive('*a')).length).toBe(0);
      expect((await silent.receive('*a')).length).toBe(0);
      expect(errors.sort()).toEqual(['receive timed out (block 300 ms) waiting to read', 'the handler failed']);
      await Promise.all([bad.close(), silent.close(), good.close()]);
    }));

  it.each<[string, (listener: Listener) => void]>([
    [
      'its handler',
      (listener) => {
        listener.serve({}, async (connection) => {
          listener.close();
          await connection.send('served');
        });
      },
    ],
    [
      'a subscriber of connections$',
      (listener) => {
        listener.connections$.subscribe((connection) => {
          listener.close();
          void connection.send('served').then(() => connection.close());
        });
      },
    ],
    [
      'a caller of accept',
      (listener) => {
        void listener.accept().then((connection) => {
          listener.close();
          void connection.send('served').then(() => connection.close());
        });
      },
    ],
  ])('may be closed by %s, which resets the waiting clients', (_, begin) =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const clients = await Promise.all([1, 2, 3].map(() => reactor.connect({ host, port: portOf(listener) })));
      const ends = clients.map((client) =>
        client.receive('*a').then(
          (bytes) => Buffer.from(bytes).toString(),
          (error: unknown) => (error as SystemError).code,
        ),
      );
      begin(listener);
      expect((await Promise.all(ends)).sort()).toEqual(['ECONNRESET', 'ECONNRESET', 'served']);
      for (const client of clients) client.abort();
    }),
  );

  it('survives a shortage of descriptors: drops one client, pauses, and continues', async () => {
    let shortage = 1;
    await withReactor(
      async (reactor) => {
        const listener = await reactor.listen({ host, port: 0 });
        const overloads: [string, number][] = [];
        listener.on('overload', (error, pauseMs) => overloads.push([error.code, pauseMs]));
        listener.serve({}, (connection) => connection.send('served').then(() => undefined));
        const [turnedAway, served] = await Promise.all([
          reactor.connect({ host, port: portOf(listener) }),
          reactor.connect({ host, port: portOf(listener) }),
        ]);
        expect((await turnedAway.receive('*a')).length).toBe(0);
        expect(Buffer.from(await served.receive('*a')).toString()).toBe('served');
        expect(overloads).toEqual([['EMFILE', 10]]);
        await Promise.all([turnedAway.close(), served.close()]);
      },
      (calls): SystemCalls => ({ ...calls, accept: (fd, peer) => (shortage-- > 0 ? -EMFILE : calls.accept(fd, peer)) }),
    );
  });

  it.each([
    ['ENOSPC', 28],
    ['ENOMEM', 12],
  ])('emits overload and pauses when epoll cannot register an accepted socket because of %s', async (code, errno) => {
    const ground = epollGround();
    let shortage = 1;
    let accepted = -1;
    const calls: SystemCalls = { ...ground.calls, accept: (fd, peer) => (accepted = ground.calls.accept(fd, peer)) };
    const register = (handle: Handle): void => {
      if (handle.fd === accepted && shortage-- > 0) throw systemError(-errno, 'epoll_ctl');
      ground.selector.register(handle);
    };
    const selector: Selector = {
      register,
      deregister: (handle) => {
        ground.selector.deregister(handle);
      },
      poll: (batch) => {
        ground.selector.poll(batch);
      },
      onReady: (wake) => {
        ground.selector.onReady(wake);
      },
      setRef: (ref) => {
        ground.selector.setRef(ref);
      },
      close: () => {
        ground.selector.close();
      },
    };
    const reactor = new Reactor({ ...ground, calls, selector });
    const listener = await reactor.listen({ host, port: 0 });
    const overloads: [string, string, number][] = [];
    listener.on('overload', (error, pauseMs) => overloads.push([error.code, error.syscall, pauseMs]));
    listener.serve({}, (connection) => connection.send('served').then(() => undefined));
    const dial = (): Promise<Connection> => Promise.resolve(reactor.connect({ host, port: portOf(listener) }));
    const [turnedAway, served] = await Promise.all([dial(), dial()]);
    expect((await turnedAway.receive('*a')).length).toBe(0);
    expect(Buffer.from(await served.receive('*a')).toString()).toBe('served');
    expect(overloads).toEqual([[code, 'epoll_ctl', 10]]);
    await Promise.all([turnedAway.close(), served.close()]);
    await reactor.close();
  });

  it('survives a real shortage of descriptors in a separate process', async () => {
    const script = fileURLToPath(new URL('../testing/short-of-descriptors.ts', import.meta.url));
    const loader = import.meta.resolve('tsx');
    const server = spawn('sh', ['-c', `ulimit -n 64; exec '${process.execPath}' --import '${loader}' '${script}'`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface(server.stdout)[Symbol.asyncIterator]();
    const next = async (): Promise<string> => String((await lines.next()).value);
    const port = Number((await next()).split(':').at(-1));
    const clients = Array.from({ length: 80 }, () => createConnection({ host, port }).on('error', () => undefined));
    expect(await next()).toBe('overload EMFILE');
    for (const client of clients) client.destroy();
    const late = createConnection({ host, port });
    late.write('still alive\n');
    expect(String((await once(late, 'data'))[0])).toBe('still alive\n');
    late.destroy();
    server.kill('SIGTERM');
    await once(server, 'exit');
  });

  it('refuses socket options that would fail for each of its connections', () =>
    withReactor(async (reactor) => {
      // TCP_KEEPIDLE is at most 32767 seconds.
      await expect(reactor.listen({ host, port: 0, keepAlive: { idle: 40_000 } })).rejects.toMatchObject({
        code: 'EINVAL',
        syscall: 'setsockopt',
      });
    }));

  it('rejects with EADDRINUSE and names the port', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const error = await reactor.listen({ host, port: portOf(listener) }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SystemError);
      expect(error).toMatchObject({
        code: 'EADDRINUSE',
        syscall: 'bind',
        message: `bind EADDRINUSE: address already in use (127.0.0.1:${String(portOf(listener))})`,
      });
    }));

  it('shares a port with another listener with reusePort', () =>
    withReactor(async (reactor) => {
      const first = await reactor.listen({ host, port: 0, reusePort: true });
      const second = await reactor.listen({ host, port: portOf(first), reusePort: true });
      expect(second.address).toEqual(first.address);
    }));

  it('rejects a running accept with ClosedError when it closes, and every later one', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      const accepting = listener.accept();
      await expect(listener.accept({ timeouts: { blockMs: 5 } })).rejects.toMatchObject({ code: 'ERR_WANTIO_BUSY' });
      listener.close();
      await expect(accepting).rejects.toBeInstanceOf(ClosedError);
      await expect(listener.accept()).rejects.toBeInstanceOf(ClosedError);
    }));

  it('times out an accept at its total limit', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      await expect(listener.accept({ timeouts: { totalMs: 5 } })).rejects.toBeInstanceOf(OperationTimeoutError);
    }));
});

describe('a reactor that closes', () => {
  it('aborts the signal of its handlers, lets them finish, and then is closed', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      let sawAbort = false;
      listener.serve({}, async (connection, { signal }) => {
        await connection.send('started\n');
        if (!signal.aborted)
          await new Promise((resolve) => {
            signal.addEventListener('abort', resolve);
          });
        sawAbort = true;
        await connection.send('finished\n');
      });
      const client = createConnection({ host, port: portOf(listener) });
      let text = '';
      client.setEncoding('utf8').on('data', (data: string) => {
        text += data;
      });
      await once(client, 'data');
      const closing = reactor.close({ timeoutMs: 5_000 });
      await expect(reactor.listen({ host, port: 0 })).rejects.toBeInstanceOf(ClosedError);
      await once(client, 'end');
      await closing;
      expect(sawAbort).toBe(true);
      expect(text).toBe('started\nfinished\n');
    }));

  it('aborts the remaining connections at its deadline', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host, port: 0 });
      listener.serve({}, async (connection) => {
        await connection.receive('*a');
      });
      const client = createConnection({ host, port: portOf(listener) }).on('error', () => undefined);
      await once(client, 'connect');
      await reactor.select({ read: [] }, 5);
      await reactor.close({ timeoutMs: 10 });
      expect(reactor.connections.size).toBe(0);
      await new Promise((resolve) => client.once('close', resolve));
    }));

  it('does not leak descriptors to child processes', () =>
    withReactor(async (reactor, ledger) => {
      const listener = await reactor.listen({ host, port: 0 });
      const [client, server] = await Promise.all([
        reactor.connect({ host, port: portOf(listener) }),
        listener.accept(),
      ]);
      const ours = [...ledger.open].map((fd) => readlinkSync(`/proc/self/fd/${String(fd)}`));
      const seen = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
      for (const link of [...ours, 'anon_inode:[eventpoll]']) expect(seen).not.toContain(link);
      client.abort();
      server.abort();
    }));
});
