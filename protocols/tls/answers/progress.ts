/** OpenSSL's reports about one connection: handshakes that begin and end, alerts, and secrets for the key log. */

import { ownFinished } from '../finished.ts';
import { TlsError } from '../tls-error.ts';
import type { Exchange } from './exchange.ts';

/** The progress of the handshakes of one connection. */
export class Progress {
  /** Whether the first handshake is complete. */
  established = false;
  /** Whether this side has asked for a renegotiation that is not complete. */
  renegotiates = false;
  /** How many renegotiations are complete, begun by either side (TLS 1.2). */
  renegotiations = 0;
  /** The last alert that was sent or received. */
  alert: { readonly number: number; readonly sent: boolean } | undefined;
  readonly #exchange: Exchange;
  /** Whether a handshake has begun in the middle of the connection, and may not be complete. */
  #isHandshaking = false;
  #byPeer = 0;
  /** This side's Finished message before the running handshake. */
  #finished: Buffer | undefined;
  #lines: string[] = [];

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  get isHandshaking(): boolean {
    return this.#isHandshaking;
  }

  get hasLines(): boolean {
    return this.#lines.length > 0;
  }

  /** @returns the key log lines since the last call. */
  takeLines(): string[] {
    return this.#lines.splice(0);
  }

  /** The first handshake is complete. */
  complete(): void {
    this.established = true;
    this.#isHandshaking = false;
  }

  /**
   * Records that no handshake is running any more.
   * @returns whether a renegotiation was completed. OpenSSL also reports a beginning for a mere request for one.
   */
  settle(): boolean {
    this.#isHandshaking = false;
    const before = this.#finished;
    this.#finished = undefined;
    if (before?.equals(ownFinished(this.#exchange.ssl)) !== false) return false;
    this.renegotiations++;
    const limit = this.#exchange.settings.peerRenegotiations;
    // With a limit of 0 OpenSSL itself refuses renegotiations of the peer.
    if (this.renegotiates || limit === 0 || ++this.#byPeer <= limit) return true;
    this.#exchange.failed(
      new TlsError(
        `TLS failed: the peer has begun more than ${String(limit)} renegotiations (allowPeerRenegotiations)`,
        { reason: 'too many renegotiations' },
      ),
    );
    return true;
  }

  // What OpenSSL reports.

  handshakeBegins(): void {
    if (!this.established) return;
    this.#isHandshaking = true;
    this.#exchange.hasNews = true;
    this.#finished ??= ownFinished(this.#exchange.ssl);
  }

  handshakeEnds(): void {
    if (this.established) this.#exchange.hasNews = true;
  }

  alertPassed(number: number, sent: boolean): void {
    if (number !== CLOSE_NOTIFY && number !== NO_RENEGOTIATION) this.alert = { number, sent };
  }

  keyLogged(line: string): void {
    this.#lines.push(line);
    this.#exchange.hasNews = true;
  }
}

const CLOSE_NOTIFY = 0;
const NO_RENEGOTIATION = 100;
