/** Name look-ups through the system's resolver. */

import { lookup } from 'node:dns/promises';

import PQueue from 'p-queue';

import { AbortError, SystemError, UnsupportedError } from '../../core/errors.ts';
import type { Address } from './address.ts';

let abandoned = 0;

/** @returns how many look-ups the system has not answered yet although their caller has cancelled them. */
export function abandonedLookUps(): number {
  return abandoned;
}

/**
 * Looks up the addresses of a name, in the order of the system's preference. getaddrinfo(3) cannot be cancelled, and it
 * occupies a thread of the pool that file access and crypto need too. So only two look-ups run at a time. When one is
 * cancelled, the next one starts, although the thread stays busy until the system answers. libuv gives look-ups half of
 * its threads (two of four by default). While cancelled look-ups occupy all of these, the next look-up waits, within
 * the caller's timeouts.
 * @throws {SystemError} such as `ENOTFOUND`. @throws {AbortError} when `signal` is aborted.
 * @throws {UnsupportedError} when as many cancelled look-ups have no answer as the pool has threads.
 */
export async function lookUp(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]> {
  const found = await queue
    .add(() => resolve(host, signal), { signal })
    .catch((error: unknown) => {
      throw signal.aborted ? new AbortError('look-up', signal.reason) : error;
    });
  return found.map(({ address, family }) => ({ family: family === 6 ? 'IPv6' : 'IPv4', host: address, port }));
}

function resolve(host: string, signal: AbortSignal): Promise<{ address: string; family: number }[]> {
  const threads = poolThreads();
  if (abandoned >= threads) {
    throw new UnsupportedError(
      `look-up refused: the system's resolver has not answered ${String(abandoned)} cancelled look-ups, as many as the pool has threads (UV_THREADPOOL_SIZE ${String(threads)}); use a ground with lookUp: caresLookUp, which needs no thread`,
    );
  }
  return new Promise((done, fail) => {
    let isGivenUp = false;
    const giveUp = (): void => {
      isGivenUp = true;
      abandoned++;
      fail(new AbortError('look-up', signal.reason));
    };
    signal.addEventListener('abort', giveUp, { once: true });
    const over = (): void => {
      signal.removeEventListener('abort', giveUp);
      if (isGivenUp) abandoned--;
    };
    lookup(host, { all: true, verbatim: true })
      .then(done, (error: unknown) => {
        const { code = 'EAI_FAIL', errno = 0 } = error as NodeJS.ErrnoException;
        fail(new SystemError(code, Math.abs(errno), 'getaddrinfo', 'the name has no address', host));
      })
      .finally(over);
  });
}

/** How many threads libuv's pool has. libuv reads the variable with atoi(3), and takes 1 instead of 0. */
function poolThreads(): number {
  const { UV_THREADPOOL_SIZE: wanted = '4' } = process.env;
  const threads = Number.parseInt(wanted, 10) || 1;
  return threads < 0 ? MOST_POOL_THREADS : Math.min(threads, MOST_POOL_THREADS);
}

const queue = new PQueue({ concurrency: 2 });
const MOST_POOL_THREADS = 1024;
