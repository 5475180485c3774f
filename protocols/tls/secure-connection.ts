/** A connection over TLS. Long because it is a public interface, with its options. */

import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';

import type { TimeSource } from '../../core/clock.ts';
import { ClosedError } from '../../core/errors.ts';
import { OPERATION_RULES } from '../../core/operation.ts';
import type { Operation, OperationOptions } from '../../core/operation.ts';
import { checkArgument, checkOptions, flag, oneOf, partWith } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { Connection } from '../../reactor/connections/connection.ts';
import type { ConnectionBasis } from '../../reactor/connections/connection-basis.ts';
import type { ConnectionStatistics } from '../../reactor/connections/connection-options.ts';
import { guarded } from '../../reactor/guarded.ts';
import { certificateOf, chainOf } from './certificates/certificate.ts';
import type { Certificate } from './certificates/certificate.ts';
import { exportKeyingMaterial, serverEndPoint } from './channel-binding.ts';
import type { ChannelBinding } from './channel-binding.ts';
import * as c from './constants.ts';
import { tlsaMatch } from './dane.ts';
import type { TlsaMatch } from './dane.ts';
import { ownFinished, peerFinished } from './finished.ts';
import type { CertificateFault } from './answers/trust.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import type { Resumption } from './sessions/resumption.ts';
import { TlsSession } from './sessions/session.ts';
import { certified, RehandshakeStep, renegotiated } from './rehandshake.ts';
import { TlsError } from './tls-error.ts';
import type { TlsTransport } from './tls-transport.ts';
import { verifyErrorName } from './certificates/verify-errors.ts';
import type { VerifyErrorName } from './certificates/verify-errors.ts';

/** What the two sides negotiated: the fields of LuaSec's `info()`. */
export interface TlsInfo {
  /** The version, such as `TLSv1.3`. */
  readonly protocol: string;
  /** The name of the cipher suite. */
  readonly cipher: string;
  /** The secret bits of the cipher. */
  readonly bits: number;
  /** The bits that the cipher's algorithm processes. */
  readonly algbits: number;
  /** The key exchange, as `openssl ciphers -v` shows it (`Kx`). */
  readonly key: string;
  /** The authentication, as `openssl ciphers -v` shows it (`Au`). */
  readonly authentication: string;
  /** The encryption, as `openssl ciphers -v` shows it (`Enc`). */
  readonly encryption: string;
  /** The digest, as `openssl ciphers -v` shows it (`Mac`). */
  readonly mac: string;
  /** Always false: export ciphers are not offered. */
  readonly export: false;
  /** Always false: compression is not offered. */
  readonly compression: false;
  /** The application protocol (ALPN), if one was negotiated. */
  readonly alpn: string | undefined;
  /** The name that the client requested (SNI). */
  readonly serverName: string | undefined;
  /** The group of the key exchange, such as `x25519`, if there was one. */
  readonly group: string | undefined;
}

/** The result of verifying the peer's certificates. */
export interface Verification {
  /** Whether the peer has shown a certificate and its verification found no error. */
  readonly ok: boolean;
  /** OpenSSL's name of the result, without `X509_V_ERR_`. It is also `'OK'` when there was no certificate to verify. */
  readonly result: VerifyErrorName | 'OK' | undefined;
  /** All errors that were found and accepted (`dangerouslyAccept`), certificate by certificate. */
  readonly faults: readonly CertificateFault[];
  /** The DNS record that verified the certificate, if one did (DANE). */
  readonly tlsa: TlsaMatch | undefined;
}

/** Statistics of a connection, and how often its keys were renewed. */
export interface SecureStatistics extends ConnectionStatistics {
  /** Completed renegotiations, begun by either side (TLS 1.2). */
  readonly renegotiations: number;
  /** Key updates that `updateKeys` has sent (TLS 1.3). */
  readonly keyUpdates: number;
}

/** The options of `updateKeys`. */
export interface UpdateKeysOptions extends OperationOptions {
  /** Whether the peer must make new keys, too; true by default. */
  readonly peerToo?: boolean | undefined;
}

/** The options of `requestClientCertificate`. */
export interface RequestCertificateOptions extends OperationOptions {
  /** Whether a client without a certificate is accepted; false by default. */
  readonly optional?: boolean | undefined;
}

export const UPDATE_KEYS_RULES = { ...OPERATION_RULES, peerToo: flag } satisfies Rules<UpdateKeysOptions>;
export const REQUEST_CERTIFICATE_RULES = {
  ...OPERATION_RULES,
  optional: flag,
} satisfies Rules<RequestCertificateOptions>;

