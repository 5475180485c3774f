/** What TLS connections have in common: certificates, trust, versions, ciphers. */

import { ClosedError } from '../../core/errors.ts';
import type { LayerOptions, TransportLayer } from '../../core/transport-layer.ts';
import type { Transport } from '../../core/transport.ts';
import type { ConnectionBasis } from '../../reactor/connection.ts';
import { AlpnSelection, encodeProtocols } from './alpn.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { readPem, withCertificates, withPrivateKey } from './pem.ts';
import type { PemSource } from './pem.ts';
import { SecureConnection } from './secure-connection.ts';
import { refused } from './tls-error.ts';
import { TlsTransport } from './tls-transport.ts';
import { bundledRoots, storeOf } from './trust.ts';

/** A version of TLS. Those before 1.2 are refused by the security level. */
export type TlsVersion = keyof typeof c.VERSIONS;

/**
 * How the peer's certificate is treated. `'peer'`: a client demands one that it trusts; a server asks for one, and checks
 * it if it comes. `'fail_if_no_peer_cert'`: a server demands one. `'client_once'`: a server asks only in the first handshake.
 * `'none'`: a server asks for none, and **a client accepts anyone**, so that whoever sits on the path can read and change
 * everything.
 */
export type VerifyMode = 'none' | 'peer' | 'client_once' | 'fail_if_no_peer_cert';

/** What clients and servers have in common. */
export interface TlsOptions {
  /** The certificate and its chain, the own one first, in PEM. Servers need one. */
  readonly certificate?: PemSource | undefined;
  /** The private key of the certificate, in PEM. */
  readonly key?: PemSource | undefined;
  /** The password of the key. */
  readonly password?: string | undefined;
  /** The authorities to trust instead of those that Node.js bundles, in PEM. */
  readonly ca?: PemSource | undefined;
  /** `'peer'` for clients, `'none'` for servers, unless given. */
  readonly verify?: VerifyMode | readonly VerifyMode[] | undefined;
  /** How many authorities may stand between the peer's certificate and a trusted one; 9 by default. */
  readonly depth?: number | undefined;
  /** The lowest and highest version; 1.2 and 1.3 by default. */
  readonly protocols?: { readonly min?: TlsVersion; readonly max?: TlsVersion } | undefined;
  /** Cipher list for TLS 1.2, in OpenSSL's notation; ECDHE with AEAD by default. */
  readonly ciphers?: string | undefined;
  /** Cipher suites of TLS 1.3, with colons between them. */
  readonly ciphersuites?: string | undefined;
  /** Groups for the key exchange, with colons between them; `X25519:P-256:P-384` by default. */
  readonly groups?: string | undefined;
  /** Application protocols, the preferred one first. A server that shares none with its client ends the handshake. */
  readonly alpn?: readonly string[] | undefined;
}

/** What clients may say besides. */
export interface TlsClientOptions extends TlsOptions {
  /** Whether the certificate must be that of the server's name; true by default. **Without it any trusted certificate of anybody will do.** */
  readonly verifyName?: boolean | undefined;
}

/** A TLS context: made once, shared by many connections, unchangeable. Closing it leaves its connections as they are. */
export class TlsContext implements TransportLayer<SecureConnection, ConnectionBasis> {
  readonly role: 'client' | 'server';
  readonly #verifyName: boolean;
  readonly #verifies: boolean;
  readonly #alpn: AlpnSelection | undefined;
  #context: Pointer;
  #users = 0;

  /**
   * A context for accepting. It asks for no client certificate unless `verify` says so.
   * @throws {FileError} when a file cannot be read.
   * @throws {TlsError} when OpenSSL refuses a parameter, with its reason.
   */
  static async server(options: TlsOptions & Required<Pick<TlsOptions, 'certificate' | 'key'>>): Promise<TlsContext> {
    return TlsContext.#make('server', options);
  }

  /**
   * A context for connecting. The peer must show a certificate that is trusted and is that of the server's name.
   * @throws {FileError} when a file cannot be read.
   * @throws {TlsError} when OpenSSL refuses a parameter, with its reason.
   */
  static async client(options: TlsClientOptions = {}): Promise<TlsContext> {
    return TlsContext.#make('client', options);
  }

