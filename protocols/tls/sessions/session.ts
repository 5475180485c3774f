/** A session: what two sides have agreed on once, and may go on with in another connection. */

import { inspect } from 'node:util';

import { checkOptions, flag } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { certificateOf } from '../certificates/certificate.ts';
import type { Certificate } from '../certificates/certificate.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { refused, TlsError } from '../tls-error.ts';

/** The longest that a session lives, in seconds: seven days (RFC 8446, section 4.6.1). */
export const LIFETIME_AT_MOST = 7 * 24 * 3_600;

/** What {@link TlsSession.print} shows. */
export interface PrintOptions {
  /** Whether the secrets stand in the text; false unless given. */
  readonly secrets?: boolean | undefined;
}

export const PRINT_RULES = { secrets: flag } satisfies Rules<PrintOptions>;

/**
 * A session of TLS. It holds the secret by which the connection can be gone on with: **whoever has its bytes can be
 * taken for the one who made it, or read what it protected.** So it shows nothing of it when printed or logged; only
 * {@link toDer} and {@link toPem} hand it out. It holds memory of its own and none of OpenSSL's; {@link dispose} wipes
 * that.
 */
export class TlsSession {
  #der: Uint8Array;
  /** What it says of itself, read while OpenSSL's form of it is at hand: whoever asks would have to make that anew. */
  #facts: Facts | undefined;
  /** The scope of the client that made it; unknown once it was read from its bytes. */
  #scope: Uint8Array | undefined;

  private constructor(der: Uint8Array, facts: Facts | undefined) {
    this.#der = der;
    this.#facts = facts;
  }

  /** Reads what {@link toDer} wrote. @throws {TlsError} when it is not that. */
  static fromDer(der: Uint8Array): TlsSession {
    return withSession(der, TlsSession.of);
  }

  /** Reads what {@link toPem} or `openssl s_client -sess_out` wrote. @throws {TlsError} when it is not that. */
  static fromPem(pem: string): TlsSession {
    const body = /-----BEGIN SSL SESSION PARAMETERS-----([\sA-Za-z0-9+/=]*)-----END SSL SESSION PARAMETERS-----/.exec(
      pem,
    )?.[1];
    if (body === undefined) throw new TlsError('the text holds no session in PEM (SSL SESSION PARAMETERS)');
    const der = Buffer.from(body, 'base64');
    try {
      return TlsSession.fromDer(der);
    } finally {
      der.fill(0);
    }
  }

  /** @returns a copy of OpenSSL's session, which stays its owner's. @internal */
  static of(this: void, pointer: Pointer): TlsSession {
    const ssl = openssl();
    const length = ssl.i2d_SSL_SESSION_length(pointer, null);
    if (length <= 0) throw refused('the session cannot be written');
    const der = Buffer.allocUnsafeSlow(length);
    ssl.i2d_SSL_SESSION(pointer, new BigUint64Array([ssl.addressOf(der)]));
    return new TlsSession(der, factsOf(pointer));
  }

