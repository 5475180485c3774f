/** Sessions in Redis, shared by the processes of many machines. */

import { checkOptions, count, either, finiteSpan, listOf, partWith, secret, text, trust } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { redisClient, redisNodes } from './redis-store-client.ts';
import type { OwnRedisClient, RedisClient } from './redis-store-client.ts';
import type { RedisNode } from './redis-store-node.ts';
import { checkEntry, checkKey } from './store-entry.ts';
import { closedStore, StoreError } from './store-error.ts';
import { anyText } from './store-rules.ts';
import { VALUE_AT_MOST } from './store.ts';
import type { TakingSessionStore } from './store.ts';

/** Where Redis is, and how long to wait for it. */
export type RedisStoreOptions = {
  /** What keys begin with, so that others may use the same server; `wantio:` unless given. */
  readonly prefix?: string | undefined;
  /** How long one request may take, the first connection included, in milliseconds; 1 second unless given. */
  readonly timeoutMs?: number | undefined;
  /** How many requests may be under way; 1024 unless given. One more fails as `'busy'`. */
  readonly maxPending?: number | undefined;
} & (
  | {
      /**
       * `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS, `unix:/path`; several are nodes of
       * one cluster.
       */
      readonly url: string | readonly string[];
      /** Certificates to trust with `rediss://`, in PEM; Node's own unless given. */
      readonly ca?: string | undefined;
    }
  | {
      /** A `Redis` or `Cluster` of ioredis, connected; it stays the caller's to close. */
      readonly client: RedisClient;
    }
);

// An address may have a password in it.
const address = secret(text);
export const REDIS_STORE_RULES = {
  prefix: anyText,
  timeoutMs: finiteSpan,
  maxPending: count(1),
  url: secret(either(address, listOf(address, 1))),
  ca: trust(secret(text)),
  client: partWith('a Redis or Cluster of ioredis', 'set', 'del'),
} satisfies Rules<RedisStoreOptions>;

/**
 * Keeps sessions in Redis, which forgets them by itself when their time has passed (`PX`). It needs the package
 * `ioredis`, which is loaded with the first use.
 *
 * While there is no connection every request fails at once; nothing is queued for later. A server that does not answer
 * costs each request its deadline, and after three of them without a byte the connection is given up and made anew.
 * Names and passwords never stand in errors. To take sessions, the user must be allowed to `EVAL`.
 */
export class RedisSessionStore implements TakingSessionStore {
  readonly #prefix: string;
  readonly #timeoutMs: number;
  readonly #maxPending: number;
  readonly #nodes: readonly RedisNode[];
  readonly #ca: string | undefined;
  readonly #given: RedisClient | undefined;
  #own: OwnRedisClient | undefined;
  #connecting: Promise<RedisClient> | undefined;
  #lastError = '';
  #pending = 0;
  #closed = false;

  constructor(options: RedisStoreOptions) {
    checkOptions('new RedisSessionStore', options, REDIS_STORE_RULES);
    const { client, url, ca } = options as { client?: RedisClient; url?: string | readonly string[]; ca?: string };
    if ((client === undefined) === (url === undefined))
      throw new TypeError('new RedisSessionStore needs a url, or a client, and not both');
    if (ca !== undefined && url === undefined)
      throw new TypeError('new RedisSessionStore takes ca for a url; a client has its own');
    this.#prefix = options.prefix ?? 'wantio:';
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#maxPending = options.maxPending ?? PENDING;
    this.#given = client;
    this.#nodes = url === undefined ? [] : redisNodes(url);
    this.#ca = ca;
  }

  /**
   * @throws {RangeError} when the key is none; {StoreError} when there is no answer; {UnsupportedError} without the
   * package.
   */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    // A part, because whatever stands there may be larger than any session.
    return valueIn(await this.#request((client) => client.getrangeBuffer(this.#prefix + key, 0, VALUE_AT_MOST + 1)));
  }

  /**
   * Gives a session to one of all clients of the server. One whose answer comes too late is lost.
   * @throws {RangeError} when the key is none; {StoreError} when there is no answer.
   */
  async take(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return valueIn(
      await this.#request((client) => client.callBuffer('eval', TAKE, 1, this.#prefix + key, VALUE_AT_MOST + 1)),
    );
  }

