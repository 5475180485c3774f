import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { libc } from '../epoll/libc.ts';
import { withReactor } from '../testing/with-reactor.ts';

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Leaves a socket file behind, as a killed process does. */
function leaveStale(path: string): void {
  spawnSync(process.execPath, [
    '-e',
    `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  expect(existsSync(path)).toBe(true);
}

describe('the file of a listener', () => {
  it('is removed when the listener closes, also if its path is relative', () =>
    withFolder((folder) =>
      withReactor(async (reactor) => {
        const before = process.cwd();
        // A relative path is resolved when it is bound. A worker of the test runner cannot change its directory, so
        // this path goes up to the root.
        const relative = join(
          '..',
          ...before
            .split('/')
            .slice(2)
            .map(() => '..'),
          folder,
          'a.sock',
        );
        const listener = await reactor.listen({ path: relative.length <= 107 ? relative : join(folder, 'a.sock') });
        expect(existsSync(join(folder, 'a.sock'))).toBe(true);
        listener.close();
        expect(existsSync(join(folder, 'a.sock'))).toBe(false);
      }),
    ));

  it('is kept when another listener has taken over its path', () =>
    withFolder((folder) =>
      withReactor(async (reactor) => {
        const path = join(folder, 'a.sock');
        const old = await reactor.listen({ path });
        unlinkSync(path);
        const young = await reactor.listen({ path });
        old.close();
        expect(existsSync(path)).toBe(true);
        const [client, server] = await Promise.all([reactor.connect({ path }), young.accept()]);
        client.abort();
        server.abort();
        young.close();
        expect(existsSync(path)).toBe(false);
      }),
    ));

  it('is not removed when its path now belongs to another file', () =>
    withFolder((folder) =>
      withReactor(async (reactor) => {
        const path = join(folder, 'a.sock');
        const listener = await reactor.listen({ path });
        unlinkSync(path);
        writeFileSync(path, 'not a socket');
        listener.close();
        expect(existsSync(path)).toBe(true);
      }),
    ));
});

describe('a stale socket file', () => {
  it('makes listen reject with EADDRINUSE and a hint at replaceStale', () =>
    withFolder((folder) =>
      withReactor(async (reactor) => {
        const path = join(folder, 'a.sock');
        leaveStale(path);
        await expect(reactor.listen({ path })).rejects.toMatchObject({
          code: 'EADDRINUSE',
          message: expect.stringContaining('replaceStale: true'),
        });
      }),
    ));

  it('is replaced with replaceStale', () =>
    withFolder((folder) =>
      withReactor(async (reactor) => {
        const path = join(folder, 'a.sock');
        leaveStale(path);
        const listener = await reactor.listen({ path, replaceStale: true });
        const [client, server] = await Promise.all([reactor.connect({ path }), listener.accept()]);
        client.abort();
        server.abort();
        listener.close();
      }),
    ));

  it('is not replaced while a process listens there, if it is no socket, or while another process takes it over', () =>
    withFolder((folder) =>
      withReactor(async (reactor) => {
        const path = join(folder, 'a.sock');
        const alive = createServer().listen(path);
        await new Promise((resolve) => alive.once('listening', resolve));
        await expect(reactor.listen({ path, replaceStale: true })).rejects.toMatchObject({
          code: 'EADDRINUSE',
          message: expect.stringContaining('another process listens there'),
        });
        expect(existsSync(path)).toBe(true);
        await new Promise((resolve) => alive.close(resolve));
        writeFileSync(path, 'not a socket');
        await expect(reactor.listen({ path, replaceStale: true })).rejects.toMatchObject({ code: 'EADDRINUSE' });
        rmSync(path);
        leaveStale(path);
        const lock = libc().lock(`${path}.lock`);
        await expect(reactor.listen({ path, replaceStale: true })).rejects.toMatchObject({
          code: 'EADDRINUSE',
          message: expect.stringContaining('taking it over'),
        });
        libc().close(lock);
        (await reactor.listen({ path, replaceStale: true })).close();
      }),
    ));
});

describe('an abstract name', () => {
  it('is the same name for other programs, to connect and to listen', () =>
    withReactor(async (reactor) => {
      const name = `\0wantio-${String(process.pid)}`;
      const listener = await reactor.listen({ path: name });
      const written = `'\\0${name.slice(1)}'`;
      const accepted = listener.accept();
      expect(
        spawnSync('python3', [
          '-c',
          `import socket; s = socket.socket(socket.AF_UNIX); s.connect(${written}); s.sendall(b'hello\\n')`,
        ]).status,
      ).toBe(0);
      const server = await accepted;
      expect(await server.receive()).toBe('hello');
      expect(listener.address).toEqual({ family: 'unix', path: name });
      server.abort();
      listener.close();
      const theirs = spawn('python3', [
        '-uc',
        `import socket; s = socket.socket(socket.AF_UNIX); s.bind(${written}); s.listen(); print('ready'); s.accept()[0].sendall(b'hi\\n')`,
      ]);
      await once(theirs.stdout, 'data');
      const client = await reactor.connect({ path: name });
      expect(await client.receive()).toBe('hi');
      client.abort();
      await once(theirs, 'exit');
    }));

  it('begins with a zero byte; a path with a zero byte inside is refused', () =>
    withReactor(async (reactor) => {
      await expect(reactor.listen({ path: '/tmp/a\0b' })).rejects.toThrow(/zero byte/);
    }));
});
