/** A connection over TLS. */

import type { X509Certificate } from 'node:crypto';

import { ClosedError } from '../../core/errors.ts';
import { Connection } from '../../reactor/connection.ts';
import { guarded } from '../../reactor/guarded.ts';
import type { ConnectionBasis } from '../../reactor/connection.ts';
import { certificateOf } from './certificate.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import type { TlsTransport } from './tls-transport.ts';

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
}

/** TLS over a connection. The first send, receive or handshake runs the handshake. */
export class SecureConnection extends Connection {
  readonly #tls: TlsTransport;

  /** @internal Made by a `TlsContext`. */
  constructor(transport: TlsTransport, basis: ConnectionBasis) {
    super(transport, basis);
    this.#tls = transport;
    transport.onEstablished(() => {
      guarded(() => this.emit('secure'));
    });
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
    };
  }

  /** The certificate that the peer showed; `undefined` when it showed none. @throws {ClosedError} like {@link info}. */
  peerCertificate(): X509Certificate | undefined {
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
   * The Finished messages of the handshake: what this side sent, and what the peer sent. Each is the other's on the other side,
   * unless somebody sits in between. @throws {ClosedError} like {@link info}.
   */
  finished(): { readonly local: Uint8Array; readonly remote: Uint8Array } {
    const ssl = openssl();
    const connection = this.#ssl('finished');
    const [local, remote] = [new Uint8Array(FINISHED_AT_MOST), new Uint8Array(FINISHED_AT_MOST)];
    return {
      local: local.slice(0, ssl.SSL_get_finished(connection, local, local.length)),
      remote: remote.slice(0, ssl.SSL_get_peer_finished(connection, remote, remote.length)),
    };
  }

  #alpn(connection: Pointer): string | undefined {
    const ssl = openssl();
    const address = new BigUint64Array(1);
    const length = new Uint32Array(1);
    ssl.SSL_get0_alpn_selected(connection, address, length);
    return length[0] === 0 ? undefined : Buffer.from(ssl.copyOf(address[0], length[0])).toString();
  }

  #ssl(what: string): Pointer {
    if (!this.#tls.established || this.#tls.ssl === 0) throw new ClosedError(`${what} refused: ${this.closed ? 'the connection is closed' : 'the handshake is not complete'}`);
    return this.#tls.ssl;
  }
}

// EVP_MAX_MD_SIZE: the digest of the handshake is no longer than that.
const FINISHED_AT_MOST = 64;
