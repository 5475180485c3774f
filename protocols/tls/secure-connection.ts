/** A connection over TLS. */

import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';

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
import { RehandshakeStep } from './rehandshake.ts';
import { TlsError } from './tls-error.ts';
import type { TlsTransport } from './tls-transport.ts';
import { verifyErrorName } from './certificates/verify-errors.ts';
import type { VerifyErrorName } from './certificates/verify-errors.ts';

/** What was agreed on: the fields of LuaSec's `info()`. */
export interface TlsInfo {
  /** Such as `TLSv1.3`. */
  readonly protocol: string;
  /** The name of the cipher suite. */
  readonly cipher: string;
  /** The secret bits of the cipher, and the bits that its algorithm processes. */
  readonly bits: number;
  readonly algbits: number;
  /** Key exchange, authentication, encryption and digest, as `openssl ciphers -v` has them. */
  readonly key: string;
  readonly authentication: string;
  readonly encryption: string;
  readonly mac: string;
  /** Always false: export ciphers and compression are not offered. */
  readonly export: false;
  readonly compression: false;
  /** The application protocol, when one was agreed on. */
  readonly alpn: string | undefined;
  /** The name that the client asked for. */
  readonly serverName: string | undefined;
  /** The group of the key exchange, such as `x25519`, when there was one. */
  readonly group: string | undefined;
}

/** What came of looking at the peer's certificates. */
export interface Verification {
  /** Whether the peer has shown a certificate in which nothing was found wrong. */
  readonly ok: boolean;
  /** OpenSSL's name for the result, without `X509_V_ERR_`; `'OK'` also when there was no certificate to look at. */
  readonly result: VerifyErrorName | 'OK' | undefined;
  /** Everything that was found wrong and accepted all the same (`dangerouslyAccept`), certificate by certificate. */
  readonly faults: readonly CertificateFault[];
  /** The DNS record that proved the certificate, where one did (DANE). */
  readonly tlsa: TlsaMatch | undefined;
}

/** How much went through a secure connection, for how long, and how often it was refreshed. */
export interface SecureStatistics extends ConnectionStatistics {
  /** Complete renegotiations of either side (TLS 1.2). */
  readonly renegotiations: number;
  /** Key updates that this side has sent by `updateKeys` (TLS 1.3). */
  readonly keyUpdates: number;
}

/** What `updateKeys` takes. */
export interface UpdateKeysOptions extends OperationOptions {
  /** Whether the peer shall make new keys too; true unless given. */
  readonly peerToo?: boolean | undefined;
}

/** What `requestClientCertificate` takes. */
export interface RequestCertificateOptions extends OperationOptions {
  /** Whether a client without a certificate may stay; false unless given. */
  readonly optional?: boolean | undefined;
}

export const UPDATE_KEYS_RULES = { ...OPERATION_RULES, peerToo: flag } satisfies Rules<UpdateKeysOptions>;
export const REQUEST_CERTIFICATE_RULES = {
  ...OPERATION_RULES,
  optional: flag,
} satisfies Rules<RequestCertificateOptions>;

/** TLS over a connection. The first send, receive or handshake runs the handshake. */
export class SecureConnection extends Connection {
  readonly #tls: TlsTransport;
  #sessions: Subject<TlsSession> | undefined;
  #keyUpdates = 0;

  /** @internal Made by a `TlsContext`. */
  constructor(transport: TlsTransport, basis: ConnectionBasis) {
    super(transport, basis);
    this.#tls = transport;
    transport.listen({
      established: () => {
        this.handshakeIsComplete();
        guarded(() => this.emit('secure'));
      },
      keyLogged: (line) => {
        guarded(() => this.emit('keylog', line));
      },
      sessionMade: (session) => {
        this.#sessions?.next(session);
      },
      time: basis.loop,
    });
  }

  override get encrypted(): boolean {
    return true;
  }

  /** Whether the handshake is complete. */
  get secured(): boolean {
    return this.#tls.established;
  }

