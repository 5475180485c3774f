/** What a TLS context can be told. */

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

/** A version of TLS. Those before 1.2 are broken, and need `dangerouslyLowerSecurityLevel: 0` as well. */
export type TlsVersion = keyof typeof c.VERSIONS;

/**
 * How a server treats the certificates of its clients. `'none'`: it asks for none. `'peer'`: it asks for one, and
 * checks it if it comes. `'fail_if_no_peer_cert'`: it demands one. `'client_once'`: it asks only in the first
 * handshake.
 */
export type VerifyMode = 'none' | 'peer' | 'client_once' | 'fail_if_no_peer_cert';

/** Bits of security that keys, signatures and ciphers must have: **2 112**, 3 128, 4 192, 5 256. */
export type SecurityLevel = 2 | 3 | 4 | 5;

/** A certificate with its key. */
export interface Identity {
  /** The certificate and its chain, the own one first, in PEM. */
  readonly certificate: PemSource;
  /** The private key of the certificate, in PEM. */
  readonly key: PemSource;
  /** The password of the key, or who knows it. */
  readonly password?: string | (() => string | Promise<string>) | undefined;
}

/** What clients and servers have in common. */
export interface TlsOptions extends Partial<Identity> {
  /** More certificates, each of another kind of key (such as RSA beside ECDSA): the peer's preference chooses. */
  readonly identities?: readonly Identity[] | undefined;
  /**
   * The authorities to trust; for clients those that Node.js bundles unless given. A server that verifies its clients
   * must say which.
   */
  readonly ca?: CaSource | readonly CaSource[] | undefined;
  /** Lists of revoked certificates, in PEM. */
  readonly crls?: PemSource | readonly PemSource[] | undefined;
  /**
   * Which certificates must be covered by `crls`: the peer's own, or its whole chain. `'leaf'` when `crls` are given,
   * else none.
   */
  readonly crlCheck?: 'leaf' | 'chain' | undefined;
  /** How many authorities may stand between the peer's certificate and a trusted one; 9 by default. */
  readonly depth?: number | undefined;
  /**
   * Accepts certificates that were issued for another purpose, such as a client's where a server's is due. **Weakens
   * the check.**
   */
  readonly dangerouslyIgnorePurpose?: boolean | undefined;
  /**
   * Faults of certificates to accept, each named; `'all'` accepts everything and **authenticates nobody**. What was
   * found stands in the connection's `verification()`. LuaSec's `lsec_continue` is `'all'`.
   */
  readonly dangerouslyAccept?: 'all' | readonly VerifyErrorName[] | undefined;
  /** Whom the peer must be, checked after the handshake by the name or pinned digest of its certificate. */
  readonly expect?: PeerExpectation | undefined;
  /** The lowest and highest version; 1.2 and 1.3 by default. */
  readonly protocols?: { readonly min?: TlsVersion; readonly max?: TlsVersion } | undefined;
  /** Options of OpenSSL besides those that are always set. */
  readonly options?: readonly TlsOptionName[] | undefined;
  /** Options of OpenSSL that give up a protection; their table says which. */
  readonly dangerouslyEnable?: readonly DangerousOptionName[] | undefined;
  /**
   * Cipher list for TLS 1.2 and before, in OpenSSL's notation; ECDHE with AEAD by default. Whatever is named, the
   * security level holds; ciphers without ephemeral keys have **no forward secrecy**. A list that selects nothing is an
   * error.
   */
  readonly ciphers?: string | undefined;
  /** Cipher suites of TLS 1.3, with colons between them. A list that selects nothing is an error. */
  readonly ciphersuites?: string | undefined;
  /** Groups (curves) for the key exchange, with colons between them; `X25519:P-256:P-384` by default. */
  readonly groups?: string | undefined;
  /** Signature algorithms, with colons between them, in OpenSSL's notation; all of the security level by default. */
  readonly signatureAlgorithms?: string | undefined;
  /**
   * Parameters for ephemeral DH in PEM, or `'auto'` for those that fit the certificate's key. `'auto'` by default;
   * `ciphers` must ask for DHE.
   */
  readonly dhParameters?: PemSource | 'auto' | undefined;
  /** 2 by default. */
  readonly minimumSecurityLevel?: SecurityLevel | undefined;
  /** Level 1 asks for 80 bits, level 0 for none: both **admit keys, digests and ciphers that can be broken**. */
  readonly dangerouslyLowerSecurityLevel?: 0 | 1 | undefined;
  /**
   * How many renegotiations the peer may begin in one connection under TLS 1.2; 0 by default. One more ends the
   * connection.
   */
  readonly allowPeerRenegotiations?: number | undefined;
  /**
   * A name for what sessions are good for, in the place of the names in the certificate: for servers that share
   * sessions though those differ.
   */
  readonly sessionScope?: string | undefined;
  /** How long new sessions live, in seconds: two hours by default, at most seven days (604,800). */
  readonly sessionTimeoutSeconds?: number | undefined;
  /** OpenSSL's own cache of sessions. By default it is on for stateful servers without a store, off otherwise. */
  readonly sessionCache?: InternalCacheOptions | undefined;
  /**
   * Tells the secrets of connections, for decrypting captures: **whoever has them reads everything**. Nothing by
   * default.
   */
  readonly dangerouslyLogKeys?: KeyLog | undefined;
}

