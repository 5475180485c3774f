/** A server's answers to the client hello: which context, which protocol, which staple. */

import { encodeProtocols } from '../alpn.ts';
import { parseHello } from '../client-hello.ts';
import type { ParsedHello } from '../client-hello.ts';
import * as c from '../constants.ts';
import type { ContextSettings } from '../context/settings.ts';
import { decide, mustDecide } from '../decision.ts';
import type { Decision } from '../decision.ts';
import { openssl } from '../openssl.ts';
import type { PresharedKey } from '../psk.ts';
import { TlsError } from '../tls-error.ts';
import type { Exchange } from './exchange.ts';

/** The client hello of one connection, and what was decided about it. */
export class HelloAnswers {
  readonly #exchange: Exchange;
  #hello: ParsedHello | undefined;
  #decision: Decision | undefined;
  /** Whether OpenSSL waits for a decision that has not begun. */
  #asks = false;
  /** The chosen protocol, in wire format. */
  #chosenProtocol: Uint8Array | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** The client hello; `undefined` before it arrives, and on clients. */
  get parsed(): ParsedHello | undefined {
    return this.#hello;
  }

  /** The name that the client requests (SNI). */
  get serverName(): string | undefined {
    return this.#hello?.serverName;
  }

  /** The stored session that the client offers, or why none was found. */
  get session(): Decision['session'] {
    return this.#decision?.session;
  }

  /** Whether the decision about the client hello has been made. */
  get hasDecided(): boolean {
    return this.#decision !== undefined;
  }

  /** @returns the shared key that was found for an identity. */
  keyFor(identity: string): PresharedKey | undefined {
    return this.#decision?.keys.get(identity);
  }

  /** Decides about the client hello. @returns whether that is done; otherwise the connection is woken when it is. */
  consider(): boolean {
    const hello = this.#hello;
    if (hello === undefined || !this.#asks) return true;
    this.#asks = false;
    const { settings, lookups } = this.#exchange;
    this.#exchange.ask(
      () => decide(settings, hello, lookups),
      'the choice of a context',
      (decision) => {
        this.#decision = decision;
        if (decision.alpn !== undefined) this.#chosenProtocol = encodeProtocols([decision.alpn]);
      },
    );
    return !this.#exchange.isWaiting;
  }

  /** @returns the chosen settings if they differ from the present ones; the next call returns `undefined`. */
  takeChosen(): ContextSettings | undefined {
    const chosen = this.#decision?.chosen;
    if (this.#decision === undefined || chosen === undefined) return undefined;
    let settings;
    try {
      settings = chosen.settings;
    } catch (error) {
      // The chosen context was closed in between. The handshake must not continue with the present one instead.
      this.#exchange.failed(error);
      return undefined;
    }
    this.#decision = { ...this.#decision, chosen: undefined };
    return settings === this.#exchange.settings ? undefined : settings;
  }

  /** Releases the data that only the first handshake needs. */
  complete(): void {
    if (this.#decision !== undefined) this.#decision = { ...this.#decision, keys: new Map(), session: undefined };
    if (this.#hello !== undefined)
      this.#hello = {
        serverName: this.#hello.serverName,
        alpn: [],
        identities: [],
        sessionId: new Uint8Array(0),
        makesUpIds: false,
      };
  }

  // What OpenSSL asks.

  clientHello(): 'go on' | 'wait' | { readonly alert: number } {
    const { error, ssl, settings } = this.#exchange;
    if (error !== undefined)
      return {
        alert:
          error instanceof TlsError && error.side === 'local' && error.alert !== undefined
            ? error.alert
            : c.ALERT_INTERNAL_ERROR,
      };
    // OpenSSL asks again after a pause, after a HelloRetryRequest, and when a renegotiation begins. The first decision
    // stays valid.
    this.#hello ??= parseHello(ssl);
    if (this.#decision === undefined && mustDecide(settings)) {
      this.#asks = true;
      return 'wait';
    }
    // Sessions are valid for the name that the client requests only.
    if (settings.resumption !== 'off')
      openssl().SSL_set_session_id_context(ssl, settings.sessions.scopeFor(this.#hello.serverName), 32);
    return 'go on';
  }

  protocols(): { readonly names: Uint8Array | undefined; readonly ignoresMismatch: boolean } {
    const { alpn, ignoresAlpnMismatch } = this.#exchange.settings;
    return {
      names: this.#chosenProtocol ?? (typeof alpn === 'function' ? undefined : alpn),
      ignoresMismatch: ignoresAlpnMismatch,
    };
  }

  staple(): Uint8Array | undefined {
    const { staple } = this.#exchange.settings;
    return this.#decision?.staple ?? (typeof staple === 'function' ? undefined : staple);
  }
}
