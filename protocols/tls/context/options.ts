/** The options of TLS contexts and of single TLS connections. */

import type * as c from '../constants.ts';
import type { ApplicationProtocolChooser } from '../alpn.ts';
import type { PeerExpectation } from '../certificates/check-peer.ts';
import type { TlsaRecord } from '../dane.ts';
import type { KeyLog } from '../key-log.ts';
import type { DangerousOptionName, TlsOptionName } from './option-names.ts';
import type { PemSource } from '../certificates/pem.ts';
import type { PskClient, PskServer } from '../psk.ts';
import type { ClientSessions } from '../sessions/client-sessions.ts';
import type { ResumptionPolicy } from '../sessions/resumption.ts';
import type { Chooser, SettingsOwner } from './settings.ts';
import type { InternalCacheOptions } from '../sessions/internal-cache.ts';
import type { TlsSession } from '../sessions/session.ts';
import type { SessionStore } from '../../stores/store.ts';
import type { TicketKeys } from '../sessions/ticket-keys.ts';
import type { CaSource } from '../certificates/trust.ts';
import type { VerifyErrorName } from '../certificates/verify-errors.ts';

/** A version of TLS. Versions before 1.2 are insecure and also need `dangerouslyLowerSecurityLevel: 0`. */
export type TlsVersion = keyof typeof c.VERSIONS;

/**
 * How a server treats the certificates of its clients. `'none'`: it requests none. `'peer'`: it requests one, and
 * verifies it if the client sends one. `'fail_if_no_peer_cert'`: it requires one. `'client_once'`: it requests one in
 * the first handshake only.
 */
export type VerifyMode = 'none' | 'peer' | 'client_once' | 'fail_if_no_peer_cert';

/** How many bits of security keys, signatures and ciphers must have: level **2: 112**, 3: 128, 4: 192, 5: 256. */
export type SecurityLevel = 2 | 3 | 4 | 5;

/** A certificate with its key. */
export interface Identity {
  /** The certificate, followed by its chain, in PEM. */
  readonly certificate: PemSource;
  /** The private key of the certificate, in PEM. */
  readonly key: PemSource;
  /** The password of the key, or a function that returns it. */
  readonly password?: string | (() => string | Promise<string>) | undefined;
}

