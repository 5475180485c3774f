/** A session store in Redis, which processes of many machines share. */

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

/** The options of {@link RedisSessionStore}. */
export type RedisStoreOptions = {
  /** The prefix of all keys, so that other programs can use the same server; `wantio:` by default. */
  readonly prefix?: string | undefined;
  /** How long one request may take, including the first connection, in milliseconds; 1 second by default. */
  readonly timeoutMs?: number | undefined;
  /** How many requests may be under way; 1024 by default. One more fails with the reason `'busy'`. */
  readonly maxPending?: number | undefined;
} & (
  | {
      /**
       * `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS, or `unix:/path`. Several are nodes of
       * one cluster.
       */
      readonly url: string | readonly string[];
      /** The certificates to trust with `rediss://`, in PEM; by default Node's. */
      readonly ca?: string | undefined;
    }
  | {
      /** A connected `Redis` or `Cluster` of ioredis. The caller closes it. */
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
 * Keeps sessions in Redis, which removes them when they expire (`PX`). It needs the package `ioredis`, which is loaded
 * at the first use.
 *
 * Without a connection every request fails at once; nothing is queued. When the server does not answer, each request
 * waits for its deadline; after three deadlines (3 × `timeoutMs`) without a byte the client reconnects. Errors never
 * contain user names or passwords. To take sessions, the Redis user must be allowed to run `EVAL`.
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

  /**
   * @throws {TypeError | RangeError} when an option is unknown or invalid, or not exactly one of `url` and `client` is
   * given.
   */
  constructor(options: RedisStoreOptions) {
    checkOptions('new RedisSessionStore', options, REDIS_STORE_RULES);
    const { client, url, ca } = options as { client?: RedisClient; url?: string | readonly string[]; ca?: string };
    if ((client === undefined) === (url === undefined))
      throw new TypeError('new RedisSessionStore needs a url or a client, not both');
    if (ca !== undefined && url === undefined)
      throw new TypeError('new RedisSessionStore takes ca with a url only; a client has its own');
    this.#prefix = options.prefix ?? 'wantio:';
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#maxPending = options.maxPending ?? PENDING;
    this.#given = client;
    this.#nodes = url === undefined ? [] : redisNodes(url);
    this.#ca = ca;
  }

  /**
   * @throws {RangeError} when the key is invalid; {StoreError} when there is no answer; {UnsupportedError} when the
   * package is missing.
   */
  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    // A range, because the stored value may be larger than any session.
    return valueIn(await this.#request((client) => client.getrangeBuffer(this.#prefix + key, 0, VALUE_AT_MOST + 1)));
  }

  /**
   * Only one client of the server gets the session. The session is lost if the answer is too late.
   * @throws {RangeError} when the key is invalid; {StoreError} when there is no answer.
   */
  async take(key: string): Promise<Uint8Array | undefined> {
    checkKey(key);
    return valueIn(
      await this.#request((client) => client.callBuffer('eval', TAKE, 1, this.#prefix + key, VALUE_AT_MOST + 1)),
    );
  }

  /**
   * @throws {RangeError} when an argument is invalid; {StoreError} when there is no answer or the server refuses, with
   * the reason `'full'` when it has no memory.
   */
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    checkEntry(key, value, ttlMs);
    // An empty answer means that there is no record, so a record is never empty.
    const record = Buffer.allocUnsafeSlow(1 + value.length);
    record[0] = VERSION;
    record.set(value, 1);
    await this.#request((client) => client.set(this.#prefix + key, record, 'PX', Math.ceil(ttlMs)));
  }

  /** @throws {RangeError} when the key is invalid; {StoreError} when there is no answer. */
  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#request((client) => client.del(this.#prefix + key));
  }

  /** Closes the connection, unless it is the caller's client. Requests under way fail. */
  close(): void {
    this.#closed = true;
    this.#own?.disconnect();
  }

  /** Makes a request. It counts as under way until the client has settled it, even if it has timed out here. */
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

  /** @returns the error to throw. It does not contain the command, because an `AUTH` has the password in it. */
  #failure(error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    if (this.#closed) return closedStore();
    const original = error instanceof Error ? error.message : String(error);
    const message =
      NO_CONNECTION.test(original) && this.#lastError !== '' ? `there is no connection: ${this.#lastError}` : original;
    return new StoreError(original.startsWith('OOM ') ? 'full' : 'failed', `Redis: ${this.#withoutSecrets(message)}`);
  }

  #withoutSecrets(message: string): string {
    let text = message;
    for (const { username, password } of this.#nodes)
      for (const secret of [password, username]) if (secret !== undefined) text = text.replaceAll(secret, '***');
    return text;
  }
}

/** @returns the value in a record; `undefined` when it does not have this store's format. */
function valueIn(record: unknown): Uint8Array | undefined {
  if (!(record instanceof Uint8Array) || record[0] !== VERSION || record.length > VALUE_AT_MOST + 1) return undefined;
  return new Uint8Array(record.subarray(1));
}

/**
 * Waits for the client's first attempt to connect. If that fails, the client retries by itself, and requests fail until
 * it is connected.
 */
function endOfFirstTry(client: OwnRedisClient): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      resolve();
    };
    // When a cluster is not in working order, the client closes, and its `connect` never settles.
    client.once('ready', end);
    client.once('close', end);
    client.connect().then(end, end);
  });
}

/** @throws {StoreError} with the reason `'timeout'` when `answer` is too late. A late answer is ignored. */
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
// Redis runs a script atomically. Not GETDEL (Redis 6.2): it would return the stored value however large it is.
const TAKE =
  "local record = redis.call('GETRANGE', KEYS[1], 0, ARGV[1]) if #record > 0 then redis.call('DEL', KEYS[1]) end return record";
const TIMEOUT_MS = 1_000;
const PENDING = 1_024;
const SILENT_DEADLINES = 3;
// The messages of ioredis for commands that it could not send or that got no answer.
const NO_CONNECTION = /isn't writeable|Connection is closed|max retries|None of startup nodes|Cluster isn't ready/i;
