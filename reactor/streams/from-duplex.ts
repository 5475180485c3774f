/** Connections over Node's own streams. */

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

/** What a stream does not tell of itself. */
export interface FromDuplexOptions {
  /** Which end began it, for layers such as TLS: `'server'` unless given, or `'client'` with a `host`. */
  readonly role?: 'client' | 'server' | undefined;
  /** The name or number that was connected to: what a client over TLS expects its peer's certificate to be for. */
  readonly host?: string | undefined;
  /** The limits of the connection's operations. */
  readonly timeouts?: Timeouts | undefined;
}

export const FROM_DUPLEX_RULES = {
  role: oneOf('client', 'server'),
  host: trust(text),
  timeouts: timeoutsRule,
} satisfies Rules<FromDuplexOptions>;
const duplex = partWith("one of Node's streams for both directions", 'on', 'write', 'read');

/**
 * Makes a connection over one of Node's streams, such as a `net.Socket` that a server of another framework has
 * accepted, or the socket of an `upgrade`. It owns the stream from now on: nobody else reads or writes it. Bytes that
 * the stream holds already, its `unshift`ed head included, are received first. Each direction ends by itself
 * (`allowHalfOpen` is set), whatever the stream was made for.
 *
 * Closing the connection ends the stream and destroys it once it has passed on what it was given; aborting destroys it,
 * with a reset where it is a TCP socket. A failing stream is a `SystemError` such as `ECONNRESET` where its error has
 * such a code, else a `ClosedError` with that error as its cause.
 * @throws {TypeError} when the stream is in object mode, decodes text, or is read by somebody else.
 * @throws {ClosedError} when one of its directions has ended or it was destroyed, or when the reactor is closed or
 * closing.
 * @throws {TypeError | RangeError} for an option that is unknown or wrong.
 * @example
 * createServer((socket) => {
 *   const connection = fromDuplex(reactor, socket).secure(context);
 * });
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
