/** TLS sessions: what two sides agreed on in one handshake and can resume in another connection. */

import { inspect } from 'node:util';

import { checkOptions, flag } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { certificateOf } from '../certificates/certificate.ts';
import type { Certificate } from '../certificates/certificate.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { refused, TlsError } from '../tls-error.ts';

/** The longest lifetime of a session, in seconds: seven days (RFC 8446, section 4.6.1). */
export const LIFETIME_AT_MOST = 7 * 24 * 3_600;

/** The options of {@link TlsSession.print}. */
export interface PrintOptions {
  /** Whether the text contains the secrets; false by default. */
  readonly secrets?: boolean | undefined;
}

export const PRINT_RULES = { secrets: flag } satisfies Rules<PrintOptions>;

/**
 * A TLS session. It holds the secret that resumes the connection. **Anyone with its bytes can pass for the client that
 * made it, or read what it protected.** So printing or logging it shows no secret; only {@link toDer} and {@link toPem}
 * return it. The session holds its own memory and none of OpenSSL; {@link dispose} wipes that memory.
 */
export class TlsSession {
  #der: Uint8Array;
  /** The contents, read while OpenSSL's object exists: each getter would otherwise have to parse the session again. */
  #facts: Facts | undefined;
  /** The trust scope of the client that made it; unknown when the session was read from its bytes. */
  #scope: Uint8Array | undefined;

  private constructor(der: Uint8Array, facts: Facts | undefined) {
    this.#der = der;
    this.#facts = facts;
  }

  /** Reads a session that {@link toDer} wrote. @throws {TlsError} when `der` is not a session. */
  static fromDer(der: Uint8Array): TlsSession {
    return withSession(der, TlsSession.of);
  }

  /**
   * Reads a session that {@link toPem} or `openssl s_client -sess_out` wrote.
   * @throws {TlsError} when it is not one.
   */
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

  /** @returns a copy of an `SSL_SESSION`, which the caller still frees. @internal */
  static of(this: void, pointer: Pointer): TlsSession {
    const ssl = openssl();
    const length = ssl.i2d_SSL_SESSION_length(pointer, null);
    if (length <= 0) throw refused('the session cannot be written');
    const der = Buffer.allocUnsafeSlow(length);
    ssl.i2d_SSL_SESSION(pointer, new BigUint64Array([ssl.addressOf(der)]));
    return new TlsSession(der, factsOf(pointer));
  }