  /**
   * @throws {RangeError} when something is out of bounds; {StoreError} when there is no answer or the server refuses,
   * `'full'` when it has no memory.
   */
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    checkEntry(key, value, ttlMs);
    // An empty answer means that there is nothing; so no record is empty.
    const record = Buffer.allocUnsafeSlow(1 + value.length);
    record[0] = VERSION;
    record.set(value, 1);
    await this.#request((client) => client.set(this.#prefix + key, record, 'PX', Math.ceil(ttlMs)));
  }

  /** @throws {RangeError} when the key is none; {StoreError} when there is no answer. */
  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#request((client) => client.del(this.#prefix + key));
  }

  /** Ends the connection, unless the client was given; requests under way fail. */
  close(): void {
    this.#closed = true;
    this.#own?.disconnect();
  }

  /** Counts a request until it has ended for good: one that timed out still waits in the client. */
  async #request<T>(send: (client: RedisClient) => Promise<T>): Promise<T> {
    if (this.#closed) throw closedStore();
    if (this.#pending >= this.#maxPending)
      throw new StoreError('busy', `${String(this.#pending)} requests to Redis are under way (option maxPending)`);
    this.#pending++;
    const answer = this.#client()
      .then(send)
      .finally(() => {
        this.#pending--;
      });
    try {
      return await withDeadline(answer, this.#timeoutMs);
    } catch (error) {
      throw error instanceof Error && error.name === 'UnsupportedError' ? error : this.#failure(error);
    }
  }

  #client(): Promise<RedisClient> {
    if (this.#given !== undefined) return Promise.resolve(this.#given);
    return (this.#connecting ??= this.#connect());
  }

  async #connect(): Promise<RedisClient> {
    try {
      const client = await redisClient({
        nodes: this.#nodes,
        ca: this.#ca,
        silenceMs: SILENT_DEADLINES * this.#timeoutMs,
      });
      if (this.#closed) throw closedStore();
      client.on('error', (error) => {
        this.#lastError = error.message;
      });
      this.#own = client;
      await endOfFirstTry(client);
      return client;
    } catch (error) {
      this.#connecting = undefined;
      throw error;
    }
  }

  /** What went wrong, without the command: that of an authentication holds the password. */
  #failure(error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    if (this.#closed) return closedStore();
    const told = error instanceof Error ? error.message : String(error);
    const message =
      NO_CONNECTION.test(told) && this.#lastError !== '' ? `there is no connection: ${this.#lastError}` : told;
    return new StoreError(told.startsWith('OOM ') ? 'full' : 'failed', `Redis: ${this.#withoutSecrets(message)}`);
  }

  #withoutSecrets(message: string): string {
    let text = message;
    for (const { username, password } of this.#nodes)
      for (const secret of [password, username]) if (secret !== undefined) text = text.replaceAll(secret, '***');
    return text;
  }
}

/** @returns the value in a record; `undefined` when it is none of ours. */
function valueIn(record: unknown): Uint8Array | undefined {
  if (!(record instanceof Uint8Array) || record[0] !== VERSION || record.length > VALUE_AT_MOST + 1) return undefined;
  return new Uint8Array(record.subarray(1));
}

/**
 * Waits until the client is connected, or has failed to: from then on it tries again by itself, and requests fail until
 * it is.
 */
function endOfFirstTry(client: OwnRedisClient): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      resolve();
    };
    // A cluster that is found out of order closes, and its connect never settles.
    client.once('ready', end);
    client.once('close', end);
    client.connect().then(end, end);
  });
}

/** @throws {StoreError} `'timeout'` when `answer` has not come in time; what becomes of it then is nobody's. */
async function withDeadline<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new StoreError('timeout', `Redis did not answer in ${String(timeoutMs)} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

const VERSION = 1;
// The server does nothing else meanwhile. GETDEL, of Redis 6.2, would give back whatever stands there, however large.
const TAKE =
  "local record = redis.call('GETRANGE', KEYS[1], 0, ARGV[1]) if #record > 0 then redis.call('DEL', KEYS[1]) end return record";
const TIMEOUT_MS = 1_000;
const PENDING = 1_024;
const SILENT_DEADLINES = 3;
// What ioredis says of a command that it did not send, or sent in vain.
const NO_CONNECTION = /isn't writeable|Connection is closed|max retries|None of startup nodes|Cluster isn't ready/i;
