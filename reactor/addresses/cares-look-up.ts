/** Name look-ups that ask the name servers directly (c-ares). */

import { Resolver } from 'node:dns/promises';

import { AbortError, SystemError } from '../../core/errors.ts';
import type { Address } from './address.ts';

/**
 * Looks up the addresses of a name at the name servers in the system's configuration. IPv6 addresses come before IPv4.
 * Unlike the system's own look-up, it needs no thread and can be cancelled. But it reads no hosts file and none of the
 * other sources of nsswitch.conf(5); only `localhost` works without a server.
 * @throws {SystemError} such as `ENOTFOUND`, `ENODATA` or `ETIMEOUT` when the name has no address of either family.
 * @throws {AbortError} when `signal` is aborted.
 * @example
 * import { caresLookUp, epollGround, Reactor } from 'wantio';
 *
 * const reactor = new Reactor({ ...epollGround(), lookUp: caresLookUp });
 * const listener = await reactor.listen({ host: 'localhost', port: 0 });
 * const connection = await reactor.connect({ host: 'localhost', port: listener.port });
 * await connection.close();
 * await reactor.close();
 */
export async function caresLookUp(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]> {
  if (signal.aborted) throw new AbortError('look-up', signal.reason);
  // RFC 6761, section 6.3: the name servers must not be asked for localhost.
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
    // ENODATA of one family says nothing about the other, so an error of the servers takes precedence.
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
