/** What a connection emits, what its operations take, and the rules for that. */

import { OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions } from '../../core/operation.ts';
import { bytes, count, either, flag, listOf, number, oneOf, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import type { SendRange } from '../../core/send.ts';
import { SOCKET_OPTION_NAMES } from './socket-options.ts';

/** What a connection tells once or seldom. */
export interface ConnectionEvents {
  /** The connection is closed and its descriptor given back; with the error that closed it, if one did. */
  close: (error?: Error) => void;
  /**
   * The peer has said that it sends nothing more, whether anybody receives or not. What it sent before can still be
   * received, and it may still be listening. Told once, also when it has happened before anybody listened for it.
   */
  end: () => void;
  /**
   * The peer reset the connection, or the network broke it, whether anybody receives or not. What came before can still
   * be received. Told once, also when it has happened before anybody listened for it.
   */
  broken: (error: Error) => void;
  /** The handshake of a layer such as TLS is complete. */
  secure: () => void;
  /** A secret of a layer such as TLS, as a line for decrypting captures; only of those that were asked to tell. */
  keylog: (line: string) => void;
}

/** How much went through a connection, and for how long. */
export interface ConnectionStatistics {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Milliseconds since it was opened. */
  readonly ageMs: number;
}

/** What `receive` takes. */
export interface ReceiveOptions extends OperationOptions {
  /** Bytes that count as received before all others, such as an earlier failure's `partial`. */
  readonly prefix?: Uint8Array | undefined;
  /** The bound of what is gathered, in bytes: 64 KiB for a line, 16 MiB for `'*a'` unless given. */
  readonly maxBytes?: number | undefined;
}

/** What `handshake` takes. */
export interface HandshakeOptions extends OperationOptions {
  /** Leaves the connection open when the handshake times out or is cancelled, to be gone on with later. */
  readonly keepOpen?: boolean | undefined;
}

// Where the data end, and so which index is too far, the send knows.
const index = number('a whole number', Number.isInteger);
const maxBytes = number('a number of bytes of at least 1', (value) => value >= 1);
/** How much `tryReceive` takes at most. */
export const wholeBytes = count(1);
/** How much `skip` discards. */
export const bytesToSkip = count(0);
export const SEND_RULES = { ...OPERATION_RULES, first: index, last: index } satisfies Rules<
  SendRange & OperationOptions
>;
export const RECEIVE_RULES = { ...OPERATION_RULES, prefix: bytes, maxBytes } satisfies Rules<ReceiveOptions>;
export const LINES_RULES = { ...OPERATION_RULES, maxBytes } satisfies Rules<Omit<ReceiveOptions, 'prefix'>>;
export const HANDSHAKE_RULES = { ...OPERATION_RULES, keepOpen: flag } satisfies Rules<HandshakeOptions>;
/** Text or bytes. */
export const piece = either(
  bytes,
  thing('text', (value) => typeof value === 'string'),
);
/** What `send` takes. */
export const sendable = either(piece, listOf(piece));
/** What `shutdown` takes. */
export const direction = oneOf('send', 'receive', 'both');
/** Which of the two limits. */
export const timeoutMode = oneOf('block', 'total');
/** The name of a socket option. */
export const socketOption = oneOf(...SOCKET_OPTION_NAMES);
/** The value of a socket option. */
export const socketValue = either(flag, count(-1, 2 ** 31 - 1));
