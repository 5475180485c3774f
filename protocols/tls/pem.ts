/** Certificates and keys as they come: a file, a text, or bytes. */

import { readFile } from 'node:fs/promises';

import { WantioError } from '../../core/errors.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { refused, takeErrorQueue, TlsError } from './tls-error.ts';

/** PEM by the path of a file, or itself. */
export type PemSource = { readonly file: string } | { readonly pem: string | Uint8Array };

/** A file of a certificate or key cannot be read. */
export class FileError extends WantioError {
  readonly path: string;

  constructor(what: string, path: string, cause: NodeJS.ErrnoException) {
    super(cause.code ?? 'ERR_WANTIO_FILE', `cannot read the ${what} ${path}: ${cause.code === 'ENOENT' ? 'no such file' : cause.message}`, { cause });
    this.path = path;
  }

  static {
    this.prototype.name = 'FileError';
  }
}

/** @throws {FileError} when the file cannot be read. `what` names it in messages. */
export async function readPem(source: PemSource, what: string): Promise<Uint8Array> {
  if (!('file' in source)) return typeof source.pem === 'string' ? Buffer.from(source.pem) : source.pem;
  try {
    return await readFile(source.file);
  } catch (error) {
    throw new FileError(what, source.file, error as NodeJS.ErrnoException);
  }
}

/**
 * Gives each certificate of `pem` to `use`, and frees them after that.
 * @throws {TlsError} when there is none, or one cannot be parsed.
 */
export function withCertificates(pem: Uint8Array, what: string, use: (certificates: readonly Pointer[]) => void): void {
  const ssl = openssl();
  const certificates: Pointer[] = [];
  // What others left in the queue would be taken for a fault of this file.
  ssl.ERR_clear_error();
  withBio(pem, (bio) => {
    for (;;) {
      const certificate = ssl.PEM_read_bio_X509(bio, null, null, null);
      if (certificate === 0) break;
      certificates.push(certificate);
    }
  });
  try {
    // The last read ends with "no start line", which is how the end of a PEM file looks.
    const [first] = takeErrorQueue();
    if (certificates.length === 0) throw new TlsError(`the ${what} holds no certificate in PEM: ${first?.reason ?? 'it is empty'}`);
    if (first !== undefined && first.reason !== 'no start line') throw new TlsError(`the ${what} holds a broken certificate: ${first.reason}`, { queue: [first] });
    use(certificates);
  } finally {
    for (const certificate of certificates) ssl.X509_free(certificate);
  }
}

/** Gives the private key of `pem` to `use`, and frees it after that. @throws {TlsError} when it cannot be read. */
export function withPrivateKey(pem: Uint8Array, password: string | undefined, use: (key: Pointer) => void): void {
  const ssl = openssl();
  const key = withBio(pem, (bio) => ssl.PEM_read_bio_PrivateKey(bio, null, null, password ?? ''));
  if (key === 0) throw refused(`the private key cannot be read${password === undefined ? '' : ' with the given password'}`);
  try {
    use(key);
  } finally {
    ssl.EVP_PKEY_free(key);
  }
}

/** Reads from `bytes` through a BIO, which is freed after that. */
function withBio<T>(bytes: Uint8Array, use: (bio: Pointer) => T): T {
  const ssl = openssl();
  // BIO_new_mem_buf keeps the address: the copy is ours, so that nobody moves or changes it.
  const kept = Buffer.allocUnsafeSlow(Math.max(1, bytes.length));
  kept.set(bytes);
  const bio = ssl.BIO_new_mem_buf(kept, bytes.length);
  if (bio === 0) throw refused('no memory for a BIO');
  try {
    return use(bio);
  } finally {
    ssl.BIO_free(bio);
    kept.fill(0);
  }
}