  /** @returns a copy of this session. The caller disposes of it separately. */
  copy(): TlsSession {
    const copy = new TlsSession(this.toDer(), this.#facts);
    copy.#scope = this.#scope;
    return copy;
  }

  /** Sets the trust scope of the client that made it. @returns this session. @internal */
  madeIn(scope: Uint8Array): this {
    this.#scope = scope;
    return this;
  }

  /**
   * Whether a client of the trust scope `scope` may resume it. True for a session that was read from its bytes: then
   * only the caller knows where it was made.
   * @internal
   */
  isGoodFor(scope: Uint8Array): boolean {
    return this.#scope === undefined || Buffer.compare(this.#scope, scope) === 0;
  }

  /**
   * Passes it as an `SSL_SESSION` to `use`, and frees that afterwards.
   * @throws {TlsError} after {@link dispose}.
   * @internal
   */
  lend<T>(use: (session: Pointer) => T): T {
    if (this.#der.length === 0) throw disposedOf();
    return withSession(this.#der, use);
  }

  /** @returns the session with its secret, in DER; no bytes after {@link dispose}. */
  toDer(): Uint8Array {
    return Uint8Array.from(this.#der);
  }

  /** @returns the session with its secret, in PEM as `openssl s_client -sess_in` takes it. */
  toPem(): string {
    const lines =
      Buffer.from(this.#der)
        .toString('base64')
        .match(/.{1,64}/g) ?? [];
    return ['-----BEGIN SSL SESSION PARAMETERS-----', ...lines, '-----END SSL SESSION PARAMETERS-----', ''].join('\n');
  }

  /** @returns what `openssl sess_id -text` prints, by default without the secrets. */
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
    // The hex dump of the ticket follows on the next lines, indented further.
    return text
      .replace(/^(\s*(?:Master-Key|Resumption PSK|PSK identity hint|SRP username)\s*: ).*$/gm, '$1(hidden)')
      .replace(/^(\s*TLS session ticket:)\n(?:\s+[0-9a-f]{4} - .*\n)+/gm, '$1 (hidden)\n');
  }

  /** The session's id, in hexadecimal. It is not a secret. */
  get id(): string {
    return this.#known.id;
  }

  /** When the session was made. Its timeout counts from then. */
  get time(): Date {
    return new Date(this.#known.time * 1000);
  }

  set time(time: Date) {
    const seconds = Math.floor(time.getTime() / 1000);
    // In DER a time of 0 means no time, and OpenSSL gives the present time to a session that is read without one.
    if (!(seconds >= 1)) throw new RangeError(`a session's time must be after 1 January 1970, not ${String(time)}`);
    this.#change((session) => openssl().SSL_SESSION_set_time(session, seconds));
  }

  /** How long the session can be resumed, in seconds; at most seven days. */
  get timeoutSeconds(): number {
    return this.#known.timeout;
  }

  set timeoutSeconds(seconds: number) {
    this.#change((session) => openssl().SSL_SESSION_set_timeout(session, lifetime(seconds)));
  }

  /** When the session expires: by its own timeout, or by the lifetime of the ticket in it, whichever ends first. */
  get expiresAt(): Date {
    const { time, timeout, hasTicket, hint } = this.#known;
    return new Date((time + Math.min(timeout, hasTicket && hint > 0 ? hint : Infinity)) * 1000);
  }

  /** The name that the client requested, if the session contains it. */
  get serverName(): string | undefined {
    return this.lend((session) => openssl().SSL_SESSION_get0_hostname(session) ?? undefined);
  }

  /** The negotiated application protocol (ALPN). */
  get alpn(): string | undefined {
    return this.lend((session) => {
      const ssl = openssl();
      const [address, length] = [new BigUint64Array(1), new BigUint64Array(1)];
      ssl.SSL_SESSION_get0_alpn_selected(session, address, length);
      return length[0] === 0n ? undefined : Buffer.from(ssl.copyOf(address[0], Number(length[0]))).toString();
    });
  }

  /** The version, such as `'TLSv1.3'`. */
  get protocol(): string {
    const { version } = this.#known;
    return version === 0x301 ? 'TLSv1' : `TLSv1.${String(version - 0x301)}`;
  }

  /** The name of the cipher suite. */
  get cipher(): string | undefined {
    return this.lend((session) => {
      const cipher = openssl().SSL_SESSION_get0_cipher(session);
      return cipher === 0 ? undefined : openssl().SSL_CIPHER_get_name(cipher);
    });
  }

  /** The peer's certificate. A session does not keep the rest of the chain. */
  get peerCertificate(): Certificate | undefined {
    return this.lend((session) => {
      const certificate = openssl().SSL_SESSION_get0_peer(session);
      return certificate === 0 ? undefined : certificateOf(certificate);
    });
  }

  /** Whether it can be resumed at all: under TLS 1.3 it cannot before the server's ticket has arrived. */
  get resumable(): boolean {
    return this.#known.resumable;
  }

  /** Whether it contains a ticket of the server. */
  get hasTicket(): boolean {
    return this.#known.hasTicket;
  }

  /** How long the server will accept its ticket, in seconds; 0 when the server did not say. */
  get ticketLifetimeHint(): number {
    return this.#known.hint;
  }

  /** The session id context, in hexadecimal: the digest by which the server's context recognises its own sessions. */
  get idContext(): string {
    return this.#known.idContext;
  }

  get disposed(): boolean {
    return this.#der.length === 0;
  }

  /** Wipes the session's memory. Idempotent. */
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

  /** @throws {TlsError} when the session was disposed of. */
  get #known(): Facts {
    if (this.#facts === undefined) throw disposedOf();
    return this.#facts;
  }
}

/** The contents of a session that are read at once. Times are in seconds. */
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
    // Bytes from elsewhere may claim more than the allowed lifetime.
    timeout: Math.min(LIFETIME_AT_MOST, ssl.SSL_SESSION_get_timeout(session)),
    // Not SSL_SESSION_is_resumable: OpenSSL marks its object, and those made from it, as used after a resumption. That
    // says nothing about this copy.
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

/** @returns `seconds` in whole seconds, at most seven days. @throws {RangeError} when it is less than a second. */
export function lifetime(seconds: number): number {
  if (!(seconds >= 1)) throw new RangeError(`the lifetime of a session is at least 1 second, not ${String(seconds)}`);
  return Math.min(LIFETIME_AT_MOST, Math.floor(seconds));
}

/** Whether an `SSL_SESSION` has expired. OpenSSL uses the system's clock, in whole seconds. @internal */
export function hasExpired(session: Pointer): boolean {
  const ssl = openssl();
  return ssl.SSL_SESSION_get_time(session) + ssl.SSL_SESSION_get_timeout(session) <= Date.now() / 1000;
}

/** @throws {TlsError} when `der` is not a session, or bytes follow the session. */
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
    if (Number(place[0] - begin) !== der.length) throw new TlsError('the session cannot be read: bytes follow it');
    return use(session);
  } finally {
    ssl.SSL_SESSION_free(session);
  }
}

const DER_AT_MOST = 64 * 1024;
