/** Name look-up by asking the name servers directly (c-ares). */

import { Resolver } from 'node:dns/promises';

import { AbortError, SystemError } from '../../core/errors.ts';
import type { Address } from './address.ts';

/**
 * Finds the addresses of a name by asking the name servers that the system is configured with, IPv6 before IPv4. It
 * holds no thread and can be cancelled, unlike the system's own look-up, but it reads no hosts file and knows nothing
 * of other sources (nsswitch.conf(5)) but `localhost`.
 * @throws {SystemError} `ENOTFOUND`, `ENODATA`, `ETIMEOUT` and their like, when there is no address of either family.
 * @throws {AbortError} when `signal` is aborted.
 * @example
 * const reactor = new Reactor({ ...epollGround(), lookUp: caresLookUp });
 */
export async function caresLookUp(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]> {
  if (signal.aborted) throw new AbortError('look-up', signal.reason);
  // RFC 6761, section 6.3: it is never asked for.
  if (/^(?:.*\.)?localhost\.?$/i.test(host))
    return [
      { family: 'IPv6', host: '::1', port },
      { family: 'IPv4', host: '127.0.0.1', port },
    ];
  const resolver = new Resolver();
  const cancel = (): void => {
    resolver.cancel();
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const answers = await Promise.allSettled([resolver.resolve6(host), resolver.resolve4(host)]);
    if (signal.aborted) throw new AbortError('look-up', signal.reason);
    const found = answers.flatMap((answer, index) =>
      answer.status === 'fulfilled'
        ? answer.value.map((address): Address => ({ family: index === 0 ? 'IPv6' : 'IPv4', host: address, port }))
        : [],
    );
    if (found.length > 0) return found;
    const reasons = answers
      .filter((answer) => answer.status === 'rejected')
      .map(({ reason }) => reason as NodeJS.ErrnoException);
    // That there is no address of one family says nothing of the other, for which the servers may have failed.
    const { code = 'ENODATA', errno = 0 } = reasons.find((reason) => reason.code !== 'ENODATA') ?? {};
    throw new SystemError(
      code,
      Math.abs(errno),
      'query',
      code === 'ENOTFOUND' || code === 'ENODATA' ? 'the name has no address' : 'the name servers gave no answer',
      host,
    );
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
