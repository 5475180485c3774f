/** Makes the store's own client for Redis servers, with the package ioredis. */

import { parseRedisUrl } from './redis-store-node.ts';
import type { RedisNode } from './redis-store-node.ts';
import { storePackage } from './store-package.ts';

/** The commands that the store uses. A `Redis` or a `Cluster` of ioredis has them. */
export interface RedisClient {
  /** @returns the bytes from `start` to `end`, inclusive; none when the key does not exist. */
  getrangeBuffer(key: string, start: number, end: number): Promise<Uint8Array>;
  /** SET with an expiry in milliseconds. */
  set(key: string, value: Buffer, mode: 'PX', milliseconds: number): Promise<unknown>;
  /** DEL. */
  del(key: string): Promise<unknown>;
  /** Sends any command; the answer has bytes instead of text. */
  callBuffer(command: string, ...args: (string | number)[]): Promise<unknown>;
}

/** A client that the store makes and closes. */
export interface OwnRedisClient extends RedisClient {
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'ready' | 'close', listener: () => void): unknown;
}

/** How to reach the servers. */
export interface RedisReach {
  readonly nodes: readonly RedisNode[];
  /** The certificates to trust with `rediss://`, in PEM; by default Node's. */
  readonly ca?: string | undefined;
  /** How long a connection that owes an answer may send nothing before it is closed, in milliseconds. */
  readonly silenceMs: number;
}

/**
 * @returns the servers in `url`.
 * @throws {RangeError} when an address is invalid, or one of several has a path or a database other than 0.
 */
export function redisNodes(url: string | readonly string[]): readonly RedisNode[] {
  const nodes = (typeof url === 'string' ? [url] : url).map(parseRedisUrl);
  if (nodes.length === 0) throw new RangeError('url names no Redis server');
  if (nodes.length > 1 && nodes.some(({ path, db = 0 }) => path !== undefined || db !== 0))
    throw new RangeError('the servers of a Redis cluster must have hosts, not paths, and the database 0');
  return nodes;
}

/**
 * Makes a client that is not connected yet; a `Cluster` for several servers. It queues nothing: a request without a
 * connection fails, and no request is sent twice. It reconnects by itself, after 50 milliseconds at first and at most 2
 * seconds later.
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
      // A node is connected at its first command, which must wait for it. The store bounds how many commands wait.
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
 * @returns the pause before the `times`-th attempt to connect, in milliseconds. It is random, so that many clients do
 * not connect at the same time.
 */
function pauseMs(times: number): number {
  return Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** (times - 1)) * (0.5 + Math.random() / 2);
}

const SHORTEST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