/** The options that clients and servers share. */
export interface TlsOptions extends Partial<Identity> {
  /**
   * More certificates, each with another kind of key, such as RSA in addition to ECDSA. The peer's preference decides
   * which one is presented.
   */
  readonly identities?: readonly Identity[] | undefined;
  /**
   * The authorities to trust. Clients trust those that Node.js bundles by default. A server that verifies its clients
   * has no default: it must give `ca`.
   */
  readonly ca?: CaSource | readonly CaSource[] | undefined;
  /** Lists of revoked certificates, in PEM. */
  readonly crls?: PemSource | readonly PemSource[] | undefined;
  /**
   * Which certificates a list in `crls` must cover: the peer's own, or its whole chain. By default `'leaf'` when `crls`
   * are given, otherwise none.
   */
  readonly crlCheck?: 'leaf' | 'chain' | undefined;
  /** How many intermediate authorities there may be between the peer's certificate and a trusted one; 9 by default. */
  readonly depth?: number | undefined;
  /**
   * Accepts certificates that were issued for another purpose, such as a client's certificate from a server. **Weakens
   * the check.**
   */
  readonly dangerouslyIgnorePurpose?: boolean | undefined;
  /**
   * The names of the verification errors to accept. `'all'` accepts every error and **authenticates nobody**. The
   * connection's `verification()` lists the errors that were found. LuaSec's `lsec_continue` is `'all'`.
   */
  readonly dangerouslyAccept?: 'all' | readonly VerifyErrorName[] | undefined;
  /** Who the peer must be: the name or the pinned digest of its certificate. Checked after the handshake. */
  readonly expect?: PeerExpectation | undefined;
  /** The lowest and the highest version; 1.2 and 1.3 by default. */
  readonly protocols?: { readonly min?: TlsVersion; readonly max?: TlsVersion } | undefined;
  /** Options of OpenSSL to set, in addition to those that are always set. */
  readonly options?: readonly TlsOptionName[] | undefined;
  /** Options of OpenSSL that give up a protection; see {@link DangerousOptionName}. */
  readonly dangerouslyEnable?: readonly DangerousOptionName[] | undefined;
  /**
   * The cipher list for TLS 1.2 and before, in OpenSSL's notation; ECDHE with AEAD by default. The security level still
   * applies. Ciphers without ephemeral keys have **no forward secrecy**. A list that selects no cipher is an error.
   */
  readonly ciphers?: string | undefined;
  /** The cipher suites of TLS 1.3, separated by colons. A list that selects no suite is an error. */
  readonly ciphersuites?: string | undefined;
  /** The groups (curves) for the key exchange, separated by colons; `X25519:P-256:P-384` by default. */
  readonly groups?: string | undefined;
  /**
   * The signature algorithms, separated by colons, in OpenSSL's notation; by default all that the security level
   * allows.
   */
  readonly signatureAlgorithms?: string | undefined;
  /**
   * The parameters for ephemeral DH in PEM, or `'auto'` for parameters that match the strength of the certificate's
   * key. `'auto'` by default. They are used only when `ciphers` contains DHE.
   */
  readonly dhParameters?: PemSource | 'auto' | undefined;
  /** The lowest security level; 2 by default. */
  readonly minimumSecurityLevel?: SecurityLevel | undefined;
  /** Level 1 requires 80 bits, level 0 none: both **admit keys, digests and ciphers that can be broken**. */
  readonly dangerouslyLowerSecurityLevel?: 0 | 1 | undefined;
  /**
   * How many renegotiations the peer may begin in one connection under TLS 1.2; 0 by default. One more fails the
   * connection.
   */
  readonly allowPeerRenegotiations?: number | undefined;
  /**
   * Names the scope of sessions, in place of the names in the certificate. Set the same text on servers that share
   * sessions although their certificates have different names.
   */
  readonly sessionScope?: string | undefined;
  /** How long new sessions can be resumed, in seconds: 7,200 (two hours) by default, at most 604,800 (seven days). */
  readonly sessionTimeoutSeconds?: number | undefined;
  /** OpenSSL's internal session cache. By default it is on for stateful servers without a store, otherwise off. */
  readonly sessionCache?: InternalCacheOptions | undefined;
  /**
   * Where to log the secrets of connections, for decrypting captures. **Anyone with these secrets can read
   * everything.** Nowhere by default.
   */
  readonly dangerouslyLogKeys?: KeyLog | undefined;
}

/** The options of clients. */
export interface TlsClientOptions extends TlsOptions {
  /** A client always requires a trusted certificate; giving this option changes nothing. */
  readonly verify?: 'peer' | undefined;
  /** Verifies no certificate. **Anyone on the network path can read and change everything.** */
  readonly dangerouslyVerifyNobody?: boolean | undefined;
  /** Does not compare the certificate with the server's name. **Any trusted certificate of any host is accepted.** */
  readonly dangerouslySkipNameCheck?: boolean | undefined;
  /**
   * Compares names by RFC 2818 instead of RFC 9525. It accepts a wildcard for a part of a label. Where there is no
   * subjectAltName it accepts the subject's common name, **which authorities need not have checked**.
   */
  readonly dangerouslyUseOldNameRules?: boolean | undefined;
  /** The application protocols to offer (ALPN), the preferred one first. */
  readonly alpn?: readonly string[] | undefined;
  /** Requests an OCSP staple: a recent statement by the authority that the certificate is not revoked. */
  readonly requestOcspStaple?: boolean | undefined;
  /** A shared key instead of certificates. */
  readonly psk?: PskClient | undefined;
  /**
   * Where sessions are kept for resumption; by default the context has its own. `'off'` keeps none. Several contexts
   * can share one.
   */
  readonly sessions?: ClientSessions | 'off' | undefined;
}

