/** Name look-ups through the system's resolver. */

import { lookup } from 'node:dns/promises';

import PQueue from 'p-queue';

import { AbortError, SystemError, UnsupportedError } from '../../core/errors.ts';
import type { Address } from './address.ts';

let abandoned = 0;

/** @returns how many look-ups still occupy a thread although their caller has cancelled them. */
export function abandonedLookUps(): number {
  return abandoned;
}

/**
 * Looks up the addresses of a name, in the order of the system's preference. getaddrinfo(3) cannot be cancelled, and it
 * occupies a thread of the pool that file access and crypto need too. So only two look-ups run at a time. When one is
 * cancelled, the next one starts, although the thread stays busy until the system answers.
 * @throws {SystemError} such as `ENOTFOUND`. @throws {AbortError} when `signal` is aborted.
 * @throws {UnsupportedError} when cancelled look-ups occupy every thread of the pool.
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
  const threads = Number(process.env.UV_THREADPOOL_SIZE ?? POOL_THREADS);
  if (abandoned >= threads) {
    throw new UnsupportedError(
      `look-up refused: ${String(abandoned)} cancelled look-ups still occupy all threads of the pool (UV_THREADPOOL_SIZE ${String(threads)}); use a ground with lookUp: caresLookUp, which needs no thread`,
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

const queue = new PQueue({ concurrency: 2 });
// The default of libuv.
const POOL_THREADS = 4;
