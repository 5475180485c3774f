/** Reads the client hello, the first message of a client. */

import { readHostName } from '../../reactor/addresses/host-name.ts';
import { decodeProtocols } from './alpn.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';

/** The parts of the client hello by which a context can be chosen. Nothing in it is authenticated. */
export interface ClientHello {
  /**
   * The requested name (SNI), in lower case and A-labels, without a dot at its end. A name that is not a valid host
   * name is unchanged except for lower case.
   */
  readonly serverName: string | undefined;
  /** The offered application protocols, the preferred one first; at most 64. */
  readonly alpn: readonly string[];
}

/** A client hello with the fields that only this library uses. */
export interface ParsedHello extends ClientHello {
  /** The identities of the offered shared keys and sessions (TLS 1.3). */
  readonly identities: readonly Uint8Array[];
  /** The id of the offered session (TLS 1.2). */
  readonly sessionId: Uint8Array;
  /** Whether it offers TLS 1.3: such clients make up an id when they offer no session (RFC 8446, appendix D.4). */
  readonly makesUpIds: boolean;
}

/** Reads the client hello. Call it only inside OpenSSL's client hello callback. */
export function parseHello(connection: Pointer): ParsedHello {
  const name = extension(connection, c.TLSEXT_TYPE_SERVER_NAME);
  const alpn = extension(connection, c.TLSEXT_TYPE_ALPN);
  const psk = extension(connection, c.TLSEXT_TYPE_PSK);
  const idLength = openssl().SSL_client_hello_get0_session_id(connection, address);
  const sessionId = idLength === 0 ? new Uint8Array(0) : openssl().copyOf(address[0], idLength);
  const versions = extension(connection, c.TLSEXT_TYPE_SUPPORTED_VERSIONS);
  return {
    sessionId,
    makesUpIds: versions !== undefined && offersTls13(versions),
    serverName: name && parseServerName(name),
    alpn: alpn === undefined ? [] : decodeProtocols(alpn.subarray(2)).slice(0, PROTOCOLS_AT_MOST),
    identities: psk === undefined ? [] : parseIdentities(psk),
  };
}

/** @returns a copy of the extension's content; `undefined` when the client has not sent it. */
function extension(connection: Pointer, type: number): Uint8Array | undefined {
  const ssl = openssl();
  if (ssl.SSL_client_hello_get0_ext(connection, type, address, length) <= 0) return undefined;
  return length[0] === 0n ? new Uint8Array(0) : ssl.copyOf(address[0], Number(length[0]));
}

/** RFC 6066, section 3: a list of one entry of the type host_name. OpenSSL itself refuses any other form. */
function parseServerName(bytes: Uint8Array): string | undefined {
  const length = bytes.length >= 5 ? uint16(bytes, 3) : 0;
  if (length === 0 || bytes[2] !== c.TLSEXT_NAMETYPE_HOST_NAME || 5 + length > bytes.length) return undefined;
  const text = Buffer.from(bytes.subarray(5, 5 + length)).toString();
  const read = readHostName(text);
  return 'fault' in read ? text.toLowerCase() : read.name;
}

/** RFC 8446, section 4.2.1: versions of two bytes each, after their length in one. */
function offersTls13(bytes: Uint8Array): boolean {
  for (let at = 1; at + 2 <= bytes.length; at += 2) if (uint16(bytes, at) === c.VERSIONS['TLSv1.3']) return true;
  return false;
}

/** RFC 8446, section 4.2.11: each identity follows its length and is followed by the age of its ticket. */
function parseIdentities(bytes: Uint8Array): Uint8Array[] {
  const identities: Uint8Array[] = [];
  const end = bytes.length < 2 ? 0 : Math.min(bytes.length, 2 + uint16(bytes, 0));
  for (let at = 2; at + 2 <= end && identities.length < IDENTITIES_AT_MOST;) {
    const length = uint16(bytes, at);
    if (at + 2 + length > end) break;
    identities.push(bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length + 4;
  }
  return identities;
}

// Shared out parameters of OpenSSL's functions: each value is read right after the call.
const address = new BigUint64Array(1);
const length = new BigUint64Array(1);
const uint16 = (bytes: Uint8Array, at: number): number => bytes[at] * 256 + bytes[at + 1];
/** How many of the offered identities are read; the rest is ignored. */
export const IDENTITIES_AT_MOST = 4;
// More than any real client offers.
const PROTOCOLS_AT_MOST = 64;
