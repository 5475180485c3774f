/** Options of a socket, by name. */

import { count, either, flag, group } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';

/**
 * An option of a socket. Booleans are 0 and 1. `keepIdle` and `keepInterval` are in seconds, `keepCount` is a number of
 * probes. `sendBuffer` and `receiveBuffer` are in bytes; the kernel doubles the value. `linger` is in seconds, -1 for
 * off.
 */
export type SocketOptionName = (typeof SOCKET_OPTION_NAMES)[number];

/** The names of the socket options that can be set and read. */
export const SOCKET_OPTION_NAMES = [
  'noDelay',
  'keepAlive',
  'keepIdle',
  'keepInterval',
  'keepCount',
  'reuseAddress',
  'reusePort',
  'ipv6Only',
  'sendBuffer',
  'receiveBuffer',
  'linger',
] as const;

/** Options to set on a new socket. */
export interface SocketOptions {
  /** Whether to send small pieces at once (TCP_NODELAY); on by default. */
  readonly noDelay?: boolean | undefined;
  /** Whether to probe a silent peer, with the system's values or with these: seconds, seconds, number of probes. */
  readonly keepAlive?:
    boolean | { readonly idle?: number; readonly interval?: number; readonly count?: number } | undefined;
  /** The size of the kernel's buffer for sending, in bytes. */
  readonly sendBuffer?: number | undefined;
  /** The size of the kernel's buffer for receiving, in bytes. */
  readonly receiveBuffer?: number | undefined;
  /** How many seconds the kernel tries to deliver unsent data after the close; -1 for the system's default. */
  readonly linger?: number | undefined;
}

// The kernel stores an int.
const positive = count(1, 2 ** 31 - 1);

type KeepAlive = Exclude<SocketOptions['keepAlive'], boolean | undefined>;
export const KEEP_ALIVE_RULES = { idle: positive, interval: positive, count: positive } satisfies Rules<KeepAlive>;

export const SOCKET_RULES = {
  noDelay: flag,
  keepAlive: either(flag, group(KEEP_ALIVE_RULES)),
  sendBuffer: positive,
  receiveBuffer: positive,
  linger: count(-1, 2 ** 31 - 1),
} satisfies Rules<SocketOptions>;

/** @returns each option of `options`, with its value in the form that the kernel takes. */
export function optionEntries(options: SocketOptions, family: string): [SocketOptionName, number][] {
  const entries: [SocketOptionName, number][] = [];
  const internet = family !== 'unix';
  if (internet) entries.push(['noDelay', options.noDelay === false ? 0 : 1]);
  const { keepAlive } = options;
  if (internet && keepAlive !== undefined) {
    entries.push(['keepAlive', keepAlive === false ? 0 : 1]);
    if (typeof keepAlive === 'object') {
      if (keepAlive.idle !== undefined) entries.push(['keepIdle', keepAlive.idle]);
      if (keepAlive.interval !== undefined) entries.push(['keepInterval', keepAlive.interval]);
      if (keepAlive.count !== undefined) entries.push(['keepCount', keepAlive.count]);
    }
  }
  if (options.sendBuffer !== undefined) entries.push(['sendBuffer', options.sendBuffer]);
  if (options.receiveBuffer !== undefined) entries.push(['receiveBuffer', options.receiveBuffer]);
  if (options.linger !== undefined) entries.push(['linger', options.linger]);
  return entries;
}
