/** Where a Redis server is, and who asks. */

/** What connecting to one server takes. */
export interface RedisNode {
  readonly host?: string;
  readonly port?: number;
  /** The path of a Unix socket, in the place of host and port. */
  readonly path?: string;
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
  readonly tls?: boolean;
}

/**
 * Reads `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS, or `unix:/path`.
 * @throws {RangeError} when it is none of them. The message does not hold the text, for that may hold a password.
 */
export function parseRedisUrl(text: string): RedisNode {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const database = /^\/?(\d*)$/.exec(url?.pathname ?? '')?.[1];
  if (url?.protocol === 'unix:' && url.host === '' && url.pathname.length > 1)
    return { path: decodeURIComponent(url.pathname) };
  if (
    url === undefined ||
    (url.protocol !== 'redis:' && url.protocol !== 'rediss:') ||
    url.hostname === '' ||
    database === undefined
  ) {
    throw new RangeError(
      'a Redis server is given as redis://[[user]:password@]host[:port][/database], rediss://… for TLS, or unix:/path',
    );
  }
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(database === '' ? {} : { db: Number(database) }),
    ...(url.protocol === 'rediss:' ? { tls: true } : {}),
  };
}

const DEFAULT_PORT = 6379;
