/**
 * The callbacks of OpenSSL. Each is registered once for the whole process. It finds the connection by the SSL pointer,
 * asks its answers, and never throws into C. During a callback a connection only records and answers: it reports events
 * after the call into OpenSSL has returned.
 */

import { randomBytes } from 'node:crypto';

import { selectProtocol } from './alpn.ts';
import type { Answers } from './answers/answers.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { OpenSsl, Pointer } from './openssl.ts';
import { sessionOf } from './psk.ts';
import { hasExpired, TlsSession } from './sessions/session.ts';
import type { TicketKey } from './sessions/ticket-keys.ts';
import { takeErrorQueue } from './tls-error.ts';

const answering = new Map<Pointer, Answers>();

/** Makes `answers` answer the callbacks of an SSL object. */
export function answer(ssl: Pointer, answers: Answers): void {
  answering.set(ssl, answers);
}

/** Call it when the SSL object is freed. */
export function answerNoMore(ssl: Pointer): void {
  answering.delete(ssl);
}

/** How many SSL objects have answers. @internal */
export function livingAnswers(): number {
  return answering.size;
}

let registered: ReturnType<typeof register> | undefined;

/** The callbacks to pass to OpenSSL. */
export function callbacks(): ReturnType<typeof register> {
  return (registered ??= register(openssl()));
}

