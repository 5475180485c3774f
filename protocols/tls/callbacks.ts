/**
 * What OpenSSL calls while it works. There is one function of each kind for the whole process; it finds the connection by the
 * SSL pointer, asks it, and never throws into C. The connections only record and answer: what they have to tell goes out when
 * the foreign call is over.
 */

import { selectProtocol } from './alpn.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { sessionOf } from './psk.ts';
import type { PresharedKey, PskIdentity } from './psk.ts';
import { takeErrorQueue } from './tls-error.ts';

/** A connection that is asked while OpenSSL works for it. What it throws ends the handshake. */
export interface Answering {
  handshakeBegins(): void;
  handshakeEnds(): void;
  alertPassed(number: number, sent: boolean): void;
  keyLogged(line: string): void;
  /** Whether a fault of a certificate is accepted; `depth` 0 is the peer's own. */
  accepts(result: number, depth: number): boolean;
  /** What to do with the client's first message: go on, wait, or refuse it with an alert. */
  clientHello(): 'go on' | 'wait' | { readonly alert: number };
  /** The application protocols to choose from, as the wire has them; a string is one that was chosen already. */
  protocols(): { readonly names: Uint8Array | undefined; readonly ignoresMismatch: boolean };
  staple(): Uint8Array | undefined;
  /** The key of a client, for the server. `version` is how the protocol asks. */
  keyOf(identity: Uint8Array, version: 'TLSv1.2' | 'TLSv1.3'): PresharedKey | undefined;
  /** The own key, for the client. The identity's bytes stay as they are until the handshake is done. */
  ownKey(hint: string | undefined): { readonly psk: PskIdentity; readonly identity: Uint8Array } | undefined;
  /** An answer has thrown. */
  failed(error: unknown): void;
}

const answering = new Map<Pointer, Answering>();

/** Makes `connection` the one that answers for the SSL object. */
export function answer(ssl: Pointer, connection: Answering): void {
  answering.set(ssl, connection);
}

/** To be called when the SSL object is freed. */
export function answerNoMore(ssl: Pointer): void {
  answering.delete(ssl);
}

/** How many connections answer. @internal */
export function livingAnswers(): number {
  return answering.size;
}

let registered: ReturnType<typeof register> | undefined;

/** The functions to give to OpenSSL. */
export function callbacks(): ReturnType<typeof register> {
  return (registered ??= register(openssl()));
}