  static async #make(role: 'client' | 'server', options: TlsClientOptions): Promise<TlsContext> {
    const [certificate, key, ca] = await Promise.all([
      options.certificate && readPem(options.certificate, 'certificate'),
      options.key && readPem(options.key, 'private key'),
      options.ca && readPem(options.ca, 'CA certificates'),
    ]);
    return new TlsContext(role, options, { certificate, key, ca });
  }

  private constructor(role: 'client' | 'server', options: TlsClientOptions, pem: { certificate?: Uint8Array; key?: Uint8Array; ca?: Uint8Array }) {
    const ssl = openssl();
    this.role = role;
    this.#verifyName = options.verifyName ?? true;
    this.#context = ssl.SSL_CTX_new(ssl.TLS_method());
    if (this.#context === 0) throw refused('no TLS context');
    try {
      const modes = this.#configure(options);
      this.#verifies = (modes & c.SSL_VERIFY_PEER) !== 0;
      if (pem.certificate !== undefined) this.#useCertificate(pem.certificate);
      if (pem.key !== undefined) this.#useKey(pem.key, options.password);
      if (this.#verifies) this.#trust(pem.ca);
      this.#alpn = options.alpn === undefined ? undefined : this.#offer(options.alpn);
    } catch (error) {
      ssl.SSL_CTX_free(this.#context);
      throw error;
    }
    abandoned.register(this, { context: this.#context, alpn: this.#alpn }, this);
  }

  /** @internal */
  transport(below: Transport, options: LayerOptions): TlsTransport {
    if (this.#context === 0) throw new ClosedError('handshake refused: the TLS context is closed');
    if (options.role !== this.role) throw new TypeError(`a context made for a ${this.role} cannot ${options.role === 'server' ? 'accept' : 'connect'}`);
    const checksName = this.role === 'client' && this.#verifies && this.#verifyName;
    if (checksName && (options.serverName === undefined || options.serverName === '')) {
      throw new TypeError('a TLS client needs the serverName that the certificate must be for');
    }
    const transport = new TlsTransport(below, this.#context, { role: this.role, serverName: options.serverName, checksName, freed: this.#freed });
    this.#users++;
    return transport;
  }

  /** @internal */
  connection(transport: Transport, basis: ConnectionBasis): SecureConnection {
    if (!(transport instanceof TlsTransport)) throw new TypeError('a secure connection needs the transport that its context has made');
    return new SecureConnection(transport, basis);
  }

  /** Gives the context back; connections that use it go on. */
  close(): void {
    if (this.#context === 0) return;
    openssl().SSL_CTX_free(this.#context);
    this.#context = 0;
    if (this.#users === 0) this.#alpn?.close();
    abandoned.unregister(this);
  }

  /** The last connection that outlives the context takes with it what OpenSSL's callbacks look up. */
  readonly #freed = (): void => {
    if (--this.#users === 0 && this.#context === 0) this.#alpn?.close();
  };

  [Symbol.dispose](): void {
    this.close();
  }

  #configure(options: TlsOptions): number {
    const ssl = openssl();
    const context = this.#context;
    const check = (result: number, what: string): void => {
      if (result <= 0) throw refused(what);
    };
    const { min = 'TLSv1.2', max = 'TLSv1.3' } = options.protocols ?? {};
    assertKnown(c.VERSIONS, [min, max], 'protocols');
    check(ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_SET_MIN_PROTO_VERSION, c.VERSIONS[min], 0), `protocols.min ${min}`);
    check(ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_SET_MAX_PROTO_VERSION, c.VERSIONS[max], 0), `protocols.max ${max}`);
    // A session that is resumed skips the checks that made it: without a scope to compare there is no resumption.
    ssl.SSL_CTX_set_options(context, c.SSL_OP_NO_COMPRESSION | c.SSL_OP_NO_RENEGOTIATION | c.SSL_OP_CIPHER_SERVER_PREFERENCE | c.SSL_OP_NO_TICKET);
    ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_SET_SESS_CACHE_MODE, c.SSL_SESS_CACHE_OFF, 0);
    ssl.SSL_CTX_set_num_tickets(context, 0);
    ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_CLEAR_MODE, c.SSL_MODE_ENABLE_PARTIAL_WRITE, 0);
    ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_MODE, c.SSL_MODE_AUTO_RETRY | c.SSL_MODE_RELEASE_BUFFERS | c.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, 0);
    ssl.SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    const { ciphers = CIPHERS, ciphersuites = CIPHERSUITES, groups = GROUPS } = options;
    check(ssl.SSL_CTX_set_cipher_list(context, ciphers), `ciphers "${ciphers}" select nothing`);
    check(ssl.SSL_CTX_set_ciphersuites(context, ciphersuites), `ciphersuites "${ciphersuites}" are not valid`);
    check(ssl.SSL_CTX_ctrl_text(context, c.SSL_CTRL_SET_GROUPS_LIST, 0, groups), `groups "${groups}" are not valid`);
    const words = [options.verify ?? (this.role === 'client' ? 'peer' : 'none')].flat();
    assertKnown(VERIFY_MODES, words, 'verify');
    const modes = words.reduce((bits, mode) => bits | VERIFY_MODES[mode], 0);
    ssl.SSL_CTX_set_verify(context, modes, null);
    ssl.SSL_CTX_set_verify_depth(context, options.depth ?? DEPTH);
    return modes;
  }

  #useCertificate(pem: Uint8Array): void {
    const ssl = openssl();
    withCertificates(pem, 'certificate', ([own, ...chain]) => {
      if (ssl.SSL_CTX_use_certificate(this.#context, own) <= 0) throw refused('the certificate cannot be used');
      for (const issuer of chain) if (ssl.SSL_CTX_ctrl(this.#context, c.SSL_CTRL_CHAIN_CERT, 1, issuer) <= 0) throw refused('the certificate chain cannot be used');
    });
  }

  #useKey(pem: Uint8Array, password: string | undefined): void {
    const ssl = openssl();
    withPrivateKey(pem, password, (key) => {
      if (ssl.SSL_CTX_use_PrivateKey(this.#context, key) <= 0) throw refused('the private key cannot be used');
    });
    if (ssl.SSL_CTX_check_private_key(this.#context) <= 0) throw refused('the private key does not belong to the certificate');
  }

  #trust(ca: Uint8Array | undefined): void {
    const ssl = openssl();
    if (ca === undefined) {
      ssl.SSL_CTX_set1_cert_store(this.#context, bundledRoots());
      return;
    }
    const store = storeOf(ca, 'CA file');
    ssl.SSL_CTX_set1_cert_store(this.#context, store);
    ssl.X509_STORE_free(store);
    if (this.role === 'server') withCertificates(ca, 'CA file', (certificates) => {
      for (const certificate of certificates) ssl.SSL_CTX_add_client_CA(this.#context, certificate);
    });
  }

  #offer(names: readonly string[]): AlpnSelection | undefined {
    if (this.role === 'server') return new AlpnSelection(this.#context, names);
    const encoded = encodeProtocols(names);
    // This one function of its family returns 0 for success.
    if (openssl().SSL_CTX_set_alpn_protos(this.#context, encoded, encoded.length) !== 0) throw refused('alpn');
    return undefined;
  }
}

/** Options may come from where no compiler looks, and a word that is not known must not mean "no verification". @throws {RangeError} */
function assertKnown(table: object, words: readonly string[], option: string): void {
  for (const word of words) if (!Object.hasOwn(table, word)) throw new RangeError(`${option} knows ${Object.keys(table).join(', ')}, not ${word}`);
}

// A context that nobody closed is freed when nobody can use it any more.
const abandoned = new FinalizationRegistry<{ context: Pointer; alpn: AlpnSelection | undefined }>(({ context, alpn }) => {
  openssl().SSL_CTX_free(context);
  alpn?.close();
});

const VERIFY_MODES: Record<VerifyMode, number> = {
  none: c.SSL_VERIFY_NONE,
  peer: c.SSL_VERIFY_PEER,
  client_once: c.SSL_VERIFY_PEER | c.SSL_VERIFY_CLIENT_ONCE,
  fail_if_no_peer_cert: c.SSL_VERIFY_PEER | c.SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
};
// 112 bits of security: no RSA below 2048 bits, no SHA-1 signatures (SSL_CTX_set_security_level(3)).
const SECURITY_LEVEL = 2;
const DEPTH = 9;
// Versions of Node.js differ in their defaults; these are set for all of them.
const CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20';
const CIPHERSUITES = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
const GROUPS = 'X25519:P-256:P-384';
