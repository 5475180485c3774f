import { describe, expect, it } from 'vitest';

import { BoundsError, BusyError, ClosedError, FramingError } from '../../core/errors.ts';
import { END, WANT_READ } from '../../core/want.ts';
import { delimited, fixedRecords, lines, netstrings } from './index.ts';
import { withReactor } from '../../reactor/testing/with-reactor.ts';
import type { Reactor } from '../../reactor/reactor.ts';
import type { Connection } from '../../reactor/connections/connection.ts';

async function pair(reactor: Reactor): Promise<[client: Connection, server: Connection]> {
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  const ends = await Promise.all([reactor.connect({ host: '127.0.0.1', port: listener.port }), listener.accept()]);
  listener.close();
  return ends;
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const readable = (reactor: Reactor, connection: Connection) => reactor.select({ read: [connection] }, 2_000);

describe('tryReceive with a framing', () => {
  it('returns whole messages, or a want, after which only more bytes make the connection readable', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      expect(server.tryReceive(lines())).toBe(WANT_READ);
      await client.send('one\ntw');
      await readable(reactor, server);
      expect(server.tryReceive(lines())).toEqual({ message: 'one' });
      expect(server.tryReceive(lines())).toBe(WANT_READ);
      // The bytes of the unfinished line do not make the connection readable again.
      expect((await reactor.select({ read: [server] }, 20)).timedOut).toBe(true);
      await client.send('o\n');
      expect((await readable(reactor, server)).readable).toEqual([server]);
      expect(server.tryReceive(lines())).toEqual({ message: 'two' });
      await client.shutdown('send');
      await readable(reactor, server);
      expect(server.tryReceive(lines())).toBe(END);
      await Promise.all([client.close(), server.close()]);
    }));

  it('returns an undefined message in an object', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const nothing = lines().map(
        () => '',
        () => undefined,
      );
      await client.sendMessage(nothing, undefined);
      await readable(reactor, server);
      expect(server.tryReceive(nothing)).toEqual({ message: undefined });
      await Promise.all([client.close(), server.close()]);
    }));

  it('throws when the peer ends in the middle of a message, and leaves the bytes in the connection', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('5:abc');
      await client.shutdown('send');
      for (let tried: unknown = WANT_READ; tried === WANT_READ;) {
        await readable(reactor, server);
        tried = await Promise.resolve()
          .then(() => server.tryReceive(netstrings()))
          .catch((error: unknown) => error);
        if (tried !== WANT_READ) expect(tried).toBeInstanceOf(ClosedError);
      }
      expect(text(await server.receive('*a'))).toBe('5:abc');
      await Promise.all([client.close(), server.close()]);
    }));

  it('throws for a message above maxBytes and for an invalid one, and leaves the bytes in the connection', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('3:abc,4:abcd,x');
      await readable(reactor, server);
      expect(server.tryReceive(netstrings(), { maxBytes: 3 })).toMatchObject({
        message: Uint8Array.from(Buffer.from('abc')),
      });
      expect(() => server.tryReceive(netstrings(), { maxBytes: 3 })).toThrow(BoundsError);
      expect(server.tryReceive(netstrings())).toMatchObject({ message: Uint8Array.from(Buffer.from('abcd')) });
      expect(() => server.tryReceive(netstrings())).toThrow(FramingError);
      try {
        server.tryReceive(netstrings());
      } catch (error) {
        expect(error).toMatchObject({ offset: 0, position: 13 });
      }
      expect(text(server.tryReceive() as Uint8Array)).toBe('x');
      await Promise.all([client.close(), server.close()]);
    }));

  it('is refused while a receive is running, and when its options are wrong', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const receiving = server.receive(lines());
      expect(() => server.tryReceive(lines())).toThrow(BusyError);
      await client.send('x\n');
      expect(await receiving).toBe('x');
      expect(() => server.tryReceive(lines(), { maxBytes: 0 })).toThrow(RangeError);
      expect(() => server.tryReceive(lines(), { bound: 1 } as never)).toThrow(TypeError);
      await Promise.all([client.close(), server.close()]);
    }));
});

describe('messages', () => {
  it('leave the remaining bytes to other framings when the iteration stops', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('hello\nSTART\n5:bytes,abcd;efgh;last');
      await client.shutdown('send');
      for await (const line of server.messages(lines())) if (line === 'START') break;
      expect(text(await server.receive(netstrings()))).toBe('bytes');
      expect(text(await server.receive(fixedRecords(5)))).toBe('abcd;');
      const error = await (async () => {
        for await (const message of server.messages(delimited(';'))) expect(text(message)).toBe('efgh');
      })().catch((reason: unknown) => reason);
      expect(error).toMatchObject({ name: 'ClosedError' });
      expect(text(await server.receive('*a'))).toBe('last');
      await Promise.all([client.close(), server.close()]);
    }));

  it('are given in order to calls of next that do not wait for each other, and end after a failure', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      const iteration = server.messages(lines());
      const calls = [iteration.next(), iteration.next(), iteration.return(), iteration.next()];
      await client.send('one\ntwo\nthree\n');
      expect(await Promise.all(calls)).toEqual([
        { done: false, value: 'one' },
        { done: false, value: 'two' },
        { done: true, value: undefined },
        { done: true, value: undefined },
      ]);
      expect(await server.receive()).toBe('three');
      const failing = server.messages(netstrings());
      await client.send('x');
      await expect(failing.next()).rejects.toThrow(FramingError);
      expect(await failing.next()).toEqual({ done: true, value: undefined });
      await expect(server.messages(lines()).throw(new Error('mine'))).rejects.toThrow('mine');
      await Promise.all([client.close(), server.close()]);
    }));

  it('that cannot be sent are refused before anything is sent', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      expect(() => client.sendMessage(lines(), 'two\nlines')).toThrow(FramingError);
      expect(() => client.sendMessage({} as never, 'x')).toThrow('sendMessage: the framing takes a Framing');
      expect(() => client.messages('*l' as never)).toThrow('messages: the framing takes a Framing');
      expect(client.statistics.bytesOut).toBe(0);
      await Promise.all([client.close(), server.close()]);
    }));

  it('time out when they arrive too slowly, and the error has the received bytes as partial', () =>
    withReactor(async (reactor) => {
      const [client, server] = await pair(reactor);
      await client.send('10:abc');
      const error = await server
        .receive(netstrings(), { timeouts: { totalMs: 20 } })
        .then(undefined, (reason: unknown) => reason as { partial: Uint8Array });
      expect(error).toMatchObject({ name: 'OperationTimeoutError', mode: 'total' });
      server.unread((error as { partial: Uint8Array }).partial);
      await client.send('defghij,');
      expect(text(await server.receive(netstrings()))).toBe('abcdefghij');
      await Promise.all([client.close(), server.close()]);
    }));
});