function register(ssl: OpenSsl) {
  const types = ssl.callbacks;
  return {
    info: ssl.register(types.info, (connection, where, result) => {
      if ((where & (c.SSL_CB_HANDSHAKE_START | c.SSL_CB_HANDSHAKE_DONE | c.SSL_CB_ALERT)) === 0) return;
      ask(connection, undefined, (who) => {
        if ((where & c.SSL_CB_HANDSHAKE_START) !== 0) who.handshakeBegins();
        else if ((where & c.SSL_CB_HANDSHAKE_DONE) !== 0) who.handshakeEnds();
        else who.alertPassed(result & 0xff, (where & c.SSL_CB_WRITE) !== 0);
      });
    }),
    keyLog: ssl.register(types.keyLog, (connection, line) => {
      ask(connection, undefined, (who) => {
        who.keyLogged(line);
      });
    }),
    verify: ssl.register(types.verify, (accepted, store) => {
      if (accepted !== 0) return 1;
      const connection = ssl.X509_STORE_CTX_get_ex_data(store, ssl.SSL_get_ex_data_X509_STORE_CTX_idx());
      return ask(connection, 0, (who) => Number(who.accepts(ssl.X509_STORE_CTX_get_error(store), ssl.X509_STORE_CTX_get_error_depth(store))));
    }),
    clientHello: ssl.register(types.clientHello, (connection, alert) =>
      ask(connection, c.SSL_CLIENT_HELLO_ERROR, (who) => {
        const verdict = who.clientHello();
        if (verdict === 'go on') return c.SSL_CLIENT_HELLO_SUCCESS;
        if (verdict === 'wait') return c.SSL_CLIENT_HELLO_RETRY;
        ssl.copyTo(alert, bytesOf(new Int32Array([verdict.alert])), 4);
        return c.SSL_CLIENT_HELLO_ERROR;
      })),
    alpnSelect: ssl.register(types.alpnSelect, (connection, out, outLength, offered, offeredLength) =>
      ask(connection, c.SSL_TLSEXT_ERR_ALERT_FATAL, (who) => {
        const { names, ignoresMismatch } = who.protocols();
        if (names !== undefined && selectProtocol(names, out, outLength, offered, offeredLength)) return c.SSL_TLSEXT_ERR_OK;
        return ignoresMismatch ? c.SSL_TLSEXT_ERR_NOACK : c.SSL_TLSEXT_ERR_ALERT_FATAL;
      })),
    status: ssl.register(types.status, (connection) =>
      ask(connection, c.SSL_TLSEXT_ERR_NOACK, (who) => {
        const staple = who.staple();
        if (staple === undefined || staple.length === 0) return c.SSL_TLSEXT_ERR_NOACK;
        // OpenSSL frees the copy.
        const copy = ssl.CRYPTO_memdup(staple, staple.length, 'wantio', 0);
        ssl.SSL_ctrl(connection, c.SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP, staple.length, copy);
        return c.SSL_TLSEXT_ERR_OK;
      })),
    pskClient: ssl.register(types.pskClient, (connection, hint, identity, identityRoom, key, keyRoom) =>
      ask(connection, 0, (who) => {
        const own = who.ownKey(hint === null || hint === '' ? undefined : hint);
        // The identity is a C string here: its room counts a closing zero.
        if (own === undefined || own.identity.length >= identityRoom) return 0;
        ssl.copyTo(identity, Buffer.concat([own.identity, Buffer.alloc(1)]), own.identity.length + 1);
        return giveKey(own.psk.key, key, keyRoom);
      })),
    pskServer: ssl.register(types.pskServer, (connection, identity, key, keyRoom) =>
      ask(connection, 0, (who) => {
        const psk = identity === null ? undefined : who.keyOf(Buffer.from(identity), 'TLSv1.2');
        return psk === undefined ? 0 : giveKey(psk.key, key, keyRoom);
      })),
    pskUse: ssl.register(types.pskUse, (connection, digest, identity, identityLength, session) =>
      ask(connection, 0, (who) => {
        const own = who.ownKey(undefined);
        if (own === undefined) return 1;
        // After a HelloRetryRequest the suite is settled, and a key of another digest cannot be used.
        if (digest !== 0 && ssl.EVP_MD_get_type(digest) !== (own.psk.digest === 'sha384' ? c.NID_sha384 : c.NID_sha256)) return 1;
        const made = sessionOf(connection, own.psk);
        if (made === 0) return 1;
        store(identity, ssl.addressOf(own.identity));
        store(identityLength, BigInt(own.identity.length));
        store(session, BigInt(made));
        return 1;
      })),
    pskFind: ssl.register(types.pskFind, (connection, identity, identityLength, session) =>
      ask(connection, 0, (who) => {
        const psk = who.keyOf(ssl.copyOf(BigInt(identity), identityLength), 'TLSv1.3');
        if (psk !== undefined) store(session, BigInt(sessionOf(connection, psk)));
        return 1;
      })),
  };

  function giveKey(bytes: Uint8Array, key: Pointer, room: number): number {
    if (bytes.length > room) return 0;
    ssl.copyTo(key, bytes, bytes.length);
    return bytes.length;
  }

  function store(address: Pointer, value: bigint): void {
    ssl.copyTo(address, bytesOf(new BigUint64Array([value])), 8);
  }
}

/** Asks the connection that `ssl` belongs to; `refusal` is the answer of one that is not there, or throws. */
function ask<T>(ssl: Pointer, refusal: T, question: (who: Answering) => T): T {
  const who = answering.get(ssl);
  if (who === undefined) return refusal;
  try {
    return question(who);
  } catch (error) {
    takeErrorQueue();
    who.failed(error);
    return refusal;
  }
}

const bytesOf = (words: ArrayBufferView): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
