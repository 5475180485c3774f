import { once } from 'node:events';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { onAbort } from '../../core/on-abort.ts';
import { closeOnSignal } from '../close-on-signal.ts';
import { epollGround } from '../epoll/epoll-ground.ts';
import { Reactor } from '../reactor.ts';
import { portOf, withReactor } from '../testing/with-reactor.ts';

const host = '127.0.0.1';
const warnings: Error[] = [];
const note = (warning: Error): void => {
  warnings.push(warning);
};

beforeEach(() => {
  process.on('warning', note);
});
afterEach(async () => {
  // Node emits warnings in a later tick.
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', note);
  expect(warnings.splice(0).map(({ message }) => message)).toEqual([]);
});

describe('Node warns of no listener leak when', () => {
  it.each([
    ['the signal of serve', false],
    ['one signal of the program', true],
  ])('fifteen handlers use %s', (_, isOwn) =>
    withReactor(async (reactor) => {
      const own = new AbortController();
      const listener = await reactor.listen({ host, port: 0 });
      let running = 0;
      let allRun: () => void = () => undefined;
      const all = new Promise<void>((resolve) => {
        allRun = resolve;
      });
      const failures: unknown[] = [];
      listener.serve({}, async (connection, { signal }) => {
        const used = isOwn ? own.signal : signal;
        // Handlers may add their own listeners.
        if (!isOwn) used.addEventListener('abort', () => undefined, { once: true });
        const receiving = connection.receive('*l', { signal: used });
        if (++running === 15) allRun();
        await receiving.catch((error: unknown) => {
          failures.push(error);
        });
      });
      const clients = await Promise.all(
        Array.from({ length: 15 }, () => reactor.connect({ host, port: portOf(listener) })),
      );
      await all;
      own.abort(new Error('enough'));
      // The continuations of the handlers run first.
      await new Promise((resolve) => setImmediate(resolve));
      if (isOwn) expect(failures).toHaveLength(15);
      for (const client of clients) client.abort();
    }),
  );

  it('fifteen reactors close on signals of the process', async () => {
    const before = process.listenerCount('SIGTERM');
    const reactors = Array.from({ length: 15 }, () => new Reactor(epollGround()));
    const closed = reactors.map((reactor) => closeOnSignal(reactor));
    expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    await reactors[0].close();
    await closed[0];
    process.emit('SIGTERM', 'SIGTERM');
    await Promise.all(closed);
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });
});

describe('many callbacks of onAbort for one signal', () => {
  it('are each called once, even if one throws, unless they were removed', async () => {
    const cancel = new AbortController();
    const called: string[] = [];
    const remove = onAbort(cancel.signal, () => {
      called.push('removed');
    });
    onAbort(cancel.signal, () => {
      throw new Error('thrown by one');
    });
    onAbort(cancel.signal, () => {
      called.push('kept');
    });
    remove();
    remove();
    const uncaught: Promise<unknown[]> = once(process, 'uncaughtExceptionMonitor');
    const handlers = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const handled = once(process, 'uncaughtException');
    cancel.abort();
    const [error] = (await uncaught) as [Error];
    await handled;
    for (const handler of handlers) process.on('uncaughtException', handler);
    expect(error.message).toBe('thrown by one');
    expect(called).toEqual(['kept']);
  });

  it('add one listener, and remove it with the last callback', () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    Object.assign(signal, {
      addEventListener: (...all: Parameters<typeof add>) => {
        listeners++;
        add(...all);
      },
      removeEventListener: (...all: Parameters<typeof remove>) => {
        listeners--;
        remove(...all);
      },
    });
    const removals = Array.from({ length: 20 }, () => onAbort(signal, () => undefined));
    expect(listeners).toBe(1);
    for (const removeCallback of removals) removeCallback();
    expect(listeners).toBe(0);
    onAbort(signal, () => undefined)();
    expect(listeners).toBe(0);
  });
});
