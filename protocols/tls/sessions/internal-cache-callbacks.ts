/** What OpenSSL calls about its own cache of sessions. There is one function of each kind for the whole process. */

import { openssl } from '../openssl.ts';
import type { OpenSsl, Pointer } from '../openssl.ts';

/** Hears of the sessions that leave OpenSSL's own cache of one SSL_CTX. */
export interface RemovalListener {
  /** Called in the middle of OpenSSL's work. */
  left(session: Pointer): void;
}

const listeners = new Map<Pointer, RemovalListener>();

/** Lets `listener` hear of the sessions that leave OpenSSL's own cache of an SSL_CTX. */
export function listenForRemovals(context: Pointer, listener: RemovalListener): void {
  listeners.set(context, listener);
  openssl().SSL_CTX_sess_set_remove_cb(context, callbacks().removed);
}

/** To be called before the SSL_CTX is freed. */
export function listenNoMore(context: Pointer): void {
  listeners.delete(context);
}

/** @returns the sessions in OpenSSL's own cache, which stay its own: use them before anything else is called. */
export function cachedSessions(context: Pointer): Pointer[] {
  const found: Pointer[] = [];
  callbacks().collect(openssl().SSL_CTX_sessions(context), found);
  return found;
}

let registered: ReturnType<typeof register> | undefined;

function callbacks(): ReturnType<typeof register> {
  return (registered ??= register(openssl()));
}

function register(ssl: OpenSsl) {
  let collected: Pointer[] = [];
  const each = ssl.register(ssl.callbacks.each, (item) => {
    collected.push(item);
  });
  return {
    /** Puts the items of a hash table of OpenSSL's into `into`. */
    collect: (table: Pointer, into: Pointer[]): void => {
      collected = into;
      ssl.OPENSSL_LH_doall(table, each);
    },
    removed: ssl.register(ssl.callbacks.sessionRemove, (context, session) => {
      try {
        listeners.get(context)?.left(session);
      } catch {
        // No exception may reach OpenSSL.
      }
    }),
  };
}
