/** What decides whether the peer is trusted: faults of its certificates, and shared keys. */

import { verifyErrorName } from '../certificates/verify-errors.ts';
import type { VerifyErrorName } from '../certificates/verify-errors.ts';
import { identityOf, presharedKey } from '../psk.ts';
import type { PresharedKey, PskIdentity } from '../psk.ts';
import { isThenable } from '../thenable.ts';
import type { Exchange } from './exchange.ts';
import type { HelloAnswers } from './hello.ts';
import type { SessionAnswers } from './sessions.ts';

/** What is wrong with one certificate of the peer's chain. */
export interface CertificateFault {
  /** How far up the chain the certificate stands; 0 is the peer's own. */
  readonly depth: number;
  /** OpenSSL's name for it, without `X509_V_ERR_`; `undefined` when it is newer than this table. */
  readonly reason: VerifyErrorName | undefined;
  /** OpenSSL's number for it. */
  readonly result: number;
}

/** The client's own shared key. The bytes of its identity stay where they are until the handshake is complete. */
export interface OwnKey {
  readonly psk: PskIdentity;
  readonly identity: Uint8Array;
}

/** The trust of one connection in its peer. */
export class TrustAnswers {
  /** How the peer's certificate is treated at present: SSL_VERIFY_… bits. */
  verifyModes: number;
  /** What was found wrong with the peer's certificates. */
  readonly faults: CertificateFault[] = [];
  /** Whether a shared key was found, or offered without a session beside it (TLS 1.3). */
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

  /** Asks for the client's own key, before the handshake. @returns whether there is nothing to wait for. */
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

  /** Whether a fault of a certificate is accepted; `depth` 0 is the peer's own. */
  accepts(result: number, depth: number): boolean {
    // OpenSSL reports the same fault again when it looks at a certificate twice.
    if (!this.faults.some((fault) => fault.depth === depth && fault.result === result)) {
      const reason = verifyErrorName(result);
      this.faults.push({ depth, result, reason: reason === 'OK' ? undefined : reason });
    }
    const { accepts } = this.#exchange.settings;
    return accepts === 'all' || accepts.has(result);
  }

  /** The key of a client, for the server. `version` is how the protocol asks. */
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
      // Nothing awaits the promise any more.
      found.then(undefined, () => undefined);
      throw new TypeError(
        'a TLS 1.2 server cannot wait for a shared key: psk must not return a Promise; set protocols.min to TLSv1.3, or answer at once',
      );
    }
    return presharedKey(found);
  }

  /** The own key, for the client. */
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
  if (psk === undefined) throw new Error('psk gives no key');
  presharedKey(psk);
  const bytes = Buffer.from(psk.identity);
  if (bytes.length === 0 || bytes.length > IDENTITY_AT_MOST || bytes.includes(0))
    throw new RangeError(`a shared key's identity has 1…${String(IDENTITY_AT_MOST)} bytes and no zero among them`);
  // OpenSSL keeps the address until the handshake is complete: memory of its own, which nobody moves.
  const identity = Buffer.allocUnsafeSlow(bytes.length);
  identity.set(bytes);
  return { psk, identity };
}

// PSK_MAX_IDENTITY_LEN of ssl.h before 3.0.
const IDENTITY_AT_MOST = 128;
