/** What connections take from their context, beside what OpenSSL keeps in it. */

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

/** A context as its connections see it; one object for all of them. */
export interface ContextSettings {
  readonly role: 'client' | 'server';
  /** The SSL_CTX; it is the context's own, valid while that is open. */
  readonly pointer: Pointer;
  /** SSL_VERIFY_… bits. */
  readonly verifyModes: number;
  /** Whether certificates can be verified at all, now or later. */
  readonly trusts: boolean;
  readonly verifiesName: boolean;
  readonly nameRules: 'rfc9525' | 'rfc2818';
  /** The results of a verification that are accepted all the same. */
  readonly accepts: 'all' | ReadonlySet<number>;
  readonly expect: PeerExpectation | undefined;
  /** Of servers: names as the wire has them, or who chooses. */
  readonly alpn: Uint8Array | ApplicationProtocolChooser | undefined;
  readonly ignoresAlpnMismatch: boolean;
  readonly choose: Chooser | undefined;
  readonly staple: Uint8Array | (() => Uint8Array | undefined | Promise<Uint8Array | undefined>) | undefined;
  readonly requestsStaple: boolean;
  readonly pskServer: PskServer | undefined;
  /** Whoever has the client's key; always a function, so that no key shows when settings are printed. */
  readonly pskClient: Exclude<PskClient, PskIdentity> | undefined;
  readonly keyLog: KeyLogWriter | undefined;
  readonly peerRenegotiations: number;
  /** Of servers: whether sessions may be gone on with. */
  readonly resumption: ResumptionPolicy;
  /** The digest of all that decides about trust, 32 bytes; for clients too, whose sessions are kept by it. */
  readonly scope: Uint8Array;
  /** The same without who this side is: what a session that is handed to a client must have been made in. */
  readonly trustScope: Uint8Array;
  readonly sessionTtlMs: number;
  readonly vault: Vault | undefined;
  readonly ticketKeys: TicketKeys | undefined;
  /** Whether the ring of keys is the context's own, to be wiped with it. */
  readonly ownsTicketKeys: boolean;
  readonly tickets: number;
  readonly sessions: SessionCache;
  /** Of clients: where sessions are kept. */
  readonly clientSessions: ClientSessions | undefined;
  /** Whether they end with the context. */
  readonly ownsClientSessions: boolean;
}

/** A `TlsContext`, where options take one. Its settings throw a `ClosedError` when it is closed. */
export interface SettingsOwner {
  readonly role: 'client' | 'server';
  /** @internal */
  readonly settings: ContextSettings;
}

/**
 * Chooses a context, now or later; `undefined` stays with the present one.
 * @throws {TlsError} with an alert to refuse the client.
 */
export type Chooser = (hello: ClientHello) => SettingsOwner | undefined | Promise<SettingsOwner | undefined>;
