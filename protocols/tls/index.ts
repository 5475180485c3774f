/** wantio/tls: TLS over any connection. */

export type { ApplicationProtocolChooser } from './alpn.ts';
export type { ChannelBinding } from './channel-binding.ts';
export type { ClientHello } from './client-hello.ts';
export { TlsContext } from './context.ts';
export type { TlsaMatch, TlsaRecord } from './dane.ts';
export type { KeyLog } from './key-log.ts';
export type { CertificateFault } from './negotiation.ts';
export { isIgnoredOption } from './option-names.ts';
export type { DangerousOptionName, TlsOptionName } from './option-names.ts';
export type {
  Identity,
  SecurityLevel,
  TlsClientOptions,
  TlsConnectionOptions,
  TlsOptions,
  TlsServerOptions,
  TlsVersion,
  VerifyMode,
} from './options.ts';
export type { PresharedKey, PskClient, PskIdentity, PskServer } from './psk.ts';
export type { CaSource } from './trust.ts';
export { FileError } from './pem.ts';
export type { PemSource } from './pem.ts';
export { SecureConnection } from './secure-connection.ts';
export type { SecureStatistics, TlsInfo, Verification } from './secure-connection.ts';
export { ClientSessions } from './sessions/client-sessions.ts';
export type { ClientSessionsOptions } from './sessions/client-sessions.ts';
export type { Resumption, ResumptionMiss, ResumptionPolicy } from './sessions/resumption.ts';
export type { CacheMode, InternalCacheOptions, SessionCache, SessionStatistics } from './sessions/session-cache.ts';
export { TlsSession } from './sessions/session.ts';
export type { SessionStore, TakingSessionStore } from './sessions/store.ts';
export { FileSessionStore } from './sessions/file-store.ts';
export type { FileStoreOptions } from './sessions/file-store.ts';
export { LmdbSessionStore } from './sessions/lmdb-store.ts';
export type { LmdbStoreOptions } from './sessions/lmdb-store.ts';
export { MemorySessionStore } from './sessions/memory-store.ts';
export type { MemoryStoreOptions, MemoryStoreStatistics } from './sessions/memory-store.ts';
export { openSessionStore } from './sessions/open-store.ts';
export { RedisSessionStore } from './sessions/redis-store.ts';
export type { RedisStoreOptions } from './sessions/redis-store.ts';
export { SessionServer } from './sessions/session-server.ts';
export type { SessionServerOptions } from './sessions/session-server.ts';
export { SessionServerStore } from './sessions/session-server-store.ts';
export type { SessionServerStoreOptions } from './sessions/session-server-store.ts';
export { StoreError } from './sessions/store-error.ts';
export type { StoreFailure } from './sessions/store-error.ts';
export { TicketKeys } from './sessions/ticket-keys.ts';
export type { TicketKeysOptions, TicketStatistics } from './sessions/ticket-keys.ts';
export type { StoreStatistics } from './sessions/store-guard.ts';
export { selfSigned } from './self-signed.ts';
export type { SelfSignedOptions } from './self-signed.ts';
export type { Asn1Object, TextEncoding } from './asn1-text.ts';
export { Certificate } from './certificate.ts';
export type { CertificateDigest, CertificateKey, LoadOptions, NameRules, TextOptions } from './certificate.ts';
export { NoCertificateError, WrongCertificateError, WrongHostError } from './certificate-error.ts';
export type { CertificateExtension } from './certificate-extension.ts';
export { checkPeer } from './check-peer.ts';
export type { PeerExpectation, PeerMatch } from './check-peer.ts';
export type { NameAttribute } from './distinguished-name.ts';
export type { SubjectAltName } from './subject-alt-name.ts';
export { CertificateError, TlsError } from './tls-error.ts';
export type { CertificateErrorDetails, TlsErrorEntry } from './tls-error.ts';
export { VERIFY_ERRORS, verifyErrorName, verifyErrorNumber } from './verify-errors.ts';
export type { VerifyErrorName } from './verify-errors.ts';
