/** A connection of our own to Redis servers, by the package ioredis. */

import { parseRedisUrl } from './redis-store-node.ts';
import type { RedisNode } from './redis-store-node.ts';
import { storePackage } from './store-package.ts';

/** The commands that are used. A `Redis` or a `Cluster` of ioredis has them. */
export interface RedisClient {
  /** @returns bytes `start` to `end`, inclusive; none when there is nothing. */
  getrangeBuffer(key: string, start: number, end: number): Promise<Uint8Array>;
  /** SET with an expiry in milliseconds. */
  set(key: string, value: Buffer, mode: 'PX', milliseconds: number): Promise<unknown>;
  /** DEL. */
  del(key: string): Promise<unknown>;
  /** Sends any command; what comes back holds bytes where others have text. */
  callBuffer(command: string, ...args: (string | number)[]): Promise<unknown>;
}

/** A client that the store has made, and closes. */
export interface OwnRedisClient extends RedisClient {
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'ready' | 'close', listener: () => void): unknown;
}

/** How to reach the servers. */
export interface RedisReach {
  readonly nodes: readonly RedisNode[];
  /** Certificates to trust with `rediss://`, in PEM; Node's own unless given. */
  readonly ca?: string | undefined;
  /** After how long without a byte a connection that owes an answer is given up, in milliseconds. */
  readonly silenceMs: number;
}

/**
 * @returns the servers that `url` names.
 * @throws {RangeError} when one is not valid, or several have paths or databases.
 */
export function redisNodes(url: string | readonly string[]): readonly RedisNode[] {
  const nodes = (typeof url === 'string' ? [url] : url).map(parseRedisUrl);
  if (nodes.length === 0) throw new RangeError('url names no Redis server');
  if (nodes.length > 1 && nodes.some(({ path, db = 0 }) => path !== undefined || db !== 0))
    throw new RangeError('the servers of a Redis cluster have hosts, and no database but 0');
  return nodes;
}

/**
 * Makes a client that is not connected yet: a `Cluster` for several servers. It keeps nothing for later: what is asked
 * while there is no connection fails, and is never sent twice. It connects again by itself, after 50 milliseconds at
 * first and 2 seconds at last.
 * @throws {UnsupportedError} when ioredis is not installed.
 */
export async function redisClient({ nodes, ca, silenceMs }: RedisReach): Promise<OwnRedisClient> {
  const { Redis, Cluster } = await storePackage('ioredis', 'RedisSessionStore', () => import('ioredis'));
  const shared = {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    socketTimeout: silenceMs,
    connectTimeout: silenceMs,
    lazyConnect: true,
  };
  const [first] = nodes;
  const { tls: isSecure = false, ...server } = first ?? {};
  const tls = isSecure ? { tls: ca === undefined ? {} : { ca } } : {};
  if (nodes.length === 1)
    return new Redis({ ...server, ...shared, enableOfflineQueue: false, retryStrategy: pauseMs, ...tls });
  return new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    {
      // Its nodes are connected with their first command, which must wait for that; how many may wait the store bounds.
      enableOfflineQueue: false,
      lazyConnect: true,
      clusterRetryStrategy: pauseMs,
      slotsRefreshTimeout: silenceMs,
      redisOptions: {
        ...shared,
        ...(server.username === undefined ? {} : { username: server.username }),
        ...(server.password === undefined ? {} : { password: server.password }),
        ...tls,
      },
    },
  );
}

/**
 * How long to wait before the connection is tried for the `times`-th time, in milliseconds: random, so that clients do
 * not come all at once.
 */
function pauseMs(times: number): number {
  return Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** (times - 1)) * (0.5 + Math.random() / 2);
}

const SHORTEST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