function register(ssl: OpenSsl) {
  const types = ssl.callbacks;
  return {
    serverName: ssl.register(types.status, () => c.SSL_TLSEXT_ERR_OK),
    sessionNew: ssl.register(types.sessionNew, (connection, session) =>
      // 0: this side keeps no reference to the session.
      ask(connection, 0, (answers) => {
        if (answers.sessions.wantsSessions) answers.sessions.sessionMade(TlsSession.of(session));
        return 0;
      }),
    ),
    sessionGet: ssl.register(types.sessionGet, (connection, id, idLength, copy) =>
      ask(connection, 0, (answers) => {
        // 0: OpenSSL takes over the reference to the returned session.
        ssl.copyTo(copy, bytesOf(new Int32Array([0])), 4);
        const asked = ssl.copyOf(BigInt(id), idLength);
        const der = answers.sessions.sessionOf(asked);
        if (der === undefined) return 0;
        const kept = Buffer.allocUnsafeSlow(der.length);
        kept.set(der);
        const session = ssl.d2i_SSL_SESSION(null, new BigUint64Array([ssl.addressOf(kept)]), kept.length);
        kept.fill(0);
        if (session === 0) {
          takeErrorQueue();
          answers.sessions.missed('corrupted');
          return 0;
        }
        // OpenSSL would later fail the handshake over a session of another id.
        const length = new Uint32Array(1);
        const address = ssl.SSL_SESSION_get_id(session, length);
        const isIt = Buffer.from(ssl.copyOf(BigInt(address), length[0])).equals(asked);
        if (isIt && !hasExpired(session)) return session;
        ssl.SSL_SESSION_free(session);
        answers.sessions.missed(isIt ? 'expired' : 'corrupted');
        return 0;
      }),
    ),
    sessionId: ssl.register(types.sessionId, (connection, id, idLength) =>
      ask(connection, 0, (answers) => {
        const made = answers.sessions.sessionId() ?? randomBytes(32);
        ssl.copyTo(id, made, made.length);
        ssl.copyTo(idLength, bytesOf(new Uint32Array([made.length])), 4);
        return 1;
      }),
    ),
    ticketKey: ssl.register(types.ticketKey, (connection, name, iv, cipher, mac, encrypts) =>
      ask(connection, 0, (answers) => {
        if (encrypts !== 0) {
          const key = answers.sessions.sealingKey();
          if (key === undefined) return 0;
          const fresh = randomBytes(16);
          ssl.copyTo(name, key.name, key.name.length);
          ssl.copyTo(iv, fresh, fresh.length);
          return Number(useTicketKey(key, fresh, cipher, mac, ssl.EVP_EncryptInit_ex));
        }
        const found = answers.sessions.openingKey(ssl.copyOf(BigInt(name), 16));
        if (
          found === undefined ||
          !useTicketKey(found.key, ssl.copyOf(BigInt(iv), 16), cipher, mac, ssl.EVP_DecryptInit_ex)
        )
          return 0;
        return found.isOld ? 2 : 1;
      }),
    ),
    ticketMade: ssl.register(types.ticketMade, (connection) =>
      ask(connection, 0, (answers) => {
        const note = answers.sessions.ticketNote();
        return ssl.SSL_SESSION_set1_ticket_appdata(ssl.SSL_get_session(connection), note, note.length);
      }),
    ),
    ticketOpened: ssl.register(types.ticketOpened, (connection, session, _name, _nameLength, status) =>
      ask(connection, c.SSL_TICKET_RETURN_IGNORE_RENEW, (answers) => {
        if (status === c.SSL_TICKET_NO_DECRYPT) answers.sessions.missed('corrupted');
        if (status !== c.SSL_TICKET_SUCCESS && status !== c.SSL_TICKET_SUCCESS_RENEW)
          return c.SSL_TICKET_RETURN_IGNORE_RENEW;
        const [address, length] = [new BigUint64Array(1), new BigUint64Array(1)];
        ssl.SSL_SESSION_get0_ticket_appdata(session, address, length);
        const note = length[0] === 0n ? new Uint8Array(0) : ssl.copyOf(address[0], Number(length[0]));
        if (!answers.sessions.admits(session, note)) return c.SSL_TICKET_RETURN_IGNORE_RENEW;
        return status === c.SSL_TICKET_SUCCESS ? c.SSL_TICKET_RETURN_USE : c.SSL_TICKET_RETURN_USE_RENEW;
      }),
    ),
    info: ssl.register(types.info, (connection, where, result) => {
      if ((where & (c.SSL_CB_HANDSHAKE_START | c.SSL_CB_HANDSHAKE_DONE | c.SSL_CB_ALERT)) === 0) return;
      ask(connection, undefined, (answers) => {
        if ((where & c.SSL_CB_HANDSHAKE_START) !== 0) answers.progress.handshakeBegins();
        else if ((where & c.SSL_CB_HANDSHAKE_DONE) !== 0) answers.progress.handshakeEnds();
        else answers.progress.alertPassed(result & 0xff, (where & c.SSL_CB_WRITE) !== 0);
      });
    }),
    keyLog: ssl.register(types.keyLog, (connection, line) => {
      ask(connection, undefined, (answers) => {
        answers.progress.keyLogged(line);
      });
    }),
    verify: ssl.register(types.verify, (accepted, store) => {
      if (accepted !== 0) return 1;
      const connection = ssl.X509_STORE_CTX_get_ex_data(store, ssl.SSL_get_ex_data_X509_STORE_CTX_idx());
      return ask(connection, 0, (answers) =>
        Number(answers.trust.accepts(ssl.X509_STORE_CTX_get_error(store), ssl.X509_STORE_CTX_get_error_depth(store))),
      );
    }),
    clientHello: ssl.register(types.clientHello, (connection, alert) =>
      ask(connection, c.SSL_CLIENT_HELLO_ERROR, (answers) => {
        const verdict = answers.hello.clientHello();
        if (verdict === 'go on') return c.SSL_CLIENT_HELLO_SUCCESS;
        if (verdict === 'wait') return c.SSL_CLIENT_HELLO_RETRY;
        ssl.copyTo(alert, bytesOf(new Int32Array([verdict.alert])), 4);
        return c.SSL_CLIENT_HELLO_ERROR;
      }),
    ),
    alpnSelect: ssl.register(types.alpnSelect, (connection, out, outLength, offered, offeredLength) =>
      ask(connection, c.SSL_TLSEXT_ERR_ALERT_FATAL, (answers) => {
        const { names, ignoresMismatch } = answers.hello.protocols();
        if (names !== undefined && selectProtocol(names, out, outLength, offered, offeredLength))
          return c.SSL_TLSEXT_ERR_OK;
        return ignoresMismatch ? c.SSL_TLSEXT_ERR_NOACK : c.SSL_TLSEXT_ERR_ALERT_FATAL;
      }),
    ),
    status: ssl.register(types.status, (connection) =>
      ask(connection, c.SSL_TLSEXT_ERR_NOACK, (answers) => {
        const staple = answers.hello.staple();
        if (staple === undefined || staple.length === 0) return c.SSL_TLSEXT_ERR_NOACK;
        // OpenSSL frees the copy.
        const copy = ssl.CRYPTO_memdup(staple, staple.length, 'wantio', 0);
        ssl.SSL_ctrl(connection, c.SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP, staple.length, copy);
        return c.SSL_TLSEXT_ERR_OK;
      }),
    ),
    pskClient: ssl.register(types.pskClient, (connection, hint, identity, identityRoom, key, keyRoom) =>
      ask(connection, 0, (answers) => {
        const own = answers.trust.ownKey(hint === null || hint === '' ? undefined : hint);
        // The identity is a C string here: its room includes the terminating zero.
        if (own === undefined || own.identity.length >= identityRoom) return 0;
        ssl.copyTo(identity, Buffer.concat([own.identity, Buffer.alloc(1)]), own.identity.length + 1);
        return giveKey(own.psk.key, key, keyRoom);
      }),
    ),
    pskServer: ssl.register(types.pskServer, (connection, identity, key, keyRoom) =>
      ask(connection, 0, (answers) => {
        const psk = identity === null ? undefined : answers.trust.keyOf(Buffer.from(identity), 'TLSv1.2');
        return psk === undefined ? 0 : giveKey(psk.key, key, keyRoom);
      }),
    ),
    pskUse: ssl.register(types.pskUse, (connection, digest, identity, identityLength, session) =>
      ask(connection, 0, (answers) => {
        const own = answers.trust.ownKey(undefined);
        if (own === undefined) return 1;
        // After a HelloRetryRequest the suite is fixed, and a key with another digest cannot be used.
        if (digest !== 0 && ssl.EVP_MD_get_type(digest) !== (own.psk.digest === 'sha384' ? c.NID_sha384 : c.NID_sha256))
          return 1;
        const made = sessionOf(connection, own.psk);
        if (made === 0) return 1;
        store(identity, ssl.addressOf(own.identity));
        store(identityLength, BigInt(own.identity.length));
        store(session, BigInt(made));
        return 1;
      }),
    ),
    pskFind: ssl.register(types.pskFind, (connection, identity, identityLength, session) =>
      ask(connection, 0, (answers) => {
        const psk = answers.trust.keyOf(ssl.copyOf(BigInt(identity), identityLength), 'TLSv1.3');
        if (psk !== undefined) store(session, BigInt(sessionOf(connection, psk)));
        return 1;
      }),
    ),
  };

  function useTicketKey(
    { cipherKey, macKey }: TicketKey,
    iv: Uint8Array,
    cipher: Pointer,
    mac: Pointer,
    init: OpenSsl['EVP_EncryptInit_ex'],
  ): boolean {
    return (
      init(cipher, ssl.EVP_aes_256_cbc(), null, cipherKey, iv) > 0 &&
      ssl.HMAC_Init_ex(mac, macKey, macKey.length, ssl.EVP_sha256(), null) > 0
    );
  }

  function giveKey(bytes: Uint8Array, key: Pointer, room: number): number {
    if (bytes.length > room) return 0;
    ssl.copyTo(key, bytes, bytes.length);
    return bytes.length;
  }

  function store(address: Pointer, value: bigint): void {
    ssl.copyTo(address, bytesOf(new BigUint64Array([value])), 8);
  }
}

/** Asks the answers of an SSL object; `refusal` is the result when it has none, or `question` throws. */
function ask<T>(ssl: Pointer, refusal: T, question: (answers: Answers) => T): T {
  const answers = answering.get(ssl);
  if (answers === undefined) return refusal;
  try {
    return question(answers);
  } catch (error) {
    takeErrorQueue();
    answers.exchange.failed(error);
    return refusal;
  }
}

const bytesOf = (words: ArrayBufferView): Uint8Array =>
  new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
