/** What connections use of their context, in addition to what OpenSSL keeps in the SSL_CTX. */

import type { ApplicationProtocolChooser } from '../alpn.ts';
import type { PeerExpectation } from '../certificates/check-peer.ts';
import type { ClientHello } from '../client-hello.ts';
import type { KeyLogWriter } from '../key-log.ts';
import type { Pointer } from '../openssl.ts';
import type { PskClient, PskIdentity, PskServer } from '../psk.ts';
import type { ClientSessions } from '../sessions/client-sessions.ts';
import type { ResumptionPolicy } from '../sessions/resumption.ts';
import type { SessionCache } from '../sessions/session-cache.ts';
import type { TicketKeys } from '../sessions/ticket-keys.ts';
import type { Vault } from '../sessions/vault.ts';

/** A context as its connections see it; all of them share one object. */
export interface ContextSettings {
  readonly role: 'client' | 'server';
  /** The SSL_CTX. The context owns it; it is valid while the context is open. */
  readonly pointer: Pointer;
  /** SSL_VERIFY_… bits. */
  readonly verifyModes: number;
  /**
   * Whether the context has authorities, so that certificates can be verified in the first handshake or a later one.
   */
  readonly trusts: boolean;
  readonly verifiesName: boolean;
  readonly nameRules: 'rfc9525' | 'rfc2818';
  /** The verification errors that are accepted (`dangerouslyAccept`), by OpenSSL's number. */
  readonly accepts: 'all' | ReadonlySet<number>;
  readonly expect: PeerExpectation | undefined;
  /** Of servers: the names in wire format, or the function that chooses one. */
  readonly alpn: Uint8Array | ApplicationProtocolChooser | undefined;
  readonly ignoresAlpnMismatch: boolean;
  readonly choose: Chooser | undefined;
  readonly staple: Uint8Array | (() => Uint8Array | undefined | Promise<Uint8Array | undefined>) | undefined;
  readonly requestsStaple: boolean;
  readonly pskServer: PskServer | undefined;
  /** Returns the client's key. Always a function, so that printing the settings shows no key. */
  readonly pskClient: Exclude<PskClient, PskIdentity> | undefined;
  readonly keyLog: KeyLogWriter | undefined;
  readonly peerRenegotiations: number;
  /** Of servers: whether and how clients may resume sessions. */
  readonly resumption: ResumptionPolicy;
  /** The digest of all settings that decide about trust, 32 bytes. Clients keep their sessions under it. */
  readonly scope: Uint8Array;
  /**
   * The same digest without this side's own certificates. A session that the caller gives to a client must come from a
   * context with the same one.
   */
  readonly trustScope: Uint8Array;
  readonly sessionTtlMs: number;
  readonly vault: Vault | undefined;
  readonly ticketKeys: TicketKeys | undefined;
  /** Whether the context owns the ring of ticket keys, and wipes it when it is closed. */
  readonly ownsTicketKeys: boolean;
  readonly tickets: number;
  readonly sessions: SessionCache;
  /** Of clients: the store of their sessions. */
  readonly clientSessions: ClientSessions | undefined;
  /** Whether the context owns that store, and closes it with itself. */
  readonly ownsClientSessions: boolean;
}

/** A `TlsContext` as options take it. Reading the settings of a closed one throws a `ClosedError`. */
export interface SettingsOwner {
  readonly role: 'client' | 'server';
  /** @internal */
  readonly settings: ContextSettings;
}

/**
 * Chooses the context for a client, at once or by a Promise; `undefined` keeps the present context.
 * @throws {TlsError} with an alert, to refuse the client.
 */
export type Chooser = (hello: ClientHello) => SettingsOwner | undefined | Promise<SettingsOwner | undefined>;
