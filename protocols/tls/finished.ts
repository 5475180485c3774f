/** The Finished messages of the last handshake. Each is a digest of all messages in it. */

import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';

/** @returns the Finished message that this side has sent; empty before the handshake. */
export function ownFinished(connection: Pointer): Buffer {
  const bytes = Buffer.alloc(EVP_MAX_MD_SIZE);
  return bytes.subarray(0, openssl().SSL_get_finished(connection, bytes, bytes.length));
}

/** @returns the Finished message that the peer has sent; empty before the handshake. */
export function peerFinished(connection: Pointer): Buffer {
  const bytes = Buffer.alloc(EVP_MAX_MD_SIZE);
  return bytes.subarray(0, openssl().SSL_get_peer_finished(connection, bytes, bytes.length));
}

// The longest digest of OpenSSL, in bytes.
const EVP_MAX_MD_SIZE = 64;
