import dns from 'node:dns/promises';
import { syncBuiltinESMExports } from 'node:module';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AbortError, UnsupportedError } from '../../core/errors.ts';
import { caresLookUp } from './cares-look-up.ts';
import { abandonedLookUps, lookUp } from './look-up.ts';

const { lookup } = dns;
let answers: (() => void)[] = [];

beforeEach(() => {
  answers = [];
  dns.lookup = ((host: string) =>
    host.startsWith('hangs')
      ? new Promise((resolve) =>
          answers.push(() => {
            resolve([]);
          }),
        )
      : Promise.resolve([{ address: '192.0.2.1', family: 4 }])) as unknown as typeof lookup;
  syncBuiltinESMExports();
});

afterEach(() => {
  vi.unstubAllEnvs();
  dns.lookup = lookup;
  syncBuiltinESMExports();
});

const started = (host: string): { readonly cancel: AbortController; readonly outcome: Promise<unknown> } => {
  const cancel = new AbortController();
  return { cancel, outcome: lookUp(host, 1, cancel.signal).catch((error: unknown) => error) };
};

const never = new AbortController().signal;

describe('look-ups that hang', () => {
  it('free their place when the caller aborts, and are counted until the system answers', async () => {
    const hung = ['hangs-1', 'hangs-2', 'hangs-3'].map(started);
    for (const { cancel } of hung) cancel.abort('enough');
    for (const { outcome } of hung)
      expect(await outcome).toMatchObject({ name: 'AbortError', cause: 'enough', operation: 'look-up' });
    // The third look-up had no place yet, so it occupies no thread.
    expect([answers.length, abandonedLookUps()]).toEqual([2, 2]);
    expect(await lookUp('well.test', 7, never)).toEqual([{ family: 'IPv4', host: '192.0.2.1', port: 7 }]);
    for (const answer of answers) answer();
    await new Promise(setImmediate);
    expect(abandonedLookUps()).toBe(0);
  });

  it('make further look-ups fail when as many are unanswered as the pool has threads', async () => {
    for (let count = 0; count < 4; count++) {
      const { cancel, outcome } = started(`hangs-${String(count)}`);
      await new Promise(setImmediate);
      cancel.abort();
      expect(await outcome).toBeInstanceOf(AbortError);
    }
    expect(abandonedLookUps()).toBe(4);
    await expect(lookUp('well.test', 7, never)).rejects.toBeInstanceOf(UnsupportedError);
    for (const answer of answers) answer();
    await new Promise(setImmediate);
    expect((await lookUp('well.test', 7, never)).length).toBe(1);
  });

  it.each([
    ['', 1],
    ['0', 1],
    ['no number', 1],
    ['2', 2],
    ['3 threads', 3],
  ])('reads UV_THREADPOOL_SIZE=%j as libuv does', async (size, threads) => {
    vi.stubEnv('UV_THREADPOOL_SIZE', size);
    for (let count = 0; count < threads; count++) {
      const { cancel, outcome } = started(`hangs-${String(count)}`);
      await new Promise(setImmediate);
      cancel.abort();
      expect(await outcome).toBeInstanceOf(AbortError);
    }
    await expect(lookUp('well.test', 7, never)).rejects.toThrow(`UV_THREADPOOL_SIZE ${String(threads)}`);
    for (const answer of answers) answer();
    await new Promise(setImmediate);
  });

  it('do not begin when the signal is already aborted', async () => {
    await expect(lookUp('hangs', 1, AbortSignal.abort('gone'))).rejects.toMatchObject({ cause: 'gone' });
    expect(answers.length).toBe(0);
  });
});

describe('look-ups by c-ares, which need no threads', () => {
  it('resolve localhost', async () => {
    expect(await caresLookUp('LocalHost.', 7, never)).toEqual([
      { family: 'IPv6', host: '::1', port: 7 },
      { family: 'IPv4', host: '127.0.0.1', port: 7 },
    ]);
  });

  it('do not begin when the signal is already aborted', async () => {
    await expect(caresLookUp('well.test', 1, AbortSignal.abort('gone'))).rejects.toMatchObject({
      name: 'AbortError',
      cause: 'gone',
    });
  });

  it('reject with AbortError when they are cancelled', async () => {
    const cancel = new AbortController();
    const outcome = caresLookUp('well.test', 1, cancel.signal).catch((error: unknown) => error);
    cancel.abort('enough');
    expect(await outcome).toMatchObject({ name: 'AbortError', cause: 'enough' });
  });
});