/** The options of servers. */
export interface TlsServerOptions extends TlsOptions {
  /** How client certificates are verified; `'none'` by default. A server that verifies its clients needs `ca`. */
  readonly verify?: VerifyMode | readonly VerifyMode[] | undefined;
  /**
   * The application protocols (ALPN), the preferred one first, or a function that chooses one. When the client offers
   * protocols and none is shared, the handshake fails.
   */
  readonly alpn?: readonly string[] | ApplicationProtocolChooser | undefined;
  /**
   * Continues without an application protocol when none is shared. **An attacker can then pass off traffic of another
   * protocol as this one** (ALPACA).
   */
  readonly dangerouslyIgnoreAlpnMismatch?: boolean | undefined;
  /**
   * Contexts by the name that the client requests (SNI), exact or with a wildcard for the left-most label
   * (`*.example.com`). A client that requests another name, or none, gets this context, or an alert when
   * `strictServerNames` is set. The caller closes the contexts.
   */
  readonly serverNames?: Readonly<Record<string, SettingsOwner>> | undefined;
  /**
   * Refuses clients for which neither `serverNames` nor `chooseContext` has a context, with the alert
   * unrecognized_name.
   */
  readonly strictServerNames?: boolean | undefined;
  /**
   * Chooses the context by the client hello; `undefined` keeps this context. It may return a Promise: the handshake
   * then waits (want `'lookup'`) within its own deadline. An error fails that handshake only.
   */
  readonly chooseContext?: Chooser | undefined;
  /**
   * The OCSP response of the authority, in DER, for clients that request it (a staple); or a function that returns it.
   */
  readonly ocspStaple?: Uint8Array | (() => Uint8Array | undefined | Promise<Uint8Array | undefined>) | undefined;
  /** Returns the shared key of an identity. A server with shared keys needs no certificate. */
  readonly psk?: PskServer | undefined;
  /** The hint that a TLS 1.2 client gets for choosing its identity. */
  readonly pskHint?: string | undefined;
  /**
   * Whether and how clients may resume sessions. `'stateful'`: the client gets an id, and the session stays in a store,
   * where it can be revoked. `'stateless'`: the client gets the session in a ticket, sealed with rotating keys. `'off'`
   * (the default): every handshake is a full one. A session of another scope is never resumed; the client then gets a
   * full handshake.
   */
  readonly resumption?: ResumptionPolicy | undefined;
  /**
   * The store of stateful sessions; by default OpenSSL's internal cache in this context. The caller closes the store.
   */
  readonly sessionStore?: SessionStore | undefined;
  /**
   * 32 secret bytes that encrypt stored sessions. All processes that share the store need the same key. Random by
   * default, so that no other process can read the sessions.
   */
  readonly sessionStoreKey?: Uint8Array | undefined;
  /** How long a handshake waits for the store, in milliseconds; 250 by default. A full handshake follows. */
  readonly sessionLookupMs?: number | undefined;
  /**
   * The ticket keys for stateless sessions; by default the context has its own. The caller closes the ones it gives.
   */
  readonly ticketKeys?: TicketKeys | undefined;
  /**
   * How many tickets or ids a TLS 1.3 client gets after a full handshake, 0…16; 2 by default. After a resumed handshake
   * it gets one.
   */
  readonly tickets?: number | undefined;
}

/** Options of a single connection, in addition to those of its context. */
export interface TlsConnectionOptions {
  /** The name to request (SNI) and to verify, instead of the host that was connected to. */
  readonly serverName?: string | undefined;
  /** Who the peer must be; see {@link TlsOptions.expect}. */
  readonly expect?: PeerExpectation | undefined;
  /**
   * TLSA records of the server, from a DNS that can be trusted (DANE, RFC 6698 and 7671). Depending on its usage, a
   * record replaces the check by the authorities or is required in addition to it.
   */
  readonly tlsa?: readonly TlsaRecord[] | undefined;
  /** The peer as `host:port`. The sessions of the connection are kept under this and the server's name. */
  readonly peer?: string | undefined;
  /**
   * The session to resume, in place of one that the context has kept. It is offered only when the client that made it
   * had the same trust settings. The caller disposes of it.
   */
  readonly session?: TlsSession | undefined;
  /**
   * How many bytes of received data are buffered while a handshake runs in the middle of the connection (a
   * renegotiation or a certificate request) and no operation receives; 1 MiB by default. More than that fails the
   * operation with a `BoundsError`.
   */
  readonly maxAheadBytes?: number | undefined;
}

/** The options of both roles together. @internal */
export type AnyOptions = Omit<TlsClientOptions, 'alpn' | 'psk' | 'verify'> &
  Omit<TlsServerOptions, 'alpn' | 'psk'> & {
    readonly alpn?: TlsServerOptions['alpn'];
    readonly psk?: PskClient | PskServer | undefined;
  };
