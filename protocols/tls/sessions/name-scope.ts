/** The scope of a server's sessions for one of its names. */

import { createHash } from 'node:crypto';

/** @returns the scope of a connection to one of the server's names, 32 bytes. It is the id context of its sessions. */
export function scopeFor(scope: Uint8Array, serverName: string | undefined, idContext: Uint8Array): Uint8Array {
  return createHash('sha256')
    .update(scope)
    .update(idContext)
    .update('|')
    .update(serverName === undefined ? 'none' : `name:${serverName.toLowerCase()}`)
    .digest();
}
