import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import {
  AbortError,
  BoundsError,
  BusyError,
  ClosedError,
  OperationTimeoutError,
  SystemError,
} from '../../core/errors.ts';
import { END, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import type { Connection } from './connection.ts';
import type { Reactor } from '../reactor.ts';
import { portOf, withReactor } from '../testing/with-reactor.ts';

/** Both ends of one TCP connection. */
async function pair(
  reactor: Reactor,
  options: { sendBuffer?: number; receiveBuffer?: number } = {},
): Promise<[client: Connection, server: Connection]> {
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0, ...options });
  const [client, server] = await Promise.all([
    reactor.connect({ host: '127.0.0.1', port: portOf(listener), ...options }),
    listener.accept(),
  ]);
  listener.close();
  return [client, server];
}

async function failure<E extends Error>(promise: PromiseLike<unknown>, kind: new (...args: never[]) => E): Promise<E> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(kind);
  return error as E;
}

describe('a connection over real sockets', () => {
  it('sends and receives lines, numbers of bytes, and everything until the end', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      expect(await client.send('one\r\ntwo\nthree')).toBe(13);
      expect(await server.receive()).toBe('one');
      expect(await server.receive('*l')).toBe('two');
      expect(Buffer.from(await server.receive(2)).toString()).toBe('th');
      await client.shutdown();
      expect(Buffer.from(await server.receive('*a')).toString()).toBe('ree');
      expect((await server.receive('*s')).length).toBe(0);
      await Promise.all([server.close(), client.close()]);
    }));

  it('works over IPv6 and has the addresses of both ends', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host: '::1', port: 0 });
      const [client, server] = await Promise.all([
        reactor.connect({ host: '::1', port: portOf(listener) }),
        listener.accept(),
      ]);
      expect(listener.address).toMatchObject({ family: 'IPv6', host: '::1' });
      expect(client.remoteAddress).toEqual(listener.address);
      expect(server.remoteAddress).toEqual(client.localAddress);
      await Promise.all([client.close(), server.close()]);
    }));

  it('works over a Unix socket, whose file is removed with the listener', () =>
    withReactor(async (reactor) => {
      const path = join(mkdtempSync(join(tmpdir(), 'wantio-')), 'socket');
      const listener = await reactor.listen({ path });
      expect(() => listener.port).toThrow('a listener on a Unix socket has no port');
      listener.serve({}, async (connection) => {
        for await (const line of connection.lines()) await connection.send(`${line.toUpperCase()}\n`);
      });
      const client = await reactor.connect({ path });
      await client.send('hello\n');
      expect(await client.receive()).toBe('HELLO');
      await client.close();
      listener.close();
      await expect(reactor.connect({ path })).rejects.toMatchObject({ code: 'ENOENT' });
    }));

  it('refuses a second operation in the same direction with BusyError', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const first = client.receive();
      await failure(client.receive(), BusyError);
      expect(() => client.tryReceive()).toThrow(BusyError);
      await server.send('line\n');
      expect(await first).toBe('line');
      client.abort();
      server.abort();
    }));

  it('gives the bytes of a timed-out receive as its partial, and accepts them as a prefix', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send('half a');
      const error = await failure(client.receive('*l', { timeouts: { blockMs: 20 } }), OperationTimeoutError);
      expect(error).toMatchObject({
        mode: 'block',
        want: 'read',
        operation: 'receive',
        code: 'ERR_WANTIO_TIMEOUT',
        message: 'receive timed out (block 20 ms) waiting to read',
      });
      expect(Buffer.from(error.partial ?? []).toString()).toBe('half a');
      await server.send(' line\n');
      expect(await client.receive('*l', { prefix: error.partial })).toBe('half a line');
      client.abort();
      server.abort();
    }));

  it('keeps the bytes beyond an exceeded bound', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send('0123456789\n');
      const error = await failure(client.receive('*l', { maxBytes: 4 }), BoundsError);
      expect(error).toMatchObject({ option: 'maxBytes', limit: 4 });
      expect(Buffer.from(error.partial ?? []).toString()).toBe('0123');
      expect(await client.receive()).toBe('456789');
      client.abort();
      server.abort();
    }));

  it('reports the last byte of a timed-out send, and continues after it', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor, { sendBuffer: 16_384, receiveBuffer: 16_384 });
      const data = Buffer.alloc(1_000_000, 'abcdefg');
      const error = await failure(client.send(data, { timeouts: { blockMs: 20 } }), OperationTimeoutError);
      const last = error.last ?? -1;
      expect(error.want).toBe('write');
      expect(last).toBeGreaterThan(0);
      expect(last).toBeLessThan(data.length - 1);
      expect(Buffer.from(error.rest as Uint8Array).equals(data.subarray(last + 1))).toBe(true);
      const [received] = await Promise.all([server.receive(data.length), client.send(data, { first: last + 1 })]);
      expect(Buffer.from(received).equals(data)).toBe(true);
      client.abort();
      server.abort();
    }));

  it('does not add the prefix of a receive that is refused for its arguments', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      expect(() => client.receive('*l', { prefix: Buffer.from('twice'), timeouts: { blockMs: NaN } })).toThrow(
        RangeError,
      );
      expect(() => client.close({ timeoutMs: NaN })).toThrow(RangeError);
      expect(() => reactor.close({ timeoutMs: NaN })).toThrow(RangeError);
      await server.send('once\n');
      expect(await client.receive()).toBe('once');
      client.abort();
      server.abort();
    }));

  it('rejects a receive with AbortError when its signal is aborted, with the reason as the cause', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const cancel = new AbortController();
      const receiving = client.receive('*l', { signal: cancel.signal });
      cancel.abort('enough');
      expect(await failure(receiving, AbortError)).toMatchObject({ cause: 'enough', operation: 'receive' });
      await server.send('still here\n');
      expect(await client.receive()).toBe('still here');
      client.abort();
      server.abort();
    }));

  it('delivers its last bytes when it closes, although it has unread bytes from the peer', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('unread');
      const closing = Promise.all([server.send('goodbye'), server.close()]);
      expect(Buffer.from(await client.receive('*a')).toString()).toBe('goodbye');
      await client.close();
      await closing;
    }));

  it('rejects with ECONNRESET after a reset, and is closed', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const receiving = client.receive();
      server.abort();
      expect(await failure(receiving, SystemError)).toMatchObject({ code: 'ECONNRESET', syscall: 'recv' });
      expect(client.closed).toBe(true);
      expect(await failure(client.send('x'), ClosedError)).toMatchObject({ operation: 'send' });
    }));

  it('rejects an iteration of lines with ClosedError at an end in the middle of a line, and keeps its bytes', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('whole\nunfinished');
      await client.shutdown();
      const lines: string[] = [];
      const reading = (async () => {
        for await (const line of server.lines()) lines.push(line);
      })();
      await failure(reading, ClosedError);
      expect(lines).toEqual(['whole']);
      expect(Buffer.from(await server.receive('*a')).toString()).toBe('unfinished');
      await Promise.all([server.close(), client.close()]);
    }));

  it('half-closes: after the end of one direction the other stays open', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('question');
      await client.shutdown('send');
      expect(Buffer.from(await server.receive('*a')).toString()).toBe('question');
      await server.send('answer');
      const closing = server.close();
      expect(Buffer.from(await client.receive('*a')).toString()).toBe('answer');
      await client.close();
      await closing;
    }));

  it('has try methods that do not wait, and shows its want', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor, { sendBuffer: 16_384, receiveBuffer: 16_384 });
      expect(client.tryReceive()).toBe(WANT_READ);
      expect(client.want()).toBe('read');
      const chunk = new Uint8Array(65_536);
      let sent = 0;
      for (let count = client.trySend(chunk); count !== WANT_WRITE; count = client.trySend(chunk)) sent += count;
      expect(client.want()).toBe('write');
      expect(client.statistics.bytesOut).toBe(sent);
      expect((await server.receive(sent)).length).toBe(sent);
      expect((await reactor.select({ write: [client] }, 1_000)).writable).toEqual([client]);
      await client.shutdown();
      await reactor.select({ read: [server] }, 1_000);
      expect(server.tryReceiveInto(chunk)).toBe(END);
      await Promise.all([client.close(), server.close()]);
    }));

  it('sets and reads socket options', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({
        host: '127.0.0.1',
        port: 0,
        keepAlive: { idle: 11, interval: 7, count: 3 },
      });
      const [client, server] = await Promise.all([
        reactor.connect({ host: '127.0.0.1', port: portOf(listener), noDelay: false }),
        listener.accept(),
      ]);
      expect([client.option('noDelay'), server.option('noDelay')]).toEqual([0, 1]);
      expect([
        server.option('keepAlive'),
        server.option('keepIdle'),
        server.option('keepInterval'),
        server.option('keepCount'),
      ]).toEqual([1, 11, 7, 3]);
      expect(client.option('linger')).toBe(-1);
      client.setOption('linger', 5);
      expect(client.option('linger')).toBe(5);
      client.setOption('linger', -1);
      client.setOption('receiveBuffer', 32_768);
      expect(client.option('receiveBuffer')).toBe(65_536);
      expect(() => {
        client.setOption('keepCount', 1_000_000);
      }).toThrow(SystemError);
      client.abort();
      server.abort();
    }));

  it('refuses options after it is closed, because its descriptor number may belong to another socket', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const { fd } = client.basis.socket.handle;
      client.abort();
      const others = await pair(reactor);
      const successor = others.find((other) => other.basis.socket.handle.fd === fd) as Connection;
      expect(() => {
        client.setOption('keepAlive', true);
      }).toThrow(ClosedError);
      expect(() => client.option('keepAlive')).toThrow(ClosedError);
      expect(successor.option('keepAlive')).toBe(0);
      for (const connection of [server, ...others]) connection.abort();
    }));

  it('refuses to receive into memory of 0 bytes in tryReceiveInto', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send('hello\n');
      await reactor.select({ read: [client] }, 1_000);
      expect(() => client.tryReceiveInto(new Uint8Array(0))).toThrow(RangeError);
      expect(await client.receive()).toBe('hello');
      client.abort();
      server.abort();
    }));

  it('receives bytes until a delimiter, and skips bytes, without decoding them', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send(Buffer.from('key\xff\r\nlength\r\n12345rest', 'latin1'));
      const key = await client.receiveUntil('\r\n');
      expect(Buffer.from(key)).toEqual(Buffer.from('key\xff', 'latin1'));
      expect(Buffer.from(await client.receiveUntil(Buffer.from('\r\n'))).toString()).toBe('length');
      expect(await client.skip(5)).toBe(5);
      expect(Buffer.from(await client.receive(4)).toString()).toBe('rest');
      expect(() => client.receiveUntil('')).toThrow('receiveUntil needs a delimiter of at least one byte');
      expect(() => client.skip(-1)).toThrow(RangeError);
      client.abort();
      server.abort();
    }));

  it('iterates over lines of bytes until the peer ends', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send(Buffer.from('\xff\r\na\rb\n\n', 'latin1'));
      void server.close();
      const lines = [];
      for await (const line of client.byteLines()) lines.push(Buffer.from(line).toString('latin1'));
      expect(lines).toEqual(['\xff', 'a\rb', '']);
      expect(() => client.byteLines({ maxBytes: 0 })).toThrow(RangeError);
      await client.close();
    }));

  it('reports how many bytes a failed skip has discarded', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await server.send('abc');
      void server.close();
      const skipping = client.skip(9);
      await expect(skipping).rejects.toThrow('after 3 of the 9 bytes to skip');
      expect(skipping.last).toBe(3);
      await client.close();
    }));

  it('sends several pieces as one', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      expect(await client.send(['grün', Buffer.from(' und '), 'blau\n'])).toBe(14);
      expect(await server.receive()).toBe('grün und blau');
      client.abort();
      server.abort();
    }));

  it('lets the reactor run turns although every operation succeeds at once', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const before = reactor.loop.turns;
      for (let i = 0; i < 200; i++) await client.send('x');
      expect(reactor.loop.turns - before).toBeGreaterThanOrEqual(6);
      expect((await server.receive(200)).length).toBe(200);
      client.abort();
      server.abort();
    }));
});
