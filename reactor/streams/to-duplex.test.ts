import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { IncomingMessage, RequestOptions, Server } from 'node:http';
import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { buffer, text } from 'node:stream/consumers';

import { describe, expect, it } from 'vitest';

import { ClosedError, OperationTimeoutError, SystemError, WantioError } from '../../core/errors.ts';
import type { Connection } from '../connections/connection.ts';
import { toDuplex } from './to-duplex.ts';
import type { ConnectionStream } from './to-duplex.ts';
import type { Reactor } from '../reactor.ts';
import { World } from '../simulated/world.ts';
import { portOf, withReactor } from '../testing/with-reactor.ts';

const host = '127.0.0.1';

async function pair(
  reactor: Reactor,
  options: { sendBuffer?: number; receiveBuffer?: number } = {},
): Promise<[client: Connection, server: Connection]> {
  const listener = await reactor.listen({ host, port: 0, ...options });
  const ends = await Promise.all([reactor.connect({ host, port: portOf(listener), ...options }), listener.accept()]);
  listener.close();
  return ends;
}

/** Resolves when `stream` is closed, with its error if it had one. */
function end(stream: Duplex): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let failure: Error | undefined;
    stream
      .once('error', (error) => {
        failure = error;
      })
      .once('close', () => {
        resolve(failure);
      });
  });
}

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Makes a request. @returns the body of the response. */
async function fetched(options: RequestOptions, body = ''): Promise<string> {
  const asking = request({ method: 'POST', ...options });
  asking.end(body);
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  return text(answer);
}

/** A server that responds with the path, the body and the remote port of each request. */
function echoServer(): Server {
  return createServer((asked, answer) => {
    void text(asked).then((body) => answer.end(`${asked.url ?? ''} ${body} ${String(asked.socket.remotePort)}`));
  });
}

