/** Certificates and keys as they come: a file, a text, or bytes. */

import { readFile } from 'node:fs/promises';

import { WantioError } from '../../../core/errors.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { refused, takeErrorQueue, TlsError } from '../tls-error.ts';

/** PEM by the path of a file, or itself. */
export type PemSource = { readonly file: string } | { readonly pem: string | Uint8Array };

/** A file of a certificate or key cannot be read. */
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
 * Gives the certificates of `pem` to `use`, and frees them after that.
 * @throws {TlsError} when there is none, or one cannot be parsed.
 */
export function withCertificates(pem: Uint8Array, what: string, use: (certificates: readonly Pointer[]) => void): void {
  const ssl = openssl();
  withEach(pem, what, 'certificate', (bio) => ssl.PEM_read_bio_X509(bio, null, null, ''), ssl.X509_free, use);
}

/**
 * The same for authorities, whose certificates may say what they are trusted and not trusted for (`BEGIN TRUSTED
 * CERTIFICATE`, as `openssl x509 -trustout` writes it). OpenSSL keeps to it where the certificate is used as an anchor.
 */
export function withAuthorities(pem: Uint8Array, what: string, use: (certificates: readonly Pointer[]) => void): void {
  const ssl = openssl();
  withEach(pem, what, 'trusted', (bio) => ssl.PEM_read_bio_X509_AUX(bio, null, null, ''), ssl.X509_free, use);
}

/**
 * Gives the lists of revoked certificates of `pem` to `use`, and frees them after that.
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
 * @returns the parameters for ephemeral DH of `pem`; the caller's to free or to give away.
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
  // What others left in the queue would be taken for a fault of this file.
  openssl().ERR_clear_error();
  withBio(pem, (bio) => {
    for (let object = read(bio); object !== 0; object = read(bio)) objects.push(object);
  });
  try {
    // The last read ends with "no start line", which is how the end of a PEM file looks.
    const [first] = takeErrorQueue();
    if (objects.length === 0)
      throw new TlsError(`the ${source} holds ${whyNone(pem, kind, first?.reason)}`, {
        queue: first === undefined ? [] : [first],
      });
    if (first !== undefined && first.reason !== 'no start line')
      throw new TlsError(`the ${source} holds a broken ${kind}: ${first.reason}`, { queue: [first] });
    // OpenSSL passes over a block whose end is missing as if it were not there: a chain must not lose a link, nor a
    // store a list, unseen.
    const begun = textOf(pem).match(BEGINS[block])?.length ?? 0;
    if (objects.length < begun)
      throw new TlsError(
        `the ${source} holds a broken ${kind}: of ${String(begun)} that begin ${String(objects.length)} can be read`,
      );
    use(objects);
  } finally {
    for (const object of objects) free(object);
  }
}

/** OpenSSL says the same of a file without any block as of one whose blocks it cannot find the end of. */
function whyNone(pem: Uint8Array, kind: string, reason = 'no start line'): string {
  if (reason !== 'no start line') return `a broken ${kind}: ${reason}`;
  const text = textOf(pem);
  const [block, name] = /-----BEGIN ([^-]*)-----/.exec(text) ?? [];
  if (text.trim() === '') return `no ${kind} in PEM: it is empty`;
  if (pem[0] === SEQUENCE)
    return `no ${kind} in PEM: it seems to be DER, and \`openssl x509 -inform der\` makes PEM of it`;
  if (block === undefined) return `no ${kind} in PEM: it has no line that begins with -----BEGIN`;
  return /CERTIFICATE|CRL/.test(name) === (kind === 'certificate' || kind === 'revocation list')
    ? `a broken ${kind}: a line in it is damaged, or its end is missing`
    : `no ${kind} in PEM but a ${name}`;
}

/** Gives the private key of `pem` to `use`, and frees it after that. @throws {TlsError} when it cannot be read. */
export function withPrivateKey(pem: Uint8Array, password: string | undefined, use: (key: Pointer) => void): void {
  const ssl = openssl();
  const key = withBio(pem, (bio) => ssl.PEM_read_bio_PrivateKey(bio, null, null, password ?? ''));
  if (key === 0) {
    const isLocked = /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(textOf(pem));
    if (isLocked && (password ?? '') === '')
      throw new TlsError('the private key is locked: give its `password`', {
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

// Where a block begins; a byte order mark may stand before the first. Those of trusted certificates are read as
// authorities only.
const BEGINS = {
  certificate: /^(?:\xef\xbb\xbf)?-----BEGIN (?:X509 )?CERTIFICATE-----/gm,
  trusted: /^(?:\xef\xbb\xbf)?-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/gm,
  'revocation list': /^(?:\xef\xbb\xbf)?-----BEGIN X509 CRL-----/gm,
} as const;
const SEQUENCE = 0x30;

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
