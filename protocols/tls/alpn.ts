/** Application protocols (ALPN, RFC 7301). */

import { OPENSSL_NPN_NEGOTIATED, SSL_TLSEXT_ERR_ALERT_FATAL, SSL_TLSEXT_ERR_OK } from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';

/**
 * Names as the wire has them, each after its length.
 * @throws {RangeError} when a name is empty or has more than 255 bytes.
 */
export function encodeProtocols(names: readonly string[]): Uint8Array {
  return Buffer.concat(names.map((name) => {
    const bytes = Buffer.from(name);
    if (bytes.length === 0 || bytes.length > 255) throw new RangeError(`an application protocol has 1…255 bytes: "${name}"`);
    return Buffer.from([bytes.length, ...bytes]);
  }));
}

/** Makes the servers' context choose the first of its own protocols that the client offers; without one the handshake fails. */
export class AlpnSelection {
  readonly #key = nextKey++;

  constructor(context: Pointer, names: readonly string[]) {
    selections.set(this.#key, encodeProtocols(names));
    const ssl = openssl();
    ssl.SSL_CTX_set_alpn_select_cb(context, (callback ??= ssl.alpnSelect(select)), this.#key);
  }

  close(): void {
    selections.delete(this.#key);
  }
}

// One callback for the whole process; its argument tells which selection is meant.
let callback: unknown;
let nextKey = 1;
const selections = new Map<number, Uint8Array>();

function select(_ssl: Pointer, out: Pointer, outLength: Pointer, offered: Pointer, offeredLength: number, key: number): number {
  try {
    const names = selections.get(key);
    if (names === undefined) return SSL_TLSEXT_ERR_ALERT_FATAL;
    // `out` will point into `names`, which the selection keeps as long as connections may use it.
    const result = openssl().SSL_select_next_proto(out, outLength, names, names.length, offered, offeredLength);
    return result === OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  } catch {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
}