describe('a stream over a connection', () => {
  it('carries 8 MiB in both directions at once, with back-pressure', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor, { sendBuffer: 32_768, receiveBuffer: 32_768 });
      const [there, back] = [randomBytes(8 << 20), randomBytes(8 << 20)];
      const [near, far] = [toDuplex(client), toDuplex(server)];
      near.end(there);
      let waited = 0;
      far.on('drain', () => waited++);
      const writing = (async () => {
        for (let at = 0; at < back.length; at += 100_000)
          if (!far.write(back.subarray(at, at + 100_000))) await once(far, 'drain');
        far.end();
      })();
      const ends = Promise.all([end(near), end(far)]);
      const [received, answered] = await Promise.all([
        buffer(far.iterator({ destroyOnReturn: false })),
        buffer(near.iterator({ destroyOnReturn: false })),
        writing,
      ]);
      expect([hash(received), hash(answered)]).toEqual([hash(there), hash(back)]);
      expect(waited).toBeGreaterThan(0);
      expect(await ends).toEqual([undefined, undefined]);
      expect([client.closed, server.closed]).toEqual([true, true]);
    }));

  it('receives only while it is read, one piece at a time', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(client);
      const sending = server.send(Buffer.alloc(4 << 20));
      await reactor.select({}, 5);
      expect(client.operations).toEqual([]);
      expect(client.statistics.bytesIn).toBe(0);
      while (stream.readableLength < stream.readableHighWaterMark) {
        stream.read(0);
        expect(client.operations.length).toBeLessThanOrEqual(1);
        await reactor.select({}, 1);
      }
      await reactor.select({}, 5);
      expect(client.operations).toEqual([]);
      expect(stream.readableLength).toBeLessThanOrEqual(stream.readableHighWaterMark + 64 * 1024);
      const gone = end(stream);
      stream.destroy(new Error('enough'));
      await expect(sending).rejects.toMatchObject({ code: 'ECONNRESET' });
      await gone;
      server.abort();
    }));

  it('half-closes: after its own end it can still be read', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(client);
      const gone = end(stream);
      stream.end('question\n');
      expect(Buffer.from(await server.receive('*a')).toString()).toBe('question\n');
      await server.send('answer\n');
      const answer = text(stream.iterator({ destroyOnReturn: false }));
      await server.close();
      expect(await answer).toBe('answer\n');
      expect(await gone).toBeUndefined();
    }));

  it.each([
    [true, "stays writable after the peer's end"],
    [false, "ends at the peer's end"],
  ])('allowHalfOpen %s: %s', (allowHalfOpen) =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(client, { allowHalfOpen });
      const gone = end(stream);
      await server.shutdown('send');
      await once(stream.resume(), 'end');
      if (allowHalfOpen) stream.end('more');
      expect(Buffer.from(await server.receive('*a')).toString()).toBe(allowHalfOpen ? 'more' : '');
      await server.close();
      expect(await gone).toBeUndefined();
    }),
  );

  it('emits the error of the connection, and leaves no listeners on it', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(client);
      const gone = end(stream);
      stream.resume();
      await reactor.select({}, 1);
      server.abort();
      const error = await gone;
      expect(error).toBeInstanceOf(SystemError);
      expect(error).toBe(client.closeReason);
      expect(error).toMatchObject({ code: 'ECONNRESET' });
      expect(client.listenerCount('close')).toBe(0);
      expect(() => toDuplex(client)).toThrow(ClosedError);
    }));

  it.each(['before the first read', "after the peer's end", 'after an end that was not read'])(
    'emits an error for a reset although no reader and no writer waits: %s',
    (when) =>
      withReactor(async (reactor) => {
        const [client, server] = await pair(reactor);
        const stream = toDuplex(client, { allowHalfOpen: true });
        const gone = end(stream);
        if (when !== 'before the first read') {
          await server.send('last words');
          await server.shutdown('send');
          if (when === "after the peer's end") await once(stream.resume(), 'end');
          else await once(stream, 'readable');
          await reactor.select({}, 1);
        }
        server.abort();
        if (when === 'after an end that was not read') {
          await reactor.select({}, 5);
          expect(stream.destroyed).toBe(false);
          expect(await text(stream.iterator({ destroyOnReturn: false })).catch(() => 'lost')).toBe('last words');
        }
        // Linux reports a reset as EPIPE if the peer had ended before.
        expect(await gone).toMatchObject({
          name: 'SystemError',
          code: when === 'before the first read' ? 'ECONNRESET' : 'EPIPE',
        });
        expect([client.closed, client.listenerCount('close'), client.listenerCount('broken')]).toEqual([true, 0, 0]);
      }),
  );

  it('emits an error for a reset that came before the stream was made', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      server.abort();
      await reactor.select({}, 5);
      expect(await end(toDuplex(client))).toMatchObject({ code: 'ECONNRESET' });
    }));

  it('delivers the bytes that came before a reset to a slow reader', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(client, { highWaterMark: 1 });
      const gone = end(stream);
      await server.send('first');
      await once(stream, 'readable');
      await server.send(', last');
      await reactor.select({}, 5);
      server.abort();
      await reactor.select({}, 5);
      expect([stream.destroyed, client.listenerCount('broken')]).toEqual([false, 0]);
      let heard = '';
      stream.setEncoding('utf8').on('data', (piece: string) => {
        heard += piece;
      });
      expect(await gone).toMatchObject({ code: 'ECONNRESET' });
      expect(heard).toBe('first, last');
    }));

  it('fails at the timeouts of the connection', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor, { sendBuffer: 16_384, receiveBuffer: 16_384 });
      client.timeouts = { blockMs: 10 };
      server.timeouts = { totalMs: 10 };
      const [reading, writing] = [toDuplex(client), toDuplex(server)];
      const ends = [end(reading), end(writing)];
      writing.write(Buffer.alloc(4 << 20));
      expect(await ends[1]).toMatchObject({ name: 'OperationTimeoutError', mode: 'total', operation: 'send' });
      reading.resume();
      expect(await ends[0]).toBeInstanceOf(SystemError);

      const [quiet, silent] = await pair(reactor);
      quiet.timeouts = { blockMs: 10 };
      const stream = toDuplex(quiet);
      const gone = end(stream);
      stream.resume();
      expect(await gone).toBeInstanceOf(OperationTimeoutError);
      expect(quiet.closed).toBe(true);
      silent.abort();
    }));

  it('closes the connection when it is destroyed without an error, and resets it when destroyed with one', () =>
    withReactor(async (reactor) => {
      for (const reason of [undefined, new Error('mine')]) {
        const [client, server] = await pair(reactor);
        const stream = toDuplex(client);
        const gone = end(stream);
        stream.resume();
        stream.destroy(reason);
        const received = await server.receive('*a').catch((error: unknown) => error);
        if (reason === undefined) expect(received).toEqual(new Uint8Array(0));
        else expect(received).toMatchObject({ code: 'ECONNRESET' });
        await server.close();
        expect(await gone).toBe(reason);
        expect(client.closed).toBe(true);
      }
    }));

  it.each(['close', 'abort'] as const)('is destroyed without an error by the %s of the connection', (act) =>
    withReactor(async (reactor) => {
      for (const reads of [true, false]) {
        const [client, server] = await pair(reactor);
        const stream = toDuplex(client);
        const gone = end(stream);
        if (reads) stream.resume();
        await reactor.select({}, 1);
        await Promise.all([client[act](), act === 'close' ? server.close() : server.abort()]);
        expect(await gone).toBeUndefined();
      }
    }),
  );

  it('fails a write when its connection is closed', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(client);
      const gone = end(stream);
      const closing = client.close();
      const failure = new Promise((resolve) => stream.write('too late', resolve));
      expect(await failure).toBeInstanceOf(WantioError);
      expect(await gone).toBe(await failure);
      server.abort();
      await closing;
    }));

  it('works in a pipeline, and with corked writes', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(server);
      const echoing = pipeline(stream, new PassThrough(), stream);
      const near = toDuplex(client);
      near.cork();
      for (const word of ['one ', 'two ', 'three']) near.write(word);
      near.end();
      expect(await text(near)).toBe('one two three');
      await echoing;
    }));

  it('emits timeout once when no bytes move, and again only after some have moved', async () => {
    const world = new World();
    const [here, there] = [world.machine('here'), world.machine('there')];
    const [client, server] = await world.run(
      (async () => {
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 1 });
        return Promise.all([here.reactor.connect({ host: 'there', port: 1 }), listener.accept()]);
      })(),
    );
    const stream: ConnectionStream = toDuplex(client);
    const timeouts: number[] = [];
    stream.setTimeout(100, () => timeouts.push(world.now())).on('timeout', () => timeouts.push(-world.now()));
    stream.resume();
    expect(stream.timeout).toBe(100);
    await world.run(world.sleep(50));
    await world.run(server.send('x'));
    await world.run(world.sleep(1_000));
    expect(timeouts).toEqual([150, -150]);
    stream.write('y');
    await world.run(world.sleep(1_000));
    expect(timeouts).toEqual([150, -150, -1150]);
    stream.setTimeout(0);
    stream.write('z');
    await world.run(world.sleep(1_000));
    expect(timeouts.length).toBe(3);
    stream.setTimeout(100).destroy();
    for (const { reactor } of world.machines) reactor.abort();
    await world.run(Promise.all(world.machines.map(({ reactor }) => reactor.close())));
    expect(here.reactor.loop.deadlines.size).toBe(0);
  });

  it('has the socket properties and methods that node:http uses', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const stream = toDuplex(client);
      expect(stream.connection).toBe(client);
      expect(stream).toMatchObject({
        remoteAddress: host,
        remoteFamily: 'IPv4',
        localAddress: host,
        localFamily: 'IPv4',
        localPort: (server.remoteAddress as { port: number }).port,
      });
      stream.setNoDelay(false).setKeepAlive(true, 30_000).ref().unref();
      expect([client.option('noDelay'), client.option('keepAlive'), client.option('keepIdle')]).toEqual([0, 1, 30]);
      const gone = end(stream);
      stream.write('all of it');
      stream.destroySoon();
      expect(Buffer.from(await server.receive('*a')).toString()).toBe('all of it');
      await server.close();
      expect(await gone).toBeUndefined();
    }));
});

