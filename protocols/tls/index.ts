/** wantio/tls: TLS over any connection. */

export { TlsContext } from './context.ts';
export type { TlsClientOptions, TlsOptions, TlsVersion, VerifyMode } from './context.ts';
export { FileError } from './pem.ts';
export type { PemSource } from './pem.ts';
export { SecureConnection } from './secure-connection.ts';
export type { TlsInfo } from './secure-connection.ts';
export { selfSigned } from './self-signed.ts';
export type { SelfSignedOptions } from './self-signed.ts';
export { CertificateError, TlsError } from './tls-error.ts';
export type { TlsErrorEntry } from './tls-error.ts';
