/** wantio/tls: TLS over any connection. */

export type { ApplicationProtocolChooser } from './alpn.ts';
export type { ChannelBinding } from './channel-binding.ts';
export type { ClientHello } from './client-hello.ts';
export { TlsContext } from './context/context.ts';
export type { TlsaMatch, TlsaRecord } from './dane.ts';
export type { KeyLog } from './key-log.ts';
export type { CertificateFault } from './answers/trust.ts';
export { isIgnoredOption } from './context/option-names.ts';
export type { DangerousOptionName, TlsOptionName } from './context/option-names.ts';
export type {
  Identity,
  SecurityLevel,
  TlsClientOptions,
  TlsConnectionOptions,
  TlsOptions,
  TlsServerOptions,
  TlsVersion,
  VerifyMode,
} from './context/options.ts';
export type { PresharedKey, PskClient, PskIdentity, PskServer } from './psk.ts';
export type { SkippedFile } from './certificates/ca-directory.ts';
export type { Chooser, SettingsOwner } from './context/settings.ts';
export type { CaSource } from './certificates/trust.ts';
export { FileError } from './certificates/pem.ts';
export type { PemSource } from './certificates/pem.ts';
export { SecureConnection } from './secure-connection.ts';
export type {
  RequestCertificateOptions,
  SecureStatistics,
  TlsInfo,
  UpdateKeysOptions,
  Verification,
} from './secure-connection.ts';
export { ClientSessions } from './sessions/client-sessions.ts';
export type { ClientSessionsOptions } from './sessions/client-sessions.ts';
export type { Resumption, ResumptionMiss, ResumptionPolicy } from './sessions/resumption.ts';
export type { CacheMode, InternalCacheOptions } from './sessions/internal-cache.ts';
export type { SessionCache, SessionStatistics } from './sessions/session-cache.ts';
export { TlsSession } from './sessions/session.ts';
export type { PrintOptions } from './sessions/session.ts';
export type { SessionStore, TakingSessionStore } from '../stores/store.ts';
export { FileSessionStore } from '../stores/files/file-store.ts';
export type { FileStoreOptions } from '../stores/files/file-store.ts';
export { LmdbSessionStore } from '../stores/lmdb-store.ts';
export type { LmdbStoreOptions } from '../stores/lmdb-store.ts';
export { MemorySessionStore } from '../stores/memory-store.ts';
export type { MemoryStoreOptions, MemoryStoreStatistics } from '../stores/memory-store.ts';
export { openSessionStore } from '../stores/open-store.ts';
export { RedisSessionStore } from '../stores/redis-store.ts';
export type { RedisStoreOptions } from '../stores/redis-store.ts';
export type { RedisClient } from '../stores/redis-store-client.ts';
export { SessionServer } from '../stores/session-server/session-server.ts';
export type { SessionServerCloseOptions, SessionServerOptions } from '../stores/session-server/session-server.ts';
export { SessionServerStore } from '../stores/session-server/session-server-store.ts';
export type { SessionServerStoreOptions } from '../stores/session-server/session-server-store.ts';
export { StoreError } from '../stores/store-error.ts';
export type { StoreFailure } from '../stores/store-error.ts';
export { TicketKeys } from './sessions/ticket-keys.ts';
export type { TicketKeysOptions, TicketStatistics } from './sessions/ticket-keys.ts';
export type { StoreStatistics } from './sessions/store-guard.ts';
export { selfSigned } from './certificates/self-signed.ts';
export type { SelfSignedOptions } from './certificates/self-signed.ts';
export type { Asn1Object, TextEncoding } from './certificates/asn1-text.ts';
export { Certificate } from './certificates/certificate.ts';
export type {
  CertificateDigest,
  CertificateKey,
  LoadOptions,
  NameOptions,
  NameRules,
  TextOptions,
} from './certificates/certificate.ts';
export { NoCertificateError, WrongCertificateError, WrongHostError } from './certificates/certificate-error.ts';
export type { CertificateExtension } from './certificates/certificate-extension.ts';
export { checkPeer } from './certificates/check-peer.ts';
export type { PeerExpectation, PeerMatch } from './certificates/check-peer.ts';
export type { NameAttribute } from './certificates/distinguished-name.ts';
export type { SubjectAltName } from './certificates/subject-alt-name.ts';
export { CertificateError, TlsError } from './tls-error.ts';
export type { CertificateErrorDetails, TlsErrorEntry } from './tls-error.ts';
export { VERIFY_ERRORS, verifyErrorName, verifyErrorNumber } from './certificates/verify-errors.ts';
export type { VerifyErrorName } from './certificates/verify-errors.ts';
