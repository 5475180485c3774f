/** Connections for tests that inspect sessions. */

import type { TlsContext } from '../../tls/context/context.ts';
import type { TlsClientOptions } from '../../tls/context/options.ts';
import type { SecureConnection } from '../../tls/secure-connection.ts';
import { abort, securePair, shakenPair, talk } from '../tls/pair.ts';
import type { Layer } from '../tls/pair.ts';
import type { SecureReactor } from '../tls/secure-reactor.ts';
import type { Resumption } from '../../tls/sessions/resumption.ts';
import type { TlsSession } from '../../tls/sessions/session.ts';

/** Connects a client and a server, exchanges a line so that tickets arrive, and passes both ends to `look`. */
export async function met<T>(
  secure: SecureReactor,
  client: Layer,
  server: Layer,
  look: (client: SecureConnection, server: SecureConnection) => T | Promise<T>,
  serverName = 'localhost',
): Promise<T> {
  const pair = await shakenPair(secure, { client, server, serverName });
  try {
    await talk(...pair);
    return await look(...pair);
  } finally {
    abort(...pair);
  }
}

/** @returns the client's session of one connection to `server`, made with a separate client context. */
export async function sessionFrom(
  secure: SecureReactor,
  server: TlsContext,
  options: TlsClientOptions = {},
  serverName = 'localhost',
): Promise<TlsSession> {
  const client = await secure.client({ sessions: 'off', sessionCache: { mode: 'off' }, ...options });
  const session = await met(secure, client, server, (each) => each.session, serverName);
  if (session === undefined) throw new Error('there is no session');
  return session;
}

/** Offers a session to `server`. @returns the result of the resumption, as the server sees it. */
export async function comeBack(
  secure: SecureReactor,
  session: TlsSession,
  server: TlsContext,
  options: TlsClientOptions = {},
  serverName = 'localhost',
): Promise<Resumption> {
  const client = await secure.client({ sessions: 'off', ...options });
  return met(secure, client.with({ session }), server, (_, far) => far.resumption, serverName);
}

/**
 * Connects, handshakes and aborts `count` times without sending data. Under TLS 1.3 the client gets no ticket this way.
 */
export async function shake(secure: SecureReactor, client: Layer, server: Layer, count = 1): Promise<void> {
  for (let index = 0; index < count; index++) {
    const pair = await securePair(secure, { client, server });
    await Promise.all(pair.map((each) => each.handshake()));
    abort(...pair);
  }
}
