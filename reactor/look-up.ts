/** Name look-up through the system's resolver. */

import { lookup } from 'node:dns/promises';

import PQueue from 'p-queue';

import { ClosedError, SystemError } from '../core/errors.ts';
import type { Address } from './address.ts';

// getaddrinfo(3) cannot be cancelled and holds a thread of the pool, which file access and crypto need as well.
const queue = new PQueue({ concurrency: 2 });
let abandoned = 0;

/** How many look-ups still hold a thread although nobody waits for them. */
export function abandonedLookUps(): number {
  return abandoned;
}

/**
 * Finds the addresses of a name, in the order of the system's preference.
 * @throws {SystemError} `ENOTFOUND` and its like.
 */
export async function lookUp(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]> {
  const found = await queue.add(() => resolve(host, signal));
  return found.map(({ address, family }) => ({ family: family === 6 ? 'IPv6' : 'IPv4', host: address, port }));
}

async function resolve(host: string, signal: AbortSignal): Promise<{ address: string; family: number }[]> {
  if (signal.aborted) throw new ClosedError(`nobody waits for the address of ${host} any more`);
  let left = false;
  const leave = (): void => {
    left = true;
    abandoned++;
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await lookup(host, { all: true, verbatim: true });
  } catch (error) {
    const { code = 'EAI_FAIL', errno = 0 } = error as NodeJS.ErrnoException;
    throw new SystemError(code, Math.abs(errno), 'getaddrinfo', 'the name has no address', host);
  } finally {
    signal.removeEventListener('abort', leave);
    if (left) abandoned--;
  }
}
