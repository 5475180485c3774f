/** Reads certificates, keys, revocation lists and DH parameters in PEM, from a file, a text or bytes. */

import { readFile } from 'node:fs/promises';

import { WantioError } from '../../../core/errors.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { refused, takeErrorQueue, TlsError } from '../tls-error.ts';

/** The path of a file in PEM, or PEM as text or bytes. */
export type PemSource = { readonly file: string } | { readonly pem: string | Uint8Array };

/** A file of a certificate, key or key log cannot be read or opened. */
export class FileError extends WantioError {
  readonly path: string;

  constructor(what: string, path: string, cause: NodeJS.ErrnoException) {
    super(
      cause.code ?? 'ERR_WANTIO_FILE',
      `cannot read the ${what} ${path}: ${cause.code === 'ENOENT' ? 'no such file' : cause.message}`,
      { cause },
    );
    this.path = path;
  }

  static {
    this.prototype.name = 'FileError';
  }
}

/** @param what names the file in messages. @throws {FileError} when the file cannot be read. */
export async function readPem(source: PemSource, what: string): Promise<Uint8Array> {
  if (!('file' in source)) return typeof source.pem === 'string' ? Buffer.from(source.pem) : source.pem;
  try {
    return await readFile(source.file);
  } catch (error) {
    throw new FileError(what, source.file, error as NodeJS.ErrnoException);
  }
}

/**
 * Passes the certificates in `pem` to `use`, and frees them afterwards.
 * @throws {TlsError} when there is none, or one cannot be parsed.
 */
export function withCertificates(pem: Uint8Array, what: string, use: (certificates: readonly Pointer[]) => void): void {
  const ssl = openssl();
  withEach(pem, what, 'certificate', (bio) => ssl.PEM_read_bio_X509(bio, null, null, ''), ssl.X509_free, use);
}

/**
 * Like {@link withCertificates}, for authorities. Their certificates may also have trust settings (`BEGIN TRUSTED
 * CERTIFICATE`, as `openssl x509 -trustout` writes it). OpenSSL obeys them when the certificate is a trust anchor.
 */
export function withAuthorities(pem: Uint8Array, what: string, use: (certificates: readonly Pointer[]) => void): void {
  const ssl = openssl();
  withEach(pem, what, 'trusted', (bio) => ssl.PEM_read_bio_X509_AUX(bio, null, null, ''), ssl.X509_free, use);
}

/**
 * Passes the revocation lists in `pem` to `use`, and frees them afterwards.
 * @throws {TlsError} like {@link withCertificates}.
 */
export function withRevocationLists(pem: Uint8Array, use: (lists: readonly Pointer[]) => void): void {
  const ssl = openssl();
  withEach(
    pem,
    'revocation list',
    'revocation list',
    (bio) => ssl.PEM_read_bio_X509_CRL(bio, null, null, ''),
    ssl.X509_CRL_free,
    use,
  );
}

/**
 * @returns the parameters for ephemeral DH in `pem`. The caller frees them or passes them on.
 * @throws {TlsError} when they cannot be read.
 */
export function readDhParameters(pem: Uint8Array): Pointer {
  const ssl = openssl();
  const parameters = withBio(pem, (bio) => ssl.PEM_read_bio_Parameters(bio, null));
  if (parameters === 0) throw refused('the DH parameters cannot be read');
  return parameters;
}

function withEach(
  pem: Uint8Array,
  source: string,
  block: keyof typeof BEGINS,
  read: (bio: Pointer) => Pointer,
  free: (object: Pointer) => void,
  use: (objects: readonly Pointer[]) => void,
): void {
  const kind = block === 'trusted' ? 'certificate' : block;
  const objects: Pointer[] = [];
  // An error that other code left in the queue would be reported as one of this file.
  openssl().ERR_clear_error();
  withBio(pem, (bio) => {
    for (let object = read(bio); object !== 0; object = read(bio)) objects.push(object);
  });
  try {
    // At the end of a PEM file the last read fails with "no start line".
    const [first] = takeErrorQueue();
    if (objects.length === 0)
      throw new TlsError(`the ${source} holds ${whyNone(pem, kind, first?.reason)}`, {
        queue: first === undefined ? [] : [first],
      });
    if (first !== undefined && first.reason !== 'no start line')
      throw new TlsError(`the ${source} holds a broken ${kind}: ${first.reason}`, { queue: [first] });
    // OpenSSL silently skips a block whose end is missing. That must be an error: a chain would lack a certificate, or
    // a store a revocation list.
    const begun = textOf(pem).match(BEGINS[block])?.length ?? 0;
    if (objects.length < begun)
      throw new TlsError(
        `the ${source} holds a broken ${kind}: only ${String(objects.length)} of ${String(begun)} can be read`,
      );
    use(objects);
  } finally {
    for (const object of objects) free(object);
  }
}

/** Why there is no object: OpenSSL gives the same error for a file without blocks and for blocks without an end. */
function whyNone(pem: Uint8Array, kind: string, reason = 'no start line'): string {
  if (reason !== 'no start line') return `a broken ${kind}: ${reason}`;
  const text = textOf(pem);
  const [block, name] = /-----BEGIN ([^-]*)-----/.exec(text) ?? [];
  if (text.trim() === '') return `no ${kind} in PEM: it is empty`;
  if (pem[0] === SEQUENCE) return `no ${kind} in PEM: it seems to be DER; convert it with \`openssl x509 -inform der\``;
  if (block === undefined) return `no ${kind} in PEM: it has no line that begins with -----BEGIN`;
  return /CERTIFICATE|CRL/.test(name) === (kind === 'certificate' || kind === 'revocation list')
    ? `a broken ${kind}: a line in it is damaged, or its end is missing`
    : `no ${kind} in PEM but a ${name}`;
}

/** Passes the private key in `pem` to `use`, and frees it afterwards. @throws {TlsError} when it cannot be read. */
export function withPrivateKey(pem: Uint8Array, password: string | undefined, use: (key: Pointer) => void): void {
  const ssl = openssl();
  const key = withBio(pem, (bio) => ssl.PEM_read_bio_PrivateKey(bio, null, null, password ?? ''));
  if (key === 0) {
    const isLocked = /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(textOf(pem));
    if (isLocked && (password ?? '') === '')
      throw new TlsError('the private key is encrypted: give its `password`', {
        reason: 'locked',
        queue: takeErrorQueue(),
      });
    throw refused(`the private key cannot be read${password === undefined ? '' : ' with the given password'}`);
  }
  try {
    use(key);
  } finally {
    ssl.EVP_PKEY_free(key);
  }
}

const textOf = (pem: Uint8Array): string => Buffer.from(pem.buffer, pem.byteOffset, pem.length).toString('latin1');

// The first line of a block; a byte order mark may precede the first block. Blocks of trusted certificates are read as
// authorities only.
const BEGINS = {
  certificate: /^(?:\xef\xbb\xbf)?-----BEGIN (?:X509 )?CERTIFICATE-----/gm,
  trusted: /^(?:\xef\xbb\xbf)?-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/gm,
  'revocation list': /^(?:\xef\xbb\xbf)?-----BEGIN X509 CRL-----/gm,
} as const;
const SEQUENCE = 0x30;

/** Passes a BIO that reads `bytes` to `use`, and frees it afterwards. */
function withBio<T>(bytes: Uint8Array, use: (bio: Pointer) => T): T {
  const ssl = openssl();
  // BIO_new_mem_buf keeps the address of the bytes: they are copied, so that nothing moves or changes them.
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