/** What clients may say besides. */
export interface TlsClientOptions extends TlsOptions {
  /** A client demands a certificate that it trusts; saying so changes nothing. */
  readonly verify?: 'peer' | undefined;
  /** Looks at no certificate. **Whoever sits on the path can read and change everything.** */
  readonly dangerouslyVerifyNobody?: boolean | undefined;
  /** The certificate need not be that of the server's name. **Any trusted certificate of anybody will do.** */
  readonly dangerouslySkipNameCheck?: boolean | undefined;
  /**
   * Compares names by RFC 2818 instead of RFC 9525: takes the subject's common name where there is no subjectAltName,
   * **which authorities need not have checked**, and wildcards for a part of a label.
   */
  readonly dangerouslyUseOldNameRules?: boolean | undefined;
  /** Application protocols to offer, the preferred one first. */
  readonly alpn?: readonly string[] | undefined;
  /** Asks the server for a fresh statement of its authority that the certificate is not revoked (an OCSP staple). */
  readonly requestOcspStaple?: boolean | undefined;
  /** A shared key instead of certificates. */
  readonly psk?: PskClient | undefined;
  /**
   * Where sessions are kept to go on with: its own unless given; `'off'` for nowhere. Several contexts may share one.
   */
  readonly sessions?: ClientSessions | 'off' | undefined;
}

/** What servers may say besides. */
export interface TlsServerOptions extends TlsOptions {
  /** `'none'` unless given. A server that verifies its clients needs `ca`. */
  readonly verify?: VerifyMode | readonly VerifyMode[] | undefined;
  /**
   * Application protocols, the preferred one first, or who chooses. A server that shares none with its client ends the
   * handshake.
   */
  readonly alpn?: readonly string[] | ApplicationProtocolChooser | undefined;
  /**
   * Goes on without an application protocol when none is shared, so that **what was meant for another protocol may be
   * taken for this one** (ALPACA).
   */
  readonly dangerouslyIgnoreAlpnMismatch?: boolean | undefined;
  /**
   * Contexts by the name that the client asks for, exact or with a wildcard for the left-most label (`*.example.com`).
   * A name that is not there gets this context, or an alert when `strictServerNames` is set, and so does who names
   * nobody. The contexts stay their owner's to close.
   */
  readonly serverNames?: Readonly<Record<string, SettingsOwner>> | undefined;
  readonly strictServerNames?: boolean | undefined;
  /**
   * Chooses the context by what the client says first; `undefined` goes on as without it. It may take its time: the
   * handshake waits (want `'lookup'`) inside its own deadline. A failure ends that handshake only.
   */
  readonly chooseContext?: Chooser | undefined;
  /** The statement of the authority to hand out to clients that ask (OCSP, in DER), or who has it. */
  readonly ocspStaple?: Uint8Array | (() => Uint8Array | undefined | Promise<Uint8Array | undefined>) | undefined;
  /** Shared keys by identity. A server that has them needs no certificate. */
  readonly psk?: PskServer | undefined;
  /** What a TLS 1.2 client is told to choose its identity by. */
  readonly pskHint?: string | undefined;
  /**
   * Whether clients may go on with sessions. `'stateful'`: the client gets an id, the session stays in a store, from
   * where it can be revoked. `'stateless'`: the client gets the session in a ticket, sealed with keys that turn.
   * `'off'`, which is the default: every handshake is a full one. Always: the session was made in the same scope, or
   * the handshake is a full one.
   */
  readonly resumption?: ResumptionPolicy | undefined;
  /**
   * Where stateful sessions are kept. OpenSSL's own cache in this context unless given. It stays its owner's to close.
   */
  readonly sessionStore?: SessionStore | undefined;
  /**
   * 32 secret bytes that seal stored sessions; the same for all who share the store. Random by default: then nobody
   * else can read them.
   */
  readonly sessionStoreKey?: Uint8Array | undefined;
  /** How long a handshake waits for the store, in milliseconds; 250 by default. */
  readonly sessionLookupMs?: number | undefined;
  /** The ring of keys for stateless sessions; one of its own unless given. It stays its owner's to close. */
  readonly ticketKeys?: TicketKeys | undefined;
  /**
   * How many tickets or ids a TLS 1.3 client gets after a full handshake, 0…16; 2 by default. After a resumed one it
   * gets one.
   */
  readonly tickets?: number | undefined;
}

/** What is of one connection only, laid over its context's options. */
export interface TlsConnectionOptions {
  /** The name to ask for and to expect, instead of the one that was connected to. */
  readonly serverName?: string | undefined;
  /** Whom the peer must be; see {@link TlsOptions.expect}. */
  readonly expect?: PeerExpectation | undefined;
  /**
   * TLSA records of the server, from a DNS that can be trusted (DANE, RFC 6698 and 7671). They decide instead of the
   * authorities, or besides.
   */
  readonly tlsa?: readonly TlsaRecord[] | undefined;
  /** Where the peer was connected to, as `host:port`; by this and the name its sessions are kept. */
  readonly peer?: string | undefined;
  /**
   * The session to go on with, in the place of one that the context has kept; only where it was made by a client that
   * trusted the same. It stays the caller's.
   */
  readonly session?: TlsSession | undefined;
  /** How many bytes of data may wait while a new handshake goes on and nobody receives; 1 MiB by default. */
  readonly maxAheadBytes?: number | undefined;
}

/** Options of either role, for the machinery. @internal */
export type AnyOptions = Omit<TlsClientOptions, 'alpn' | 'psk' | 'verify'> &
  Omit<TlsServerOptions, 'alpn' | 'psk'> & {
    readonly alpn?: TlsServerOptions['alpn'];
    readonly psk?: PskClient | PskServer | undefined;
  };
