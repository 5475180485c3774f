/** The answers that decide whether the peer is trusted: verification errors and shared keys. */

import { verifyErrorName } from '../certificates/verify-errors.ts';
import type { VerifyErrorName } from '../certificates/verify-errors.ts';
import { identityOf, presharedKey } from '../psk.ts';
import type { PresharedKey, PskIdentity } from '../psk.ts';
import { isThenable } from '../thenable.ts';
import type { Exchange } from './exchange.ts';
import type { HelloAnswers } from './hello.ts';
import type { SessionAnswers } from './sessions.ts';

/** A verification error of one certificate in the peer's chain. */
export interface CertificateFault {
  /** The position of the certificate in the chain; 0 is the peer's own. */
  readonly depth: number;
  /** OpenSSL's name of the error, without `X509_V_ERR_`; `undefined` when it is newer than OpenSSL 3.5. */
  readonly reason: VerifyErrorName | undefined;
  /** OpenSSL's number of the error. */
  readonly result: number;
}

/** The client's own shared key. The identity's bytes must not move until the handshake is complete. */
export interface OwnKey {
  readonly psk: PskIdentity;
  readonly identity: Uint8Array;
}

/** Decides about the trust of one connection in its peer. */
export class TrustAnswers {
  /** How the peer's certificate is verified at present: SSL_VERIFY_… bits. */
  verifyModes: number;
  /** The verification errors that were found, accepted ones included. */
  readonly faults: CertificateFault[] = [];
  /**
   * Whether a shared key is used. Under TLS 1.3: whether the server found one, or the client offered one and no
   * session.
   */
  usesPsk = false;
  readonly #exchange: Exchange;
  readonly #hello: HelloAnswers;
  readonly #sessions: SessionAnswers;
  #ownKey: OwnKey | undefined;

  constructor(exchange: Exchange, hello: HelloAnswers, sessions: SessionAnswers) {
    this.#exchange = exchange;
    this.#hello = hello;
    this.#sessions = sessions;
    this.verifyModes = exchange.settings.verifyModes;
  }

  /** Asks for the client's own key, before the handshake. @returns whether the handshake need not wait for it. */
  prepare(): boolean {
    const { pskClient } = this.#exchange.settings;
    if (pskClient === undefined || this.#ownKey !== undefined || this.#exchange.error !== undefined) return true;
    this.#exchange.ask(
      () => pskClient(undefined),
      'psk',
      (psk) => {
        this.#ownKey = ownKeyOf(psk);
      },
    );
    return !this.#exchange.isWaiting;
  }

  // What OpenSSL asks.

  /** Records a verification error. `depth` 0 is the peer's own certificate. @returns whether the error is accepted. */
  accepts(result: number, depth: number): boolean {
    // OpenSSL reports the same error again when it checks a certificate twice.
    if (!this.faults.some((fault) => fault.depth === depth && fault.result === result)) {
      const reason = verifyErrorName(result);
      this.faults.push({ depth, result, reason: reason === 'OK' ? undefined : reason });
    }
    const { accepts } = this.#exchange.settings;
    return accepts === 'all' || accepts.has(result);
  }

  /** On servers: the key of a client. @param version the protocol whose callback asks. */
  keyOf(identity: Uint8Array, version: 'TLSv1.2' | 'TLSv1.3'): PresharedKey | undefined {
    const name = identityOf(identity);
    if (name === undefined) return undefined;
    if (version === 'TLSv1.3') {
      const key = this.#hello.keyFor(name);
      if (key !== undefined) this.usesPsk = true;
      return key;
    }
    const found = this.#exchange.settings.pskServer?.(name);
    if (found === undefined) return undefined;
    if (isThenable(found)) {
      // Nothing awaits this Promise: its rejection must not be unhandled.
      found.then(undefined, () => undefined);
      throw new TypeError(
        'a TLS 1.2 server cannot wait for a shared key: psk must not return a Promise; set protocols.min to TLSv1.3, or answer at once',
      );
    }
    return presharedKey(found);
  }

  /** On clients: this side's own key. */
  ownKey(hint: string | undefined): OwnKey | undefined {
    const { pskClient } = this.#exchange.settings;
    if (hint !== undefined && pskClient !== undefined) {
      const psk = pskClient(hint);
      if (isThenable(psk)) {
        psk.then(undefined, () => undefined);
        throw new TypeError(
          'a TLS 1.2 client cannot wait for a shared key once the server has given a hint: psk must not return a Promise for a hint',
        );
      }
      this.#ownKey = ownKeyOf(psk);
    }
    if (this.#ownKey !== undefined && !this.#sessions.offered) this.usesPsk = true;
    return this.#ownKey;
  }
}

function ownKeyOf(psk: PskIdentity | undefined): OwnKey {
  if (psk === undefined) throw new Error('psk returned no key');
  presharedKey(psk);
  const bytes = Buffer.from(psk.identity);
  if (bytes.length === 0 || bytes.length > IDENTITY_AT_MOST || bytes.includes(0))
    throw new RangeError(`a shared key's identity has 1…${String(IDENTITY_AT_MOST)} bytes and no zero byte`);
  // OpenSSL keeps the address until the handshake is complete, so the bytes need memory that does not move.
  const identity = Buffer.allocUnsafeSlow(bytes.length);
  identity.set(bytes);
  return { psk, identity };
}

// PSK_MAX_IDENTITY_LEN of ssl.h before 3.0.
const IDENTITY_AT_MOST = 128;
