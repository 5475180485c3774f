import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';

import { filter, firstValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';

import { ClosedError, OperationTimeoutError, SystemError, UnsupportedError } from '../../core/errors.ts';
import { END, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import type { Connection } from '../connections/connection.ts';
import type { Reactor } from '../reactor.ts';
import { World } from '../simulated/world.ts';
import { fromDuplex } from './from-duplex.ts';
import type { FromDuplexOptions } from './from-duplex.ts';
import { streamPair } from '../testing/stream-pair.ts';
import { withReactor } from '../testing/with-reactor.ts';

const host = '127.0.0.1';
const EVENTS = ['readable', 'data', 'end', 'error', 'close', 'drain', 'finish'] as const;

/** A socket that a Node server has accepted, and the socket at the other end. */
async function sockets(): Promise<[accepted: Socket, peer: Socket]> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const peer = connect({ port: (server.address() as AddressInfo).port, host, allowHalfOpen: true });
  const [[accepted]] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, once(peer, 'connect')]);
  server.close();
  for (const socket of [accepted, peer]) void closed(socket);
  return [accepted, peer];
}

/** A connection over a socket that a Node server has accepted. */
async function connected(
  reactor: Reactor,
  options?: FromDuplexOptions,
): Promise<{ connection: Connection; socket: Socket; peer: Socket }> {
  const [socket, peer] = await sockets();
  return { connection: fromDuplex(reactor, socket, options), socket, peer };
}

function hashOf(chunks: Iterable<Uint8Array>): string {
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}