/** A connection over TLS. Its first send, receive or handshake operation runs the handshake. */
export class SecureConnection extends Connection {
  readonly #tls: TlsTransport;
  #sessions: Subject<TlsSession> | undefined;
  #keyUpdates = 0;

  /** @internal Made by a `TlsContext`. */
  constructor(transport: TlsTransport, basis: ConnectionBasis) {
    super(transport, basis);
    this.#tls = transport;
    transport.listen(this);
  }

  // The listener of the transport. Methods and not a listener object: each connection would hold one more object.

  /** @internal */
  get time(): TimeSource {
    return this.basis.loop;
  }

  /** @internal */
  established(): void {
    this.handshakeIsComplete();
    guarded(() => this.emit('secure'));
  }

  /** @internal */
  keyLogged(line: string): void {
    guarded(() => this.emit('keylog', line));
  }

  /** @internal */
  sessionMade(session: TlsSession): void {
    this.#sessions?.next(session);
  }

  override get encrypted(): boolean {
    return true;
  }

  /** Whether the handshake is complete. */
  get secured(): boolean {
    return this.#tls.established;
  }

  /**
   * What the two sides negotiated: version, cipher, application protocol and more.
   * @throws {ClosedError} before the handshake is complete and after the connection is closed.
   */
  info(): TlsInfo {
    const ssl = openssl();
    const connection = this.#ssl('info');
    const cipher = ssl.SSL_get_current_cipher(connection);
    const algbits = new Int32Array(1);
    const bits = ssl.SSL_CIPHER_get_bits(cipher, algbits);
    const description = ssl.SSL_CIPHER_description(cipher, new Uint8Array(256), 256);
    const part = (name: string): string => new RegExp(`${name}=(\\S+)`).exec(description)?.[1] ?? '';
    return {
      protocol: ssl.SSL_get_version(connection),
      cipher: ssl.SSL_CIPHER_get_name(cipher),
      bits,
      algbits: algbits[0],
      key: part('Kx'),
      authentication: part('Au'),
      encryption: part('Enc'),
      mac: part('Mac'),
      export: false,
      compression: false,
      alpn: this.#alpn(connection),
      serverName: ssl.SSL_get_servername(connection, c.TLSEXT_NAMETYPE_HOST_NAME) ?? undefined,
      group: groupOf(connection),
    };
  }