  /** What was agreed on. @throws {ClosedError} before the handshake is complete and after the connection is closed. */
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
   * The peer's certificates, its own first: as it sent them, or as they were verified, up to a trusted one (none when
   * nothing was verified). @throws {ClosedError} like {@link info}.
   */
  peerChain(which: 'sent' | 'verified' = 'sent'): Certificate[] {
    checkArgument('peerChain', 'the argument', which, oneOf('sent', 'verified'));
    const ssl = openssl();
    const connection = this.#ssl('peerChain');
    if (which === 'verified') return chainOf(ssl.SSL_get0_verified_chain(connection));
    const chain = chainOf(ssl.SSL_get_peer_cert_chain(connection));
    // OpenSSL leaves the client's own certificate out of what a server gets.
    const own = this.#tls.settings.role === 'server' ? this.peerCertificate() : undefined;
    return own === undefined ? chain : [own, ...chain];
  }

  /** The certificate that this side showed, or would show. @throws {ClosedError} like {@link info}. */
  localCertificate(): Certificate | undefined {
    const certificate = openssl().SSL_get_certificate(this.#ssl('localCertificate'));
    return certificate === 0 ? undefined : certificateOf(certificate);
  }

  /** The same with its chain, the own one first. @throws {ClosedError} like {@link info}. */
  localChain(): Certificate[] {
    const own = this.localCertificate();
    const address = new BigUint64Array(1);
    openssl().SSL_ctrl_address(this.#ssl('localChain'), c.SSL_CTRL_GET_CHAIN_CERTS, 0, address);
    return own === undefined ? [] : [own, ...chainOf(Number(address[0]))];
  }

  /** What came of looking at the peer's certificates. @throws {ClosedError} like {@link info}. */
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
   * What the server's authority says about its certificate (OCSP, in DER), where it was asked for and came.
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
   * Derives `length` bytes from the secrets of the connection, which the peer can derive too and nobody else (RFC
   * 5705).
   * @throws {TlsError | RangeError} when the connection or the length is not fit for it.
   * @throws {ClosedError} like {@link info}.
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Uint8Array {
    return exportKeyingMaterial(this.#ssl('exportKeyingMaterial'), length, label, context);
  }

  /**
   * What ties a protocol above to this connection: `'tls-exporter'` (RFC 9266) or `'tls-server-end-point'` (RFC 5929).
   * @throws {TlsError} when the connection has none. @throws {ClosedError} like {@link info}.
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

  // Handshakes in the middle of the connection. Sends and receives go on meanwhile.

  /**
   * Shakes hands anew (TLS 1.2); settles when the new handshake is complete, for which the peer must be receiving. One
   * that refuses ends the connection. Data that come meanwhile wait to be received; when more than a MiB does, it fails
   * with a `BoundsError`.
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
        tls.rehandshake.hasRenegotiated,
      ),
      options,
    );
  }

  /** Makes new keys (TLS 1.3), for this side or both; settles when that is said. */
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
   * Demands the client's certificate now: by post-handshake authentication under TLS 1.3, which the client must have
   * offered, by a renegotiation under TLS 1.2. Settles when the client has answered, which it can only when it is
   * receiving. Without a certificate that is trusted the connection ends, unless `optional` is set and the client shows
   * none.
   * @throws {TypeError} when the context has no `ca` to verify it by, or is a client's.
   */
  requestClientCertificate(options: RequestCertificateOptions = {}): Operation<void> {
    checkOptions('requestClientCertificate', options, REQUEST_CERTIFICATE_RULES);
    const { optional = false } = options;
    const tls = this.#tls;
    const { settings } = tls;
    if (settings.role !== 'server') throw new TypeError('requestClientCertificate is for servers');
    if (!settings.trusts)
      throw new TypeError(
        'requestClientCertificate needs a context with `ca`: the authorities to verify the certificate by',
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
        tls.rehandshake.hasCertificate,
      ),
      options,
    );
  }

  // Sessions.

  /** Whether the handshake went on with a session, or why it did not. `'off'` before the handshake. */
  get resumption(): Resumption {
    return this.#tls.answers.sessions.resumption;
  }

  /** Whether the handshake went on with a session. */
  get reused(): boolean {
    return this.resumption === 'resumed';
  }

  /**
   * Each session that another connection can go on with, as it comes: with TLS 1.3 several, and later than the
   * handshake. A client whose `sessions` are `'off'` is told of none, and a server of stateful ones only. It completes
   * when the connection is closed.
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
   * The present session. One of TLS 1.3 cannot be gone on with before a ticket has come.
   * @throws {ClosedError} like {@link info}.
   */
  get session(): TlsSession | undefined {
    const session = openssl().SSL_get_session(this.#ssl('session'));
    if (session === 0) return undefined;
    const { role, trustScope } = this.#tls.settings;
    return role === 'client' ? TlsSession.of(session).madeIn(trustScope) : TlsSession.of(session);
  }

  /**
   * Takes over the session of another connection, with its certificate and key, before the handshake. One whose context
   * trusted others than this one's is left alone: the handshake is a full one then, and `resumption` is `'scope'`.
   * @throws {TlsError} when OpenSSL refuses. @throws {ClosedError} when either is closed or this handshake is complete.
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
   * The Finished messages of the handshake: what this side sent, and what the peer sent. Each is the other's on the
   * other side, unless somebody sits in between. @throws {ClosedError} like {@link info}.
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
