/** What `https.request` takes and returns. */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

import { OPERATION_RULES } from '../../core/operation.ts';
import type { OperationOptions } from '../../core/operation.ts';
import { count, either, func, number, required, text, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { layerRule } from '../../core/transport-layer.ts';
import type { TransportLayer } from '../../core/transport-layer.ts';
import type { ConnectionBasis } from '../../reactor/connections/connection-basis.ts';
import type { SecureConnection, TlsInfo } from '../tls/secure-connection.ts';
import { isBody } from './body.ts';
import type { Body } from './body.ts';

/**
 * A request. `timeouts.blockMs` bounds each wait for the server: 30 seconds unless given. `timeouts.totalMs` bounds
 * everything from the look-up to the last byte, the source and the sink included: no limit unless given.
 */
export interface RequestOptions extends OperationOptions {
  /** An `https:` URL without user and password. The fragment behind `#` is not sent. */
  readonly url: string | URL;
  /** Unless given, `'POST'` with a body and `'GET'` without. `CONNECT` is refused. */
  readonly method?: string | undefined;
  /**
   * Headers to send, in addition to `host` and those that frame the message. A header that is `undefined` is not sent.
   * `content-length` may be given for a body that comes in pieces.
   */
  readonly headers?: Readonly<OutgoingHttpHeaders> | undefined;
  /**
   * The request reads the body once it is connected, and no faster than the server accepts it. A body in pieces is sent
   * chunked, or with the given `content-length`, which must be right. The bytes must not change until the response has
   * arrived.
   *
   * The request owns the body from the call on, and closes it when no more is needed, also when the request is refused
   * or the connection fails. It destroys a Node stream. It calls `return` of any other iterator, and does not wait for
   * it.
   */
  readonly body?: Body | undefined;
  /**
   * Receives the body of the response, one chunk after the other: the next chunk waits until the returned promise has
   * settled. It is not called for a response without a body.
   */
  readonly sink?: ((chunk: Uint8Array, head: ResponseHead) => unknown) | undefined;
  /** Called after each chunk with the bytes of either body that have moved so far, like the `step` of LTN12. */
  readonly onProgress?: ((progress: { readonly sent: number; readonly received: number }) => void) | undefined;
  /**
   * A client's context, or `context.with(…)`. Unless given, a context of the reactor's own: it trusts the bundled
   * authorities, and later requests resume the sessions of earlier ones.
   */
  readonly secure?: TransportLayer<SecureConnection, ConnectionBasis> | undefined;
  /** The largest body of a response, in bytes: 16 MiB unless given, no limit with a sink. */
  readonly maxBytes?: number | undefined;
  /** The largest header of a response, and the largest trailers, in bytes: 16 KiB unless given. */
  readonly maxHeaderBytes?: number | undefined;
}

/** The values inside `url`, `method`, `headers` and `body` are checked where they are read. */
export const REQUEST_RULES = {
  ...OPERATION_RULES,
  url: required(
    either(
      text,
      thing('a URL', (value) => value instanceof URL),
    ),
  ),
  method: text,
  headers: thing(
    'an object of headers by name',
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && !('then' in value),
  ),
  body: thing('text, bytes, or an iterable of them', isBody),
  sink: func,
  onProgress: func,
  secure: layerRule,
  maxBytes: number('a number of bytes of at least 0', (value) => value >= 0),
  maxHeaderBytes: count(1),
} satisfies Rules<RequestOptions>;

/** The start of a response, before its body. */
export interface ResponseHead {
  /** Such as 200. */
  readonly status: number;
  /** Such as `'OK'`; may be empty. */
  readonly statusText: string;
  /** Such as `'HTTP/1.1 200 OK'`. */
  readonly statusLine: string;
  /** Such as `'1.1'`. */
  readonly httpVersion: string;
  /** By name in lower case. Repeated headers are joined by a comma; `set-cookie` is a list. */
  readonly headers: IncomingHttpHeaders;
}

/** A response, whatever its status. */
export interface Response extends ResponseHead {
  /** The headers after a chunked body, in the same way. */
  readonly trailers: Readonly<Record<string, string | undefined>>;
  /** The bytes as they were sent, neither decompressed nor decoded. Empty with a sink. */
  readonly body: Uint8Array;
  /** What the handshake agreed on. */
  readonly tls: TlsInfo;
  /** Whether the handshake resumed the session of an earlier request. */
  readonly resumed: boolean;
}

/** The largest header unless the caller says otherwise: Node's own default, which a command line may have changed. */
export const MAX_HEADER_BYTES = 16 * 1024;
