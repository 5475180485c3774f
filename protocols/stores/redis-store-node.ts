/** The address and the credentials of a Redis server. */

/** What is needed to connect to one server. */
export interface RedisNode {
  readonly host?: string;
  readonly port?: number;
  /** The path of a Unix socket, instead of host and port. */
  readonly path?: string;
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
  readonly tls?: boolean;
}

/**
 * Reads `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS, or `unix:/path`.
 * @throws {RangeError} when it is none of them. The message does not contain the text, which may have a password in it.
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
      'the address of a Redis server is redis://[[user]:password@]host[:port][/database], rediss://… for TLS, or unix:/path',
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
