/** OpenSSL's callbacks about its internal session cache. Each is registered once for the whole process. */

import { openssl } from '../openssl.ts';
import type { OpenSsl, Pointer } from '../openssl.ts';

/** Is notified when a session leaves the internal cache of one SSL_CTX. */
export interface RemovalListener {
  /** Called while OpenSSL is on the stack. */
  left(session: Pointer): void;
}

const listeners = new Map<Pointer, RemovalListener>();

/** Notifies `listener` when a session leaves the internal cache of an SSL_CTX. */
export function listenForRemovals(context: Pointer, listener: RemovalListener): void {
  listeners.set(context, listener);
  openssl().SSL_CTX_sess_set_remove_cb(context, callbacks().removed);
}

/** Removes the listener. Call it before the SSL_CTX is freed. */
export function listenNoMore(context: Pointer): void {
  listeners.delete(context);
}

/** @returns the sessions in the internal cache. OpenSSL owns them: use them before calling any other function of it. */
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
    /** Appends the items of one of OpenSSL's hash tables to `into`. */
    collect: (table: Pointer, into: Pointer[]): void => {
      collected = into;
      ssl.OPENSSL_LH_doall(table, each);
    },
    removed: ssl.register(ssl.callbacks.sessionRemove, (context, session) => {
      try {
        listeners.get(context)?.left(session);
      } catch {
        // An exception must not pass through OpenSSL's C code.
      }
    }),
  };
}
