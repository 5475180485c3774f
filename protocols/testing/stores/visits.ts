/** Handshakes whose sessions are looked at. */

import type { TlsContext } from '../../tls/context/context.ts';
import type { TlsClientOptions } from '../../tls/context/options.ts';
import type { SecureConnection } from '../../tls/secure-connection.ts';
import { abort, securePair, shakenPair, talk } from '../tls/pair.ts';
import type { Layer } from '../tls/pair.ts';
import type { SecureReactor } from '../tls/secure-reactor.ts';
import type { Resumption } from '../../tls/sessions/resumption.ts';
import type { TlsSession } from '../../tls/sessions/session.ts';

/** Connects, talks so that tickets come, and hands both ends to `look`. */
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

/** A session as the client has it, made in a context of its own. */
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

/** Offers a session. @returns what came of it, as the server has it. */
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

/** Shakes hands and ends, `count` times, with nothing said: under TLS 1.3 the client gets no ticket. */
export async function shake(secure: SecureReactor, client: Layer, server: Layer, count = 1): Promise<void> {
  for (let index = 0; index < count; index++) {
    const pair = await securePair(secure, { client, server });
    await Promise.all(pair.map((each) => each.handshake()));
    abort(...pair);
  }
}
