/** Connections over Node.js streams. */

import type { Duplex } from 'node:stream';

import { ClosedError } from '../../core/errors.ts';
import { checkArgument, checkOptions, oneOf, partWith, text, trust } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { timeoutsRule } from '../../core/timeouts.ts';
import type { Timeouts } from '../../core/timeouts.ts';
import { Connection } from '../connections/connection.ts';
import { reactorRule } from '../reactor-rule.ts';
import type { Reactor } from '../reactor.ts';
import { StreamTransport } from './stream-transport.ts';

/** The options of `fromDuplex`: facts that a stream does not know itself, and limits. */
export interface FromDuplexOptions {
  /**
   * Whether this side is the client or the server, for layers such as TLS. By default `'client'` with a `host`, else
   * `'server'`.
   */
  readonly role?: 'client' | 'server' | undefined;
  /** The host name or IP address of the server. A client over TLS expects it in the certificate of the server. */
  readonly host?: string | undefined;
  /** The default limits of the connection's operations. */
  readonly timeouts?: Timeouts | undefined;
}

export const FROM_DUPLEX_RULES = {
  role: oneOf('client', 'server'),
  host: trust(text),
  timeouts: timeoutsRule,
} satisfies Rules<FromDuplexOptions>;
const duplex = partWith('a Duplex stream of Node.js', 'on', 'write', 'read');

/**
 * Makes a connection over a Node.js stream, such as a `net.Socket` that a server of another framework has accepted, or
 * the socket of an `upgrade`. The connection owns the stream from now on: no other code may read or write it. Bytes
 * that the stream holds already, including those from `unshift`, are received first. Each direction ends independently:
 * `allowHalfOpen` is set to `true`.
 *
 * Closing the connection ends the stream, and destroys it when it has passed on all bytes. Aborting destroys it at
 * once; a TCP socket is reset. When the stream fails, operations fail with a `SystemError` such as `ECONNRESET` if the
 * error has such a code, else with a `ClosedError` whose cause is that error.
 * @throws {TypeError} when the stream is in object mode, decodes text, or has another reader.
 * @throws {ClosedError} when one direction of the stream has ended or it was destroyed, or when the reactor is closed
 * or closing.
 * @throws {TypeError | RangeError} when an option is unknown or not valid.
 * @example
 * import { once } from 'node:events';
 * import { connect, createServer } from 'node:net';
 * import type { AddressInfo } from 'node:net';
 * import { fromDuplex, Reactor } from 'wantio';
 *
 * const reactor = new Reactor();
 * const server = createServer((socket) => {
 *   const connection = fromDuplex(reactor, socket);
 *   void connection.send('welcome\n').then(() => connection.close());
 * });
 * await once(server.listen(0, '127.0.0.1'), 'listening');
 * const client = fromDuplex(reactor, connect((server.address() as AddressInfo).port, '127.0.0.1'));
 * if ((await client.receive()) !== 'welcome') throw new Error('the server says something else');
 * await client.close();
 * server.close();
 * await reactor.close();
 */
export function fromDuplex(reactor: Reactor, stream: Duplex, options: FromDuplexOptions = {}): Connection {
  checkArgument('fromDuplex', 'the reactor', reactor, reactorRule);
  checkArgument('fromDuplex', 'the stream', stream, duplex);
  checkOptions('fromDuplex', options, FROM_DUPLEX_RULES);
  if (reactor.draining.aborted) throw new ClosedError('fromDuplex refused: the reactor is closed or closing');
  const { host, timeouts = {}, role = host === undefined ? 'server' : 'client' } = options;
  const socket = new StreamTransport(reactor.loop, stream);
  const connection = new Connection(socket, { loop: reactor.loop, socket, role, host });
  connection.timeouts = timeouts;
  return connection;
}