  /** The certificate that the peer showed; `undefined` when it showed none. @throws {ClosedError} like {@link info}. */
  peerCertificate(): Certificate | undefined {
    const ssl = openssl();
    const certificate = ssl.SSL_get1_peer_certificate(this.#ssl('peerCertificate'));
    if (certificate === 0) return undefined;
    try {
      return certificateOf(certificate);
    } finally {
      ssl.X509_free(certificate);
    }
  }

  /**
   * The peer's certificates, its own first.
   * @param which `'sent'`: as the peer sent them. `'verified'`: as they were verified, up to a trusted one; none when
   * nothing was verified.
   * @throws {ClosedError} like {@link info}.
   */
  peerChain(which: 'sent' | 'verified' = 'sent'): Certificate[] {
    checkArgument('peerChain', 'the argument', which, oneOf('sent', 'verified'));
    const ssl = openssl();
    const connection = this.#ssl('peerChain');
    if (which === 'verified') return chainOf(ssl.SSL_get0_verified_chain(connection));
    const chain = chainOf(ssl.SSL_get_peer_cert_chain(connection));
    // On a server OpenSSL leaves the client's own certificate out of the chain.
    const own = this.#tls.settings.role === 'server' ? this.peerCertificate() : undefined;
    return own === undefined ? chain : [own, ...chain];
  }

  /** The certificate that this side showed, or would show. @throws {ClosedError} like {@link info}. */
  localCertificate(): Certificate | undefined {
    const certificate = openssl().SSL_get_certificate(this.#ssl('localCertificate'));
    return certificate === 0 ? undefined : certificateOf(certificate);
  }

  /** The certificate that this side showed, followed by its chain. @throws {ClosedError} like {@link info}. */
  localChain(): Certificate[] {
    const own = this.localCertificate();
    const address = new BigUint64Array(1);
    openssl().SSL_ctrl_address(this.#ssl('localChain'), c.SSL_CTRL_GET_CHAIN_CERTS, 0, address);
    return own === undefined ? [] : [own, ...chainOf(Number(address[0]))];
  }

  /** The result of verifying the peer's certificates. @throws {ClosedError} like {@link info}. */
  verification(): Verification {
    const ssl = openssl();
    const connection = this.#ssl('verification');
    const result = verifyErrorName(ssl.SSL_get_verify_result(connection));
    const faults = [...this.#tls.answers.trust.faults];
    const isShown =
      this.peerCertificate() !== undefined && (this.#tls.answers.trust.verifyModes & c.SSL_VERIFY_PEER) !== 0;
    return { ok: isShown && result === 'OK' && faults.length === 0, result, faults, tlsa: tlsaMatch(connection) };
  }

  /**
   * The OCSP response of the authority about the server's certificate (the staple), in DER; `undefined` when it was not
   * requested or not sent.
   * @throws {ClosedError} like {@link info}.
   */
  ocspStaple(): Uint8Array | undefined {
    const ssl = openssl();
    const address = new BigUint64Array(1);
    const length = ssl.SSL_ctrl_address(
      this.#ssl('ocspStaple'),
      c.SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP,
      0,
      address,
    );
    return length <= 0 || address[0] === 0n ? undefined : ssl.copyOf(address[0], length);
  }

  /**
   * Derives `length` bytes, 1…8160, from the secrets of the connection (RFC 5705). Only the two peers can derive them.
   * @throws {TlsError} under TLS 1.2 without an extended master secret.
   * @throws {RangeError} when `length` is out of range.
   * @throws {ClosedError} like {@link info}.
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Uint8Array {
    return exportKeyingMaterial(this.#ssl('exportKeyingMaterial'), length, label, context);
  }

  /**
   * The channel binding, which ties a protocol above to this connection: `'tls-exporter'` (RFC 9266) or
   * `'tls-server-end-point'` (RFC 5929).
   * @throws {TlsError} when the connection has none.
   * @throws {ClosedError} like {@link info}.
   */
  channelBinding(type: ChannelBinding): Uint8Array {
    checkArgument('channelBinding', 'the type', type, oneOf('tls-exporter', 'tls-server-end-point'));
    if (type === 'tls-exporter')
      return exportKeyingMaterial(this.#ssl('channelBinding'), 32, 'EXPORTER-Channel-Binding', new Uint8Array(0));
    const certificate = this.#tls.settings.role === 'server' ? this.localCertificate() : this.peerCertificate();
    if (certificate === undefined)
      throw new TlsError('channelBinding refused: the server has shown no certificate', { reason: 'no certificate' });
    return serverEndPoint(certificate);
  }

  // Handshakes in the middle of the connection. Sends and receives continue during them.

  /**
   * Renegotiates (TLS 1.2): makes a new handshake on this connection. It resolves when that is complete; the peer must
   * be receiving. A peer that refuses fails the connection. Data that arrive during the handshake are buffered for the
   * next receive; when more than `maxAheadBytes` (1 MiB by default) are, the operation fails with a `BoundsError`.
   */
  renegotiate(options: OperationOptions = {}): Operation<void> {
    checkOptions('renegotiate', options, OPERATION_RULES);
    const tls = this.#tls;
    return this.runLikeHandshake(
      new RehandshakeStep(
        'renegotiate',
        tls,
        tls.rehandshake,
        () => {
          tls.rehandshake.renegotiate();
        },
        renegotiated,
      ),
      options,
    );
  }

  /** Makes new keys (TLS 1.3) for this side, or for both. It resolves when the message is sent. */
  updateKeys(options: UpdateKeysOptions = {}): Operation<void> {
    checkOptions('updateKeys', options, UPDATE_KEYS_RULES);
    const { peerToo = true } = options;
    const tls = this.#tls;
    return this.runLikeHandshake(
      new RehandshakeStep(
        'updateKeys',
        tls,
        tls.rehandshake,
        () => {
          tls.rehandshake.updateKeys(peerToo);
          this.#keyUpdates++;
        },
        () => true,
      ),
      options,
    );
  }

  /**
   * Requests the client's certificate now: under TLS 1.3 by post-handshake authentication, which the client must have
   * offered, under TLS 1.2 by a renegotiation. It resolves when the client has answered; the client must be receiving.
   * The connection fails when the client shows no certificate or an untrusted one. With `optional`, showing none is
   * accepted.
   * @throws {TypeError} when the context has no `ca`, or is a client's.
   */
  requestClientCertificate(options: RequestCertificateOptions = {}): Operation<void> {
    checkOptions('requestClientCertificate', options, REQUEST_CERTIFICATE_RULES);
    const { optional = false } = options;
    const tls = this.#tls;
    const { settings } = tls;
    if (settings.role !== 'server') throw new TypeError('requestClientCertificate is for servers');
    if (!settings.trusts)
      throw new TypeError(
        'requestClientCertificate needs a context with `ca`: the authorities that verify the certificate',
      );
    const modes = c.SSL_VERIFY_PEER | (optional ? 0 : c.SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    return this.runLikeHandshake(
      new RehandshakeStep(
        'requestClientCertificate',
        tls,
        tls.rehandshake,
        () => {
          tls.rehandshake.requestCertificate(modes);
        },
        certified,
      ),
      options,
    );
  }

  // Sessions.

  /** Whether the handshake resumed a session, or why it did not. `'off'` before the handshake. */
  get resumption(): Resumption {
    return this.#tls.answers.sessions.resumption;
  }

  /** Whether the handshake resumed a session. */
  get reused(): boolean {
    return this.resumption === 'resumed';
  }

  /**
   * Emits each session that another connection can resume. TLS 1.3 makes several, and only after the handshake. A
   * client whose `sessions` are `'off'` emits none; a server emits only stateful ones. It completes when the connection
   * is closed.
   */
  get session$(): Observable<TlsSession> {
    if (this.#sessions === undefined) {
      const sessions = (this.#sessions = new Subject<TlsSession>());
      if (this.closed) sessions.complete();
      else
        this.once('close', () => {
          sessions.complete();
        });
    }
    return this.#sessions.asObservable();
  }

  /**
   * The present session, as a copy. A session of TLS 1.3 cannot be resumed before a ticket has arrived.
   * @throws {ClosedError} like {@link info}.
   */
  get session(): TlsSession | undefined {
    const session = openssl().SSL_get_session(this.#ssl('session'));
    if (session === 0) return undefined;
    const { role, trustScope } = this.#tls.settings;
    return role === 'client' ? TlsSession.of(session).madeIn(trustScope) : TlsSession.of(session);
  }

  /**
   * Before the handshake: takes over the session of another connection, with its certificate and key. If the contexts
   * of the two have different trust settings, the session is not offered: the handshake is a full one and `resumption`
   * is `'scope'`.
   * @throws {TlsError} when OpenSSL refuses the session.
   * @throws {ClosedError} when either connection is closed, or this one's handshake has begun.
   */
  copySessionFrom(other: SecureConnection): void {
    checkArgument('copySessionFrom', 'the argument', other, partWith('a SecureConnection', 'info', 'peerChain'));
    if (this.secured || this.closed)
      throw new ClosedError(
        `copySessionFrom refused: ${this.closed ? 'the connection is closed' : 'the handshake is complete'}`,
      );
    other.#ssl('copySessionFrom');
    this.#tls.copySession(other.#tls);
  }

  override get statistics(): SecureStatistics {
    return {
      ...super.statistics,
      renegotiations: this.#tls.answers.progress.renegotiations,
      keyUpdates: this.#keyUpdates,
    };
  }

  /**
   * The Finished messages of the last handshake: the one that this side sent, and the one that the peer sent. The peer
   * has the same two, in reverse, unless an attacker sits between the two sides.
   * @throws {ClosedError} like {@link info}.
   */
  finished(): { readonly local: Uint8Array; readonly remote: Uint8Array } {
    const connection = this.#ssl('finished');
    return { local: ownFinished(connection), remote: peerFinished(connection) };
  }

  #alpn(connection: Pointer): string | undefined {
    const ssl = openssl();
    const address = new BigUint64Array(1);
    const length = new Uint32Array(1);
    ssl.SSL_get0_alpn_selected(connection, address, length);
    return length[0] === 0 ? undefined : Buffer.from(ssl.copyOf(address[0], length[0])).toString();
  }

  #ssl(what: string): Pointer {
    if (!this.#tls.established || this.#tls.ssl === 0)
      throw new ClosedError(
        `${what} refused: ${this.closed ? 'the connection is closed' : 'the handshake is not complete'}`,
      );
    return this.#tls.ssl;
  }
}

function groupOf(connection: Pointer): string | undefined {
  const ssl = openssl();
  const id = ssl.SSL_ctrl(connection, c.SSL_CTRL_GET_NEGOTIATED_GROUP, 0, 0);
  return id === 0 ? undefined : (ssl.SSL_group_to_name(connection, id) ?? undefined);
}
