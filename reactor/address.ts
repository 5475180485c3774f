/** Addresses of sockets. */

import { isIP } from 'node:net';

/** Where a socket is: an internet address, or a path in the file system (empty for an unnamed Unix socket). */
export type Address =
  | { readonly family: 'IPv4' | 'IPv6'; readonly host: string; readonly port: number }
  | { readonly family: 'unix'; readonly path: string };

/** Where to listen or to connect: a host (name or number) and a port, or the path of a Unix socket. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/** @returns the address that `host` spells as a number; `undefined` when it is a name. */
export function numericAddress(host: string, port: number): Address | undefined {
  const version = isIP(host);
  return version === 0 ? undefined : { family: version === 4 ? 'IPv4' : 'IPv6', host, port };
}

/** @returns `HOST:PORT`, `[HOST]:PORT` for IPv6, or the path. */
export function formatAddress(address: Address | Target | undefined): string {
  if (address === undefined) return 'unknown';
  if ('path' in address) return address.path === '' ? 'unnamed Unix socket' : address.path;
  return address.host.includes(':') ? `[${address.host}]:${String(address.port)}` : `${address.host}:${String(address.port)}`;
}

/**
 * Reads `HOST:PORT`, `[IPv6]:PORT`, or the path of a Unix socket (which holds a `/`).
 * @throws {RangeError} when it is none of them.
 */
export function parseTarget(text: string): Target {
  if (text.includes('/')) return { path: text };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65535)) throw new RangeError(`"${text}" is not an address; write HOST:PORT, [IPv6]:PORT or a path with a /`);
  return { host, port };
}

/** @throws {RangeError} when the target's port is not a whole number of 0…65535. */
export function checkTarget(target: Target): void {
  if ('path' in target) {
    if (typeof target.path !== 'string' || target.path === '') throw new RangeError('path must be the path of a Unix socket');
    if (Buffer.byteLength(target.path) > LONGEST_PATH) throw new RangeError(`the path of a Unix socket has at most ${String(LONGEST_PATH)} bytes: ${target.path}`);
    return;
  }
  if (typeof target.host !== 'string' || target.host === '') throw new RangeError('host must be a name or an address');
  if (!Number.isInteger(target.port) || target.port < 0 || target.port > 65535) throw new RangeError(`port must be a whole number of 0…65535, not ${String(target.port)}`);
}

// sun_path of unix(7), less its closing zero.
const LONGEST_PATH = 107;
