/** Addresses of sockets. */

import { isIPv6 } from 'node:net';

import { checkArgument, count, oneOf, text } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { hostName } from './host-name.ts';
import { canonicalAddress } from './ip-address.ts';

/**
 * The address of a socket: an internet address, or a path in the file system (empty for an unnamed Unix socket). A path
 * that begins with a zero byte, as in `\0name`, is an abstract name of Linux, which has no file.
 */
export type Address =
  | { readonly family: 'IPv4' | 'IPv6'; readonly host: string; readonly port: number }
  | { readonly family: 'unix'; readonly path: string };

/** Where to listen or to connect: a host (a name or an IP address) and a port, or the path of a Unix socket. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/** The rules for a target. They include `family`, because an `Address` may be given as a target. */
export const TARGET_RULES = {
  host: text,
  port: count(0, 65_535),
  path: text,
  family: oneOf('IPv4', 'IPv6', 'unix'),
} satisfies Rules<Target | Address>;

/** @returns the address if `host` is an IP address, in its canonical text; `undefined` if it is a name. */
export function numericAddress(host: string, port: number): Address | undefined {
  const address = canonicalAddress(host);
  return address === undefined ? undefined : { family: isIPv6(address) ? 'IPv6' : 'IPv4', host: address, port };
}

/** @returns `HOST:PORT`, `[HOST]:PORT` for IPv6, the path, or `@NAME` for an abstract name. */
export function formatAddress(address: Address | Target | undefined): string {
  if (address === undefined) return 'unknown';
  if ('path' in address)
    return address.path === '' ? 'unnamed Unix socket' : printable(address.path.replace(/^\0/, '@'));
  return address.host.includes(':')
    ? `[${address.host}]:${String(address.port)}`
    : `${address.host}:${String(address.port)}`;
}

/**
 * Parses `HOST:PORT`, `[IPv6]:PORT`, the path of a Unix socket (it must contain a `/`), or an abstract name after an
 * `@`.
 * @throws {RangeError} when `target` has none of these forms.
 * @throws {TypeError} when `target` is not a string.
 */
export function parseTarget(target: string): Target {
  checkArgument('parseTarget', 'the target', target, text);
  if (target.startsWith('@')) return { path: `\0${target.slice(1)}` };
  if (target.includes('/')) return { path: target };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(target);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65535))
    throw new RangeError(
      `"${target}" is not an address; write HOST:PORT or [IPv6]:PORT with a port of 0…65535, a path with a / or an abstract name after an @`,
    );
  return { host, port };
}

/** Whether `target` is that of a Unix socket. A `path` of `undefined` counts as not given. */
export function isPath(target: Target): target is { readonly path: string } {
  return (target as { readonly path?: unknown }).path !== undefined;
}

/**
 * Checks a target.
 * @throws {TypeError} when it has a host and a path.
 * @throws {RangeError} when the name is not valid for a host, the port is not a whole number of 0…65535, or the path is
 * not valid for a socket.
 */
export function checkTarget(target: Target): void {
  if (isPath(target)) {
    if ('host' in target && target.host !== undefined)
      throw new TypeError('a target takes a host and a port, or a path, but not both');
    if (typeof target.path !== 'string' || target.path === '')
      throw new RangeError('path must be the path of a Unix socket');
    const isAbstract = target.path.startsWith('\0');
    // In C, a path ends at the first zero byte. The end of an abstract name is given by the length of its address.
    if (!isAbstract && target.path.includes('\0'))
      throw new RangeError(
        `path cannot be ${JSON.stringify(target.path)}: a path ends at a zero byte; only an abstract name begins with one`,
      );
    const longest = isAbstract ? LONGEST_PATH + 1 : LONGEST_PATH;
    if (Buffer.byteLength(target.path) > longest)
      throw new RangeError(`the path of a Unix socket has at most ${String(longest)} bytes: ${printable(target.path)}`);
    return;
  }
  if (typeof target.host !== 'string' || target.host === '') throw new RangeError('host must be a name or an address');
  hostName(target.host, 'host');
  if (!Number.isInteger(target.port) || target.port < 0 || target.port > 65535)
    throw new RangeError(`port must be a whole number of 0…65535, not ${String(target.port)}`);
}

/** Escapes control characters, for messages and logs. */
function printable(text: string): string {
  return text.replace(
    /[\0-\x1f\x7f-\x9f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

// sun_path of unix(7), less its closing zero.
const LONGEST_PATH = 107;
