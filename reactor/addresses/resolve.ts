/** Finds the addresses of a host. */

import { ClosedError } from '../../core/errors.ts';
import type { Ground } from '../ground.ts';
import { numericAddress } from './address.ts';
import type { Address } from './address.ts';
import { lookUpName } from './host-name.ts';

/**
 * Finds the addresses of a host, at least one. An IP address needs no look-up.
 * @throws {SystemError | ClosedError} when the host has no address.
 */
export async function resolve(
  ground: Ground,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<readonly Address[]> {
  const numeric = numericAddress(host, port);
  if (numeric !== undefined) return [numeric];
  const name = lookUpName(host, 'host');
  const addresses = await ground.lookUp(name, port, signal);
  if (addresses.length === 0) throw new ClosedError(`look-up failed: ${name} has no address`);
  return addresses;
}