async function hashOfAll(chunks: Connection | Duplex): Promise<string> {
  const hash = createHash('sha256');
  // By default, a loop over a stream destroys the stream at the end, together with the bytes that it has not sent yet.
  for await (const chunk of chunks instanceof Duplex ? chunks.iterator({ destroyOnReturn: false }) : chunks)
    hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

const closings = new WeakMap<Duplex, Promise<void>>();

/** Resolves when `stream` emits 'close'. It must be called before that. */
function closed(stream: Duplex): Promise<void> {
  const closing = closings.get(stream) ?? new Promise((resolve) => stream.once('close', resolve));
  closings.set(stream, closing);
  return closing;
}

function listenersOf(stream: Duplex): number[] {
  return EVENTS.map((event) => stream.listenerCount(event));
}

const text = (bytes: Uint8Array | number): string =>
  typeof bytes === 'number' ? String(bytes) : Buffer.from(bytes).toString();
/** Lets due events be emitted, and a turn pass. */
const soon = (reactor: Reactor): PromiseLike<unknown> => reactor.select({}, 1);

describe('a connection over a Node socket', () => {
  it('carries 8 MiB in both directions at once, with back-pressure', () =>
    withReactor(async (reactor) => {
      const { connection, peer } = await connected(reactor);
      const [there, back] = [randomBytes(8 << 20), randomBytes(8 << 20)];
      const held = firstValueFrom(connection.wants$.pipe(filter(({ want }) => want === 'write')));
      peer.end(there);
      const sending = connection.send(back).then(() => connection.shutdown());
      const receiving = hashOfAll(connection);
      // The peer reads nothing until the send waits.
      expect(await held).toEqual({ operation: 'send', want: 'write' });
      const received = hashOfAll(peer);
      expect([await receiving, await received]).toEqual([hashOf([there]), hashOf([back])]);
      await sending;
      expect(connection.statistics).toMatchObject({ bytesIn: 8 << 20, bytesOut: 8 << 20 });
      await connection.close();
    }));

  it('half-closes in both directions, although the socket was made without allowHalfOpen', () =>
    withReactor(async (reactor) => {
      const { connection, socket, peer } = await connected(reactor);
      peer.end('the last word of the peer\n');
      expect(text(await connection.receive('*a'))).toBe('the last word of the peer\n');
      await connection.send('and ours\n');
      await connection.shutdown('send');
      expect(await hashOfAll(peer)).toBe(hashOf([Buffer.from('and ours\n')]));
      await expect(connection.send('more')).rejects.toBeInstanceOf(ClosedError);
      await Promise.all([connection.close(), closed(socket), closed(peer)]);
    }));

  it('still receives after its own end', () =>
    withReactor(async (reactor) => {
      const { connection, socket, peer } = await connected(reactor);
      await connection.shutdown('send');
      await once(peer.resume(), 'end');
      peer.end('still here\n');
      expect(await connection.receive()).toBe('still here');
      await connection.shutdown('receive');
      await Promise.all([connection.close(), closed(socket), closed(peer)]);
    }));

  it('rejects with ECONNRESET and the error of the socket after a reset', () =>
    withReactor(async (reactor) => {
      const { connection, peer } = await connected(reactor);
      const remote = `${host}:${String(peer.localPort)}`;
      const receiving = connection.receive();
      peer.resetAndDestroy();
      const error = await receiving.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SystemError);
      expect(error).toMatchObject({
        code: 'ECONNRESET',
        errno: 104,
        syscall: 'read',
        operation: 'receive',
        message: `read ECONNRESET: connection reset by peer (${remote})`,
        cause: { code: 'ECONNRESET' },
      });
      expect(connection.closed).toBe(true);
      await expect(connection.send('x')).rejects.toBeInstanceOf(ClosedError);
    }));

  it('emits "broken" after a reset while no receive runs', () =>
    withReactor(async (reactor) => {
      const { connection, socket, peer } = await connected(reactor);
      const broken = new Promise<Error>((resolve) => connection.once('broken', resolve));
      socket.read(0);
      peer.resetAndDestroy();
      expect(await broken).toMatchObject({ code: 'ECONNRESET' });
      connection.abort();
    }));

  it('resets the peer when it is aborted', () =>
    withReactor(async (reactor) => {
      const { connection, socket, peer } = await connected(reactor);
      const failed = once(peer.resume(), 'error');
      connection.abort();
      expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
      await closed(socket);
    }));

  it('sends all bytes before it closes, and leaves no listeners on the socket', () =>
    withReactor(async (reactor) => {
      const { connection, socket, peer } = await connected(reactor);
      const data = randomBytes(1 << 20);
      const sending = connection.send(data);
      const closing = sending.then(() => connection.close());
      expect(await hashOfAll(peer)).toBe(hashOf([data]));
      peer.end();
      await closing;
      await Promise.all([closed(socket), closed(peer)]);
      expect(listenersOf(socket)).toEqual(listenersOf(await fresh()));
    }));

  it('has the addresses of the socket, and sets the options that a Node socket has', () =>
    withReactor(async (reactor) => {
      const { connection, peer } = await connected(reactor);
      expect(connection.remoteAddress).toEqual({ family: 'IPv4', host, port: peer.localPort });
      expect(connection.localAddress).toEqual({ family: 'IPv4', host, port: peer.remotePort });
      expect(connection.peerCredentials).toBeUndefined();
      connection.setOption('noDelay', true);
      connection.setOption('keepAlive', true);
      connection.setOption('keepIdle', 10);
      expect(() => {
        connection.setOption('linger', 0);
      }).toThrow(UnsupportedError);
      expect(() => connection.option('noDelay')).toThrow(UnsupportedError);
      connection.abort();
      expect(connection.remoteAddress).toMatchObject({ port: peer.localPort });
      expect(connection.localAddress).toBeUndefined();
      expect(() => {
        connection.setOption('noDelay', true);
      }).toThrow(ClosedError);
      peer.destroy();
    }));

  it('can be made while the socket still connects, and rejects with the error of that connect', () =>
    withReactor(async (reactor) => {
      const server = createServer((accepted) => accepted.end('hello\n')).listen(0, host);
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const connection = fromDuplex(reactor, connect(port, host), { host: 'localhost' });
      expect(connection.basis).toMatchObject({ role: 'client', host: 'localhost' });
      expect(await connection.receive()).toBe('hello');
      await connection.close();
      server.close();
      await once(server, 'close');
      const refused = fromDuplex(reactor, connect(port, host));
      await expect(refused.send('x').then(() => refused.receive())).rejects.toMatchObject({
        name: 'SystemError',
        code: 'ECONNREFUSED',
        syscall: 'connect',
      });
    }));

  it('takes over a socket that its server has paused with pauseOnConnect', () =>
    withReactor(async (reactor) => {
      const server = createServer({ pauseOnConnect: true }).listen(0, host);
      await once(server, 'listening');
      const peer = connect((server.address() as AddressInfo).port, host);
      peer.write('hello\n');
      const [socket] = (await once(server, 'connection')) as [Socket];
      server.close();
      const connection = fromDuplex(reactor, socket);
      expect(await connection.receive()).toBe('hello');
      peer.end();
      await Promise.all([connection.close(), closed(peer.resume())]);
    }));

  it('receives the head of an upgrade first', () =>
    withReactor(async (reactor) => {
      const server = createHttpServer().listen(0, host);
      await once(server, 'listening');
      const peer = connect((server.address() as AddressInfo).port, host);
      peer.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nsent along\n');
      const [, socket, head] = (await once(server, 'upgrade')) as [unknown, Duplex, Buffer];
      socket.unshift(head);
      const connection = fromDuplex(reactor, socket);
      expect(await connection.receive()).toBe('sent along');
      peer.write('sent after\n');
      expect(await connection.receive()).toBe('sent after');
      peer.destroy();
      connection.abort();
      server.close();
      await once(server, 'close');
    }));
});

