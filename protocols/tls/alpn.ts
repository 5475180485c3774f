/** Application protocols (ALPN, RFC 7301). */

import { OPENSSL_NPN_NEGOTIATED } from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';

/** Chooses one of the protocols that the client offers, or returns `undefined` to choose none. */
export type ApplicationProtocolChooser = (offered: readonly string[]) => string | undefined;

/**
 * Encodes names in wire format: each after its length.
 * @throws {RangeError} when a name is empty or has more than 255 bytes.
 */
export function encodeProtocols(names: readonly string[]): Uint8Array {
  return Buffer.concat(
    names.map((name) => {
      const bytes = Buffer.from(name);
      if (bytes.length === 0 || bytes.length > 255)
        throw new RangeError(`an application protocol has 1…255 bytes: "${name}"`);
      return Buffer.from([bytes.length, ...bytes]);
    }),
  );
}

/** Decodes names from wire format. It stops at the first name that is empty or cut off. */
export function decodeProtocols(bytes: Uint8Array): string[] {
  const names: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + bytes[at];
    if (bytes[at] === 0 || end > bytes.length) break;
    names.push(Buffer.from(bytes.subarray(at + 1, end)).toString());
    at = end;
  }
  return names;
}

/**
 * Answers OpenSSL with the first of `names` that the client offers. `names` must stay referenced until OpenSSL has
 * copied the answer.
 * @returns whether there is such a name.
 */
export function selectProtocol(
  names: Uint8Array,
  out: Pointer,
  outLength: Pointer,
  offered: Pointer,
  offeredLength: number,
): boolean {
  return (
    openssl().SSL_select_next_proto(out, outLength, names, names.length, offered, offeredLength) ===
    OPENSSL_NPN_NEGOTIATED
  );
}
