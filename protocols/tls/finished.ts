/** The Finished messages of the last handshake: each is a digest of all that was said in it. */

import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';

/** @returns what this side has sent; empty before the handshake. */
export function ownFinished(connection: Pointer): Buffer {
  const bytes = Buffer.alloc(EVP_MAX_MD_SIZE);
  return bytes.subarray(0, openssl().SSL_get_finished(connection, bytes, bytes.length));
}

/** @returns what the peer has sent; empty before the handshake. */
export function peerFinished(connection: Pointer): Buffer {
  const bytes = Buffer.alloc(EVP_MAX_MD_SIZE);
  return bytes.subarray(0, openssl().SSL_get_peer_finished(connection, bytes, bytes.length));
}

// The digest of a handshake is no longer than that.
const EVP_MAX_MD_SIZE = 64;
