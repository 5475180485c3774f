/** The events of a connection, the options of its operations, and the rules for these options. */

import { Framing } from '../../core/framing.ts';
import { OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions } from '../../core/operation.ts';
import { bytes, count, either, flag, listOf, number, oneOf, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import type { SendRange } from '../../core/send.ts';
import { SOCKET_OPTION_NAMES } from './socket-options.ts';

/** The events of a connection. */
export interface ConnectionEvents {
  /** The connection is closed, with the error that closed it, if one did. */
  close: (error?: Error) => void;
  /**
   * The peer has half-closed the connection: it sends nothing more. The event does not need a running receive. Data
   * sent before can still be received, and the peer may still receive data. Emitted once. When the half-close came
   * before the first listener, it is emitted after that listener is added.
   */
  end: () => void;
  /**
   * The peer reset the connection, or the network broke it. The event does not need a running receive. Data that came
   * before can still be received. Emitted once. When the break came before the first listener, it is emitted after that
   * listener is added.
   */
  broken: (error: Error) => void;
  /** The handshake of a layer such as TLS is complete. */
  secure: () => void;
  /**
   * A secret of a layer such as TLS, as a line for a program that decrypts captures. Only if the layer was asked for
   * it.
   */
  keylog: (line: string) => void;
}

/** The number of bytes that went through a connection, and its age. */
export interface ConnectionStatistics {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The age of the connection, in milliseconds. */
  readonly ageMs: number;
}

/** The options of `receive`. */
export interface ReceiveOptions extends OperationOptions {
  /** Bytes to receive before all others, such as the `partial` of an earlier failure. */
  readonly prefix?: Uint8Array | undefined;
  /**
   * The most that the receive gathers, in bytes. By default 64 KiB for a line, 16 MiB for `'*a'`, and for a message the
   * framing's `defaultMaxBytes`.
   */
  readonly maxBytes?: number | undefined;
}

/** The options of `tryReceive` with a framing. */
export interface TryReceiveOptions {
  /** The most bytes of the message; the framing's `defaultMaxBytes` by default. */
  readonly maxBytes?: number | undefined;
}

/** The options of `handshake`. */
export interface HandshakeOptions extends OperationOptions {
  /** Leaves the connection open when the handshake times out or is cancelled, so that it can be continued later. */
  readonly keepOpen?: boolean | undefined;
}

// The send itself checks that the index lies within the data.
const index = number('a whole number', Number.isInteger);
const maxBytes = number('a number of bytes of at least 1', (value) => value >= 1);
/** The rule for the most bytes that `tryReceive` returns. */
export const wholeBytes = count(1);
/** The rule for the number of bytes that `skip` discards. */
export const bytesToSkip = count(0);
export const SEND_RULES = { ...OPERATION_RULES, first: index, last: index } satisfies Rules<
  SendRange & OperationOptions
>;
export const RECEIVE_RULES = { ...OPERATION_RULES, prefix: bytes, maxBytes } satisfies Rules<ReceiveOptions>;
export const LINES_RULES = { ...OPERATION_RULES, maxBytes } satisfies Rules<Omit<ReceiveOptions, 'prefix'>>;
export const TRY_RECEIVE_RULES = { maxBytes } satisfies Rules<TryReceiveOptions>;
export const HANDSHAKE_RULES = { ...OPERATION_RULES, keepOpen: flag } satisfies Rules<HandshakeOptions>;
/** The rule for a string or bytes. */
export const piece = either(
  bytes,
  thing('a string', (value) => typeof value === 'string'),
);
/** The rule for the data of `send`. */
export const sendable = either(piece, listOf(piece));
/** The rule for a framing. */
export const framingRule = thing('a Framing, such as lines() of wantio/protocols', (value) => value instanceof Framing);
/** The rule for the direction of `shutdown`. */
export const direction = oneOf('send', 'receive', 'both');
/** The rule for the name of one of the two limits. */
export const timeoutMode = oneOf('block', 'total');
/** The rule for the name of a socket option. */
export const socketOption = oneOf(...SOCKET_OPTION_NAMES);
/** The rule for the value of a socket option. */
export const socketValue = either(flag, count(-1, 2 ** 31 - 1));