describe('a connection over any Node stream', () => {
  it('receives the bytes that the stream held before, also if the stream has ended', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      far.write('early\n');
      near.unshift(Buffer.from('earlier\n'));
      const connection = fromDuplex(reactor, near);
      expect(connection.readableNow).toBe(true);
      expect([await connection.receive(), await connection.receive()]).toEqual(['earlier', 'early']);
      connection.abort();
      for (const words of ['goodbye', '']) {
        const [ended, peer] = streamPair();
        peer.end(words);
        const late = fromDuplex(reactor, ended);
        expect(text(await late.receive('*a'))).toBe(words);
        peer.resume();
        const gone = closed(ended);
        await late.close();
        await gone;
      }
    }));

  it('takes no bytes from the stream while no receive runs, so that the peer must wait', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair(1_000);
      const connection = fromDuplex(reactor, near);
      far.write(Buffer.alloc(900));
      far.write(Buffer.alloc(5_000));
      far.write('more');
      await soon(reactor);
      expect(connection.readableNow).toBe(true);
      expect(connection.statistics.bytesIn).toBe(0);
      expect(near.readableLength).toBe(5_900);
      expect(far.writableLength).toBe(5_004);
      expect(far.writableNeedDrain).toBe(true);
      expect((await connection.receive(5_904)).length).toBe(5_904);
      connection.abort();
    }));

  it('delivers a chunk in parts, and stays readable until the last part', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      const connection = fromDuplex(reactor, near);
      far.write('abc');
      await firstValueFrom(connection.readable$);
      const one = new Uint8Array(1);
      let seen = '';
      while (connection.tryReceiveInto(one) === 1) {
        seen += text(one);
        expect(connection.transport.hasBuffered).toBe(seen.length < 3);
        expect(connection.readableNow).toBe(true);
      }
      expect(seen).toBe('abc');
      expect(connection.readableNow).toBe(false);
      far.end();
      await firstValueFrom(connection.readable$);
      expect(connection.tryReceiveInto(one)).toBe(END);
      connection.abort();
    }));

  it('copies the bytes of a send, so that the memory may be used again', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      const connection = fromDuplex(reactor, near);
      const memory = Buffer.alloc(8_000, 'a');
      far.cork();
      await connection.send(memory);
      memory.fill('b');
      expect(text(far.read() as Buffer)).toBe('a'.repeat(8_000));
      connection.abort();
    }));

  it('reports the last byte of a send that timed out, and continues after it', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair(20_000);
      const connection = fromDuplex(reactor, near);
      const data = Buffer.alloc(500_000, 'abcdefg');
      const error: unknown = await connection
        .send(data, { timeouts: { blockMs: 10 } })
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OperationTimeoutError);
      const { want, last = -1 } = error as OperationTimeoutError;
      expect(want).toBe('write');
      expect(last).toBe(19_999);
      expect(connection.trySend(data)).toBe(WANT_WRITE);
      expect(near.writableLength).toBeLessThanOrEqual(20_000);
      const received = hashOfAll(far);
      await connection.send(data, { first: last + 1 });
      await connection.shutdown();
      expect(await received).toBe(hashOf([data]));
      far.end();
      await connection.close();
    }));

  it('times out when the stream is silent, and stays usable', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      const connection = fromDuplex(reactor, near, { timeouts: { blockMs: 10 } });
      const wants: string[] = [];
      connection.wants$.subscribe(({ operation, want }) => wants.push(`${operation} ${want}`));
      await expect(connection.receive()).rejects.toMatchObject({
        name: 'OperationTimeoutError',
        mode: 'block',
        want: 'read',
        message: 'receive timed out (block 10 ms) waiting to read',
      });
      expect(wants).toEqual(['receive read']);
      expect(connection.tryReceive()).toBe(WANT_READ);
      far.write('late\n');
      expect(await connection.receive()).toBe('late');
      connection.abort();
    }));

  it('can be a member of a select', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      const connection = fromDuplex(reactor, near);
      expect(await reactor.select({ read: [connection] }, 5)).toMatchObject({ timedOut: true });
      expect(await reactor.select({ write: [connection] }, 5)).toMatchObject({ writable: [connection] });
      const selecting = reactor.select({ read: [connection] }, 1_000);
      far.write('x');
      expect(await selecting).toMatchObject({ readable: [connection], timedOut: false });
      connection.abort();
    }));

  it('receives the bytes that came before an error, and then rejects with the error', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      const connection = fromDuplex(reactor, near);
      far.write('before\nand after');
      await soon(reactor);
      far.destroy();
      await closed(near);
      await soon(reactor);
      await expect(connection.send('x')).rejects.toMatchObject({ code: 'ECONNRESET', operation: 'send', last: -1 });
      expect(await connection.receive()).toBe('before');
      await expect(connection.receive()).rejects.toMatchObject({
        code: 'ECONNRESET',
        operation: 'receive',
        partial: new Uint8Array(Buffer.from('and after')),
      });
      expect(connection.closeReason).toMatchObject({ code: 'ECONNRESET' });
    }));

  it.each([
    ['without an error', undefined, { message: 'the stream was closed before its end' }],
    ['by an error of a program', new Error('mine'), { message: 'the stream failed: mine', cause: { message: 'mine' } }],
  ])('rejects a receive with ClosedError when the program destroys the stream %s', (_, reason, shown) =>
    withReactor(async (reactor) => {
      const [near] = streamPair();
      const connection = fromDuplex(reactor, near);
      const receiving = connection.receive('*a');
      near.destroy(reason);
      await expect(receiving).rejects.toMatchObject({ name: 'ClosedError', ...shown });
      expect(connection.closed).toBe(true);
    }),
  );

  it('removes all its listeners, and catches errors of the stream until then', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      const before = listenersOf(near);
      const connection = fromDuplex(reactor, near);
      far.resume().end();
      await Promise.all([closed(near), connection.close()]);
      expect(listenersOf(near)).toEqual(before);

      let fail = (_: Error): void => undefined;
      const stubborn = new Duplex({
        read: () => undefined,
        write: (_, __, done) => {
          done();
        },
        destroy: (_, done) => {
          fail = done;
        },
      });
      fromDuplex(reactor, stubborn).abort();
      expect([stubborn.listenerCount('readable'), stubborn.listenerCount('error')]).toEqual([0, 1]);
      const gone = closed(stubborn);
      fail(new Error('late'));
      await gone;
      expect(listenersOf(stubborn)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    }));

  it('makes reactor.close wait until it is closed', () =>
    withReactor(async (reactor) => {
      const [near, far] = streamPair();
      const connection = fromDuplex(reactor, near);
      let ended = false;
      const closing = reactor.close().then(() => {
        ended = true;
      });
      await new Promise((resolve) => setImmediate(resolve));
      expect(ended).toBe(false);
      far.resume().end('goodbye');
      expect(text(await connection.receive('*a'))).toBe('goodbye');
      await connection.close();
      await closing;
      expect(() => fromDuplex(reactor, streamPair()[0])).toThrow(ClosedError);
    }));

  it('is refused for streams that carry no bytes, have another reader, or have ended', () =>
    withReactor((reactor) => {
      const taking =
        (stream: Duplex): (() => Connection) =>
        () =>
          fromDuplex(reactor, stream);
      expect(taking(new PassThrough({ objectMode: true }))).toThrow(
        new TypeError('fromDuplex refused: the stream is in object mode, but a connection carries bytes'),
      );
      expect(taking(new PassThrough().setEncoding('utf8'))).toThrow(
        new TypeError('fromDuplex refused: the stream decodes its bytes as utf8; do not set an encoding'),
      );
      const read = new TypeError('fromDuplex refused: other code reads the stream');
      expect(taking(new PassThrough().resume())).toThrow(read);
      expect(taking(new PassThrough().on('data', () => undefined).pause())).toThrow(read);
      expect(taking(new PassThrough().on('readable', () => undefined))).toThrow(read);
      const [twice] = streamPair();
      const connection = fromDuplex(reactor, twice);
      expect(taking(twice)).toThrow(read);
      connection.abort();
      const over = new ClosedError('fromDuplex refused: the stream has ended or was destroyed');
      expect(taking(twice)).toThrow(over);
      expect(taking(new PassThrough().end())).toThrow(over);
      expect(reactor.connections.size).toBe(0);
      return Promise.resolve();
    }));

  it('uses the clock of its reactor, also in a simulated world', async () => {
    const world = new World();
    const { reactor } = world.machine('here');
    const [near, far] = streamPair();
    const connection = fromDuplex(reactor, near, { timeouts: { blockMs: 60_000 } });
    await expect(world.run(connection.receive())).rejects.toBeInstanceOf(OperationTimeoutError);
    expect(world.now()).toBe(60_000);
    far.write('hello\n');
    // Virtual time does not wait for pending events of Node.
    await new Promise((resolve) => setImmediate(resolve));
    expect(await world.run(connection.receive())).toBe('hello');
    connection.abort();
    await world.run(reactor.close());
  });

  it('is destroyed at its close limits when the stream never passes its bytes on', async () => {
    const world = new World();
    const { reactor } = world.machine('here');
    const [near] = streamPair(1_000);
    const connection = fromDuplex(reactor, near);
    expect(await world.run(connection.send(Buffer.alloc(16 * 1024)))).toBe(16 * 1024 - 1);
    await world.run(connection.close());
    expect(near.destroyed).toBe(false);
    await world.run(reactor.close());
    expect(near.destroyed).toBe(true);
    expect(world.now()).toBe(4_000);
    expect(reactor.loop.deadlines.size).toBe(0);
  });
});

/** @returns a closed socket that no code has used, for comparison. */
async function fresh(): Promise<Socket> {
  const [socket, peer] = await sockets();
  socket.destroy();
  peer.destroy();
  await closed(socket);
  return socket;
}
