/** Both ends of one TLS connection over loopback. */

import type { TransportLayer } from '../../../core/transport-layer.ts';
import type { Connection } from '../../../reactor/connections/connection.ts';
import type { ConnectionBasis } from '../../../reactor/connections/connection-basis.ts';
import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { SecureConnection } from '../../tls/secure-connection.ts';
import type { SecureReactor } from './secure-reactor.ts';

/** The layers that `connection.secure` accepts. */
export type Layer = TransportLayer<SecureConnection, ConnectionBasis>;

/** Both ends of a plain connection. */
export async function plainPair({ reactor }: SecureReactor): Promise<[client: Connection, server: Connection]> {
  const host = '127.0.0.1';
  const listener = await reactor.listen({ host, port: 0 });
  const pair = await Promise.all([reactor.connect({ host, port: portOf(listener) }), listener.accept()]);
  listener.close();
  return pair;
}

/** Both ends of a connection with TLS, before the handshake. */
export async function securePair(
  secure: SecureReactor,
  { client, server, serverName = 'localhost' }: { client?: Layer; server?: Layer; serverName?: string } = {},
): Promise<[client: SecureConnection, server: SecureConnection]> {
  const [below, peer] = await plainPair(secure);
  return [
    below.secure(client ?? (await secure.client()), { serverName }),
    peer.secure(server ?? (await secure.server())),
  ];
}

/** Both ends of a TLS connection, after the handshake. */
export async function shakenPair(
  secure: SecureReactor,
  options?: Parameters<typeof securePair>[1],
): Promise<[client: SecureConnection, server: SecureConnection]> {
  const pair = await securePair(secure, options);
  await Promise.all(pair.map((each) => each.handshake()));
  return pair;
}

/** Sends and receives a line each way. */
export async function talk(...[client, server]: [client: SecureConnection, server: SecureConnection]): Promise<void> {
  const [heard, answered] = await Promise.all([
    server.receive(),
    client.receive(),
    client.send('hello\n'),
    server.send('hi\n'),
  ]);
  if (heard !== 'hello' || answered !== 'hi') throw new Error(`received ${heard} and ${answered}`);
}

export const abort = (...connections: Connection[]): void => {
  for (const connection of connections) connection.abort();
};

/** @returns the rejection reason of each promise, in order; `undefined` for one that resolved. */
export async function failuresOf(...promises: Promise<unknown>[]): Promise<unknown[]> {
  return (await Promise.allSettled(promises)).map((result) =>
    result.status === 'rejected' ? (result.reason as unknown) : undefined,
  );
}
