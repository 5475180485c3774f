// Abstract Unix sockets, with Python as the peer.

import { describe, expect, it } from 'vitest';

import { missing, Program } from './testing/tls/program.ts';
import { formatAddress, parseTarget } from '../reactor/addresses/address.ts';
import { decodeAddress, encodeAddress } from '../reactor/epoll/sockaddr.ts';
import { World } from '../reactor/simulated/world.ts';
import { withReactor } from '../reactor/testing/with-reactor.ts';

let count = 0;
const newName = (): string => `\0wantio test ${String(process.pid)} ${String(++count)}`;

const without = missing('python3');

describe('an abstract socket name', () => {
  it.skipIf(without !== '')(`connects to a Python server, and accepts a Python client${without}`, () =>
    withReactor(async (reactor) => {
      const [theirs, ours] = [newName(), newName()];
      const listener = await reactor.listen({ path: ours });
      const accepting = listener.accept();
      const python = new Program(
        'python3',
        '-c',
        `import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1].replace('@', chr(0))); s.listen()
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[2].replace('@', chr(0))); c.sendall(b'from python\\n')
print('ready', flush=True)
a = s.accept()[0]; a.sendall(repr(a.getsockname()).encode() + b'\\n'); a.close()`,
        theirs.replace('\0', '@'),
        ours.replace('\0', '@'),
      );
      await python.says(/ready/);
      const accepted = await accepting;
      expect(await accepted.receive()).toBe('from python');
      accepted.abort();
      const client = await reactor.connect({ path: theirs });
      // Python shows abstract names as bytes.
      expect(await client.receive()).toBe(`b'\\x00${theirs.slice(1)}'`);
      expect(client.remoteAddress).toEqual({ family: 'unix', path: theirs });
      client.abort();
      await python.exit();
    }),
  );

  it('is formatted and parsed with an @', () => {
    expect(formatAddress({ family: 'unix', path: '\0a\0b' })).toBe('@a\\x00b');
    expect(parseTarget('@a/b')).toEqual({ path: '\0a/b' });
  });

  it('may contain zero bytes, and be one byte longer than a path', () =>
    withReactor(async (reactor) => {
      const name = `${newName()}\0padded\0\0`;
      const listener = await reactor.listen({ path: name });
      (await reactor.connect({ path: name })).abort();
      await expect(Promise.resolve(reactor.connect({ path: name.slice(0, -1) }))).rejects.toMatchObject({
        code: 'ECONNREFUSED',
      });
      listener.close();
      await expect(reactor.listen({ path: '/tmp/a\0b' })).rejects.toThrow('a path ends at a zero byte');
      expect(() => reactor.connect({ path: '/tmp/a\0b' })).toThrow(RangeError);
      const longest = `\0${'x'.repeat(107)}`;
      expect(decodeAddress(encodeAddress({ family: 'unix', path: longest }) as Uint8Array, 110)).toEqual({
        family: 'unix',
        path: longest,
      });
      await expect(reactor.listen({ path: `${longest}x` })).rejects.toThrow('at most 108 bytes');
    }));

  it('differs from the path of the same text and leaves no file, in a simulated world', async () => {
    const world = new World();
    const { host, reactor } = world.machine('a');
    const listener = await world.run(reactor.listen({ path: '\0x' }));
    const dial = (path: string) => world.run(Promise.resolve(reactor.connect({ path })));
    await expect(dial('x')).rejects.toMatchObject({ code: 'ENOENT' });
    (await dial('\0x')).abort();
    listener.close();
    await expect(dial('\0x')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await world.run(reactor.close());
    expect(host.openDescriptors).toBe(0);
  });
});