describe('node:http over connections', () => {
  it('makes several requests over one connection', () =>
    withReactor(async (reactor) => {
      const server = echoServer();
      const listener = await reactor.listen({ host, port: 0 });
      listener.serve({}, async (connection) => {
        const stream = toDuplex(connection);
        server.emit('connection', stream);
        await end(stream);
      });
      class OverReactor extends Agent {
        made = 0;
        override createConnection(_options: unknown, made?: (error: Error | null, stream: Duplex) => void): undefined {
          this.made++;
          void reactor
            .connect({ host, port: portOf(listener) })
            .then((connection) => made?.(null, toDuplex(connection)));
        }
      }
      const agent = new OverReactor({ keepAlive: true, maxSockets: 1, timeout: 5_000 });
      const answers = [];
      for (const word of ['one', 'two', 'three'])
        answers.push(await fetched({ path: `/${word}`, agent, timeout: 10_000 }, word.repeat(3)));
      const port = answers[0].split(' ').at(-1) ?? '';
      expect(answers).toEqual([`/one oneoneone ${port}`, `/two twotwotwo ${port}`, `/three threethreethree ${port}`]);
      expect(agent.made).toBe(1);
      agent.destroy();

      const connection = await reactor.connect({ host, port: portOf(listener) });
      const other = String((connection.localAddress as { port: number }).port);
      expect(await fetched({ path: '/alone', createConnection: () => toDuplex(connection) })).toBe(`/alone  ${other}`);
      listener.close();
    }));

  it('times out a request, and lets the server close idle connections', () =>
    withReactor(async (reactor) => {
      const server = createServer({ keepAliveTimeout: 0 }, (asked, answer) => {
        if (asked.url !== '/never') answer.end('fine');
      });
      const serve = async (): Promise<ConnectionStream> => {
        const [client, accepted] = await pair(reactor);
        server.emit('connection', toDuplex(accepted));
        return toDuplex(client);
      };
      const stream = await serve();
      const asking = request({ path: '/never', createConnection: () => stream });
      asking.setTimeout(20).end();
      await once(asking, 'timeout');
      const failed = once(asking, 'error');
      asking.destroy(new Error('too slow'));
      expect((await failed)[0]).toMatchObject({ message: 'too slow' });

      server.setTimeout(20);
      const idle = await serve();
      const gone = end(idle);
      idle.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      expect(await text(idle.iterator({ destroyOnReturn: false }))).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*fine/);
      idle.end();
      expect(await gone).toBeUndefined();
    }));
});