  /** Another of the same, to be disposed of by itself. */
  copy(): TlsSession {
    const copy = new TlsSession(this.toDer(), this.#facts);
    copy.#scope = this.#scope;
    return copy;
  }

  /** Says what the client that made it trusted. @returns itself. @internal */
  madeIn(scope: Uint8Array): this {
    this.#scope = scope;
    return this;
  }

  /**
   * Whether a client of `scope` may trust what was found when it was made. Of one that was read from its bytes only its
   * giver knows.
   * @internal
   */
  isGoodFor(scope: Uint8Array): boolean {
    return this.#scope === undefined || Buffer.compare(this.#scope, scope) === 0;
  }

  /** Lends OpenSSL's form of it for the time of `use`. @throws {TlsError} when it was disposed of. @internal */
  lend<T>(use: (session: Pointer) => T): T {
    if (this.#der.length === 0) throw disposedOf();
    return withSession(this.#der, use);
  }

  /** The session with its secret, in DER. */
  toDer(): Uint8Array {
    return Uint8Array.from(this.#der);
  }

  /** The same in PEM, as `openssl s_client -sess_in` takes it. */
  toPem(): string {
    const lines =
      Buffer.from(this.#der)
        .toString('base64')
        .match(/.{1,64}/g) ?? [];
    return ['-----BEGIN SSL SESSION PARAMETERS-----', ...lines, '-----END SSL SESSION PARAMETERS-----', ''].join('\n');
  }

  /** What `openssl sess_id -text` prints, without the secrets unless they are asked for. */
  print(options: PrintOptions = {}): string {
    checkOptions('print', options, PRINT_RULES);
    const { secrets = false } = options;
    const ssl = openssl();
    const text = this.lend((session) => {
      const bio = ssl.BIO_new(ssl.BIO_s_mem());
      try {
        ssl.SSL_SESSION_print(bio, session);
        const bytes = Buffer.alloc(ssl.BIO_ctrl_pending(bio));
        ssl.BIO_read(bio, bytes, bytes.length);
        return bytes.toString();
      } finally {
        ssl.BIO_free(bio);
      }
    });
    if (secrets) return text;
    // The ticket's dump follows its line, indented further.
    return text
      .replace(/^(\s*(?:Master-Key|Resumption PSK|PSK identity hint|SRP username)\s*: ).*$/gm, '$1(hidden)')
      .replace(/^(\s*TLS session ticket:)\n(?:\s+[0-9a-f]{4} - .*\n)+/gm, '$1 (hidden)\n');
  }

  /** The session's id, in hexadecimal. It names the session and is no secret. */
  get id(): string {
    return this.#said.id;
  }

  /** When it was made; its timeout counts from then on. */
  get time(): Date {
    return new Date(this.#said.time * 1000);
  }

  set time(time: Date) {
    const seconds = Math.floor(time.getTime() / 1000);
    // In DER a time of 0 is none, and one that is read without a time is of now.
    if (!(seconds >= 1)) throw new RangeError(`a session's time is a moment after 1970, not ${String(time)}`);
    this.#change((session) => openssl().SSL_SESSION_set_time(session, seconds));
  }

  /** How long it may be gone on with, in seconds; at most seven days. */
  get timeoutSeconds(): number {
    return this.#said.timeout;
  }

  set timeoutSeconds(seconds: number) {
    this.#change((session) => openssl().SSL_SESSION_set_timeout(session, lifetime(seconds)));
  }

  /** The moment from which it is of no use: its own timeout has passed, or the lifetime of the ticket in it. */
  get expiresAt(): Date {
    const { time, timeout, hasTicket, hint } = this.#said;
    return new Date((time + Math.min(timeout, hasTicket && hint > 0 ? hint : Infinity)) * 1000);
  }

  /** The name that the client asked for, when the server took note of it. */
  get serverName(): string | undefined {
    return this.lend((session) => openssl().SSL_SESSION_get0_hostname(session) ?? undefined);
  }

  /** The application protocol that was agreed on. */
  get alpn(): string | undefined {
    return this.lend((session) => {
      const ssl = openssl();
      const [address, length] = [new BigUint64Array(1), new BigUint64Array(1)];
      ssl.SSL_SESSION_get0_alpn_selected(session, address, length);
      return length[0] === 0n ? undefined : Buffer.from(ssl.copyOf(address[0], Number(length[0]))).toString();
    });
  }

  /** Such as `'TLSv1.3'`. */
  get protocol(): string {
    const { version } = this.#said;
    return version === 0x301 ? 'TLSv1' : `TLSv1.${String(version - 0x301)}`;
  }

  /** The name of the cipher suite. */
  get cipher(): string | undefined {
    return this.lend((session) => {
      const cipher = openssl().SSL_SESSION_get0_cipher(session);
      return cipher === 0 ? undefined : openssl().SSL_CIPHER_get_name(cipher);
    });
  }

  /** The peer's certificate. Of its chain a session keeps no more. */
  get peerCertificate(): Certificate | undefined {
    return this.lend((session) => {
      const certificate = openssl().SSL_SESSION_get0_peer(session);
      return certificate === 0 ? undefined : certificateOf(certificate);
    });
  }

  /** Whether another connection can go on with it at all: one of TLS 1.3 cannot before the server's ticket has come. */
  get resumable(): boolean {
    return this.#said.resumable;
  }

  /** Whether it carries a ticket of the server's. */
  get hasTicket(): boolean {
    return this.#said.hasTicket;
  }

  /** How long the server means to take its ticket, in seconds; 0 when it said nothing. */
  get ticketLifetimeHint(): number {
    return this.#said.hint;
  }

  /** The digest by which the other side's context knows that the session is one of its own; in hexadecimal. */
  get idContext(): string {
    return this.#said.idContext;
  }

  get disposed(): boolean {
    return this.#der.length === 0;
  }

  /** Wipes it. */
  dispose(): void {
    this.#der.fill(0);
    this.#der = new Uint8Array(0);
    this.#facts = undefined;
  }

  /** Wipes it, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The id and the protocol, without secrets. */
  toString(): string {
    return this.disposed ? 'TlsSession (disposed)' : `TlsSession ${this.protocol} ${this.id.slice(0, 16)}`;
  }

  /** The same, without secrets. */
  toJSON(): string {
    return this.toString();
  }

  /** The same, for `console.log`. */
  [inspect.custom](): string {
    return this.toString();
  }

  #change(change: (session: Pointer) => unknown): void {
    const changed = this.lend((session) => {
      change(session);
      return TlsSession.of(session);
    });
    this.#der.fill(0);
    this.#der = changed.#der;
    this.#facts = changed.#facts;
  }

  /** @throws {TlsError} when it was disposed of. */
  get #said(): Facts {
    if (this.#facts === undefined) throw disposedOf();
    return this.#facts;
  }
}

/** What a session says of itself, with times in seconds. */
interface Facts {
  readonly id: string;
  readonly idContext: string;
  readonly version: number;
  readonly time: number;
  readonly timeout: number;
  readonly resumable: boolean;
  readonly hasTicket: boolean;
  readonly hint: number;
}

const disposedOf = (): TlsError => new TlsError('the session was disposed of');

function factsOf(session: Pointer): Facts {
  const ssl = openssl();
  const id = hexOf(session, ssl.SSL_SESSION_get_id);
  const hasTicket = ssl.SSL_SESSION_has_ticket(session) === 1;
  return {
    id,
    idContext: hexOf(session, ssl.SSL_SESSION_get0_id_context),
    version: ssl.SSL_SESSION_get_protocol_version(session),
    time: ssl.SSL_SESSION_get_time(session),
    // Bytes from elsewhere may say more than is allowed.
    timeout: Math.min(LIFETIME_AT_MOST, ssl.SSL_SESSION_get_timeout(session)),
    // OpenSSL's own word on it holds for its object, not for the copy: it marks one that was gone on with as used, and
    // all that come of it.
    resumable: id !== '' || hasTicket,
    hasTicket,
    hint: ssl.SSL_SESSION_get_ticket_lifetime_hint(session),
  };
}

function hexOf(session: Pointer, get: (session: Pointer, length: Uint32Array) => Pointer): string {
  const length = new Uint32Array(1);
  const address = get(session, length);
  return Buffer.from(openssl().copyOf(address, length[0])).toString('hex');
}

/** @returns `seconds`, cut to seven days. @throws {RangeError} when it is no time at all. */
export function lifetime(seconds: number): number {
  if (!(seconds >= 1)) throw new RangeError(`a session lives for at least a second, not ${String(seconds)}`);
  return Math.min(LIFETIME_AT_MOST, Math.floor(seconds));
}

/** Whether the time of OpenSSL's session has passed. It lives by the system's clock, in whole seconds. @internal */
export function hasExpired(session: Pointer): boolean {
  const ssl = openssl();
  return ssl.SSL_SESSION_get_time(session) + ssl.SSL_SESSION_get_timeout(session) <= Date.now() / 1000;
}

/** @throws {TlsError} when `der` is not a session, to the last byte. */
function withSession<T>(der: Uint8Array, use: (session: Pointer) => T): T {
  const ssl = openssl();
  if (der.length === 0 || der.length > DER_AT_MOST)
    throw new TlsError(`a session has 1…${String(DER_AT_MOST)} bytes, not ${String(der.length)}`);
  const place = new BigUint64Array([ssl.addressOf(der)]);
  const begin = place[0];
  ssl.ERR_clear_error();
  const session = ssl.d2i_SSL_SESSION(null, place, der.length);
  if (session === 0) throw refused('the session cannot be read');
  try {
    if (Number(place[0] - begin) !== der.length)
      throw new TlsError('the session cannot be read: something follows on it');
    return use(session);
  } finally {
    ssl.SSL_SESSION_free(session);
  }
}

const DER_AT_MOST = 64 * 1024;
