import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

import { describe, expect, it } from 'vitest';

import { withReactor } from './testing/with-reactor.ts';

const reactorUrl = new URL('index.ts', import.meta.url).href;

/** Runs a program in a separate process. @returns its output. */
function run(program: string): {
  stdout: string;
  stderr: string;
  status: number | null;
  signal: NodeJS.Signals | null;
} {
  return spawnSync(
    process.execPath,
    [
      '--import',
      import.meta.resolve('tsx'),
      '--input-type=module',
      '-e',
      `import { Reactor } from '${reactorUrl}';\n${program}`,
    ],
    { encoding: 'utf8', timeout: 20_000 },
  );
}

describe('a reactor', () => {
  it('keeps the process alive while a listener or connection is open, and lets it end after that', () => {
    expect(
      run(`
      const reactor = new Reactor();
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      setTimeout(() => { console.log('closing'); listener.close(); }, 20);
    `),
    ).toMatchObject({ stdout: 'closing\n', stderr: '', status: 0 });
  });

  it('lets the process end with an open listener after unref', () => {
    expect(
      run(`
      const reactor = new Reactor().unref();
      await reactor.listen({ host: '127.0.0.1', port: 0 });
      console.log('listening');
    `),
    ).toMatchObject({ stdout: 'listening\n', stderr: '', status: 0 });
  });

  it('still keeps the process alive after unreferenced connections were closed', () => {
    expect(
      run(`
      const reactor = new Reactor();
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      for (let count = 0; count < 2; count++) {
        const [near, far] = await Promise.all([reactor.connect({ host: '127.0.0.1', port: listener.address.port }), listener.accept()]);
        near.unref().ref().unref().abort();
        near.unref().ref();
        far.abort();
      }
      setTimeout(() => { console.log('closing'); listener.close(); }, 20).unref();
    `),
    ).toMatchObject({ stdout: 'closing\n', stderr: '', status: 0 });
  });

  it('runs the other handlers of a batch when one throws, and makes the error an uncaught exception', () => {
    const { stdout, status } = run(`
      process.on('uncaughtException', (error) => { console.log('uncaught', error.message); });
      const reactor = new Reactor();
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      listener.serve({}, async (c) => { await c.send('x'); await c.receive('*a'); });
      const clients = await Promise.all([1, 2].map(() => reactor.connect({ host: '127.0.0.1', port: listener.address.port })));
      await reactor.select({ read: clients.slice(0, 1) });
      let heard = 0;
      for (const client of clients) client.readable$.subscribe(() => {
        client.tryReceive();
        if (++heard === 2) setTimeout(() => { reactor.abort(); void reactor.close(); }, 5);
        throw new Error('handler ' + heard);
      });
    `);
    expect(status).toBe(0);
    expect(stdout).toBe('uncaught handler 1\nuncaught handler 2\n');
  });

  it('makes the failure of an operation without a handler an unhandled rejection', () => {
    const { stderr, status } = run(`
      const reactor = new Reactor();
      void reactor.connect({ host: '127.0.0.1', port: 1 });
    `);
    expect(status).toBe(1);
    expect(stderr).toContain('connect ECONNREFUSED');
  });

  it('throws UnsupportedError in a worker thread', async () => {
    const file = `/tmp/wantio-worker-${String(process.pid)}.mjs`;
    writeFileSync(
      file,
      `
      import { parentPort } from 'node:worker_threads';
      import { register } from '${import.meta.resolve('tsx/esm/api')}';
      register();
      const { Reactor } = await import('${reactorUrl}');
      try { new Reactor(); } catch (error) { parentPort.postMessage([error.name, error.code]); }
    `,
    );
    const worker = new Worker(file);
    expect(await new Promise((resolve) => worker.once('message', resolve))).toEqual([
      'UnsupportedError',
      'ERR_WANTIO_UNSUPPORTED',
    ]);
    await worker.terminate();
    rmSync(file);
  });

  it('runs the other timers when one throws', () => {
    expect(
      run(`
      process.on('uncaughtException', (error) => { console.log(error.message); });
      const reactor = new Reactor();
      for (const ms of [10, 10, 20]) reactor.after(ms, () => { throw new Error('at ' + ms); });
      await reactor.select({}, 30);
    `),
    ).toMatchObject({ stdout: 'at 10\nat 10\nat 20\n', stderr: '', status: 0 });
  });

  it('settles an operation although a close handler throws', () => {
    expect(
      run(`
      process.on('uncaughtException', (error) => { console.log('uncaught', error.message); });
      const reactor = new Reactor();
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const [client, server] = await Promise.all([reactor.connect({ host: '127.0.0.1', port: listener.address.port }), listener.accept()]);
      listener.close();
      client.on('close', () => { throw new Error('handler'); });
      server.abort();
      await client.receive().catch((error) => { console.log(error.code); });
    `),
    ).toMatchObject({
      stdout: expect.stringMatching(/^(?:ECONNRESET\nuncaught handler|uncaught handler\nECONNRESET)\n$/) as string,
      status: 0,
    });
  });

  it('waits in an empty select until the timeout', () =>
    withReactor(async (reactor) => {
      const startedAt = reactor.now();
      expect(await reactor.select({}, 20)).toEqual({ readable: [], writable: [], timedOut: true });
      expect(reactor.now() - startedAt).toBeGreaterThanOrEqual(20);
    }));
});
