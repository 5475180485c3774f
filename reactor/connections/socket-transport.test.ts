import { constants } from 'node:os';

import { describe, expect, it } from 'vitest';

import { END, WANT_READ } from '../../core/want.ts';
import { Handle, WRITABLE } from '../handle.ts';
import { SocketTransport } from './socket-transport.ts';
import type { SystemCalls } from '../system-calls.ts';
import type { Selector } from '../selector.ts';

const { EPIPE, EAGAIN, ECONNRESET } = constants.errno;

describe('a write that fails because the peer is gone', () => {
  it.each([
    ['EPIPE', 'the end', EPIPE, 0, END],
    ['EPIPE', 'a want to read', EPIPE, -EAGAIN, WANT_READ],
    ['ECONNRESET', 'a want to read', ECONNRESET, -EAGAIN, WANT_READ],
  ])('with %s is followed by a read of the bytes that came before, and then by %s', (_, __, errno, after, code) => {
    const received = [Buffer.from('last words')];
    const calls: Pick<SystemCalls, 'send' | 'recv'> = {
      send: () => -errno,
      recv: (_fd, into) => {
        const piece = received.shift();
        if (piece === undefined) return after;
        into.set(piece);
        return piece.length;
      },
    };
    const handle = new Handle(3);
    // The selector has reported writable, but not yet readable.
    handle.readiness = WRITABLE;
    const transport = new SocketTransport(calls as SystemCalls, {} as Selector, handle, undefined);
    expect(() => transport.write(Buffer.from('x'))).toThrow(expect.objectContaining({ errno }) as Error);
    const into = Buffer.alloc(10);
    expect(into.toString('latin1', 0, transport.read(into))).toBe('last words');
    expect(transport.read(into)).toBe(code);
  });
});
