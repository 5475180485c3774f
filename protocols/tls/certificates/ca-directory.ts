/** Reads a directory of authorities and revocation lists. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { pemOf } from './pem-text.ts';
import { FileError, withAuthorities, withRevocationLists } from './pem.ts';
import { takeErrorQueue, TlsError } from '../tls-error.ts';

/** A file of a CA directory that was skipped. */
export interface SkippedFile {
  readonly path: string;
  /** The reason, for people to read. */
  readonly why: string;
}

/** The contents of a directory, in PEM. */
export interface CaDirectory {
  readonly certificates: readonly Uint8Array[];
  readonly revocations: readonly Uint8Array[];
  readonly skipped: readonly SkippedFile[];
}

/**
 * Reads every file of a directory: PEM (`TRUSTED CERTIFICATE` blocks too) or DER. It skips files without certificates
 * and revocation lists, and broken symbolic links.
 * @throws {FileError} when the directory or a file cannot be read.
 * @throws {TlsError} when the directory has no certificate, more than 4,096 files, or a broken certificate or
 * revocation list; the message names the directory or the file.
 */
export async function readCaDirectory(directory: string): Promise<CaDirectory> {
  let names;
  try {
    names = (await readdir(directory, { withFileTypes: true }))
      .filter((entry) => !entry.isDirectory())
      .sort((one, other) => (one.name < other.name ? -1 : 1));
  } catch (error) {
    throw new FileError('CA directory', directory, error as NodeJS.ErrnoException);
  }
  if (names.length > FILES_AT_MOST)
    throw new TlsError(
      `the CA directory ${directory} has ${String(names.length)} files, more than ${String(FILES_AT_MOST)}`,
    );
  const [certificates, revocations, skipped]: [Uint8Array[], Uint8Array[], SkippedFile[]] = [[], [], []];
  for (const entry of names) {
    const path = join(directory, entry.name);
    const why =
      entry.isFile() || entry.isSymbolicLink()
        ? await readInto(path, certificates, revocations)
        : 'it is not a regular file';
    if (why !== undefined) skipped.push({ path, why });
  }
  if (certificates.length === 0)
    throw new TlsError(`the CA directory ${directory} holds no certificate${listOf(skipped)}`);
  return { certificates, revocations, skipped };
}

/** @returns why the file is skipped; `undefined` when it was read. */
async function readInto(
  path: string,
  certificates: Uint8Array[],
  revocations: Uint8Array[],
): Promise<string | undefined> {
  let bytes;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Broken links and links to directories are common in such directories.
    if (code === 'ENOENT' || code === 'ELOOP') return 'it is a broken link';
    if (code === 'EISDIR') return 'it is a link to a directory';
    throw new FileError('CA certificates', path, error as NodeJS.ErrnoException);
  }
  const pem = bytes[0] === SEQUENCE ? pemFrom(bytes) : bytes;
  if (pem === undefined) return 'it holds no certificate and no revocation list, neither in PEM nor in DER';
  const text = pem.toString('latin1');
  const [hasCertificates, hasLists] = [
    /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(text),
    text.includes('-----BEGIN X509 CRL-----'),
  ];
  if (hasLists) {
    try {
      withRevocationLists(pem, () => undefined);
    } catch (error) {
      throw new TlsError(`${path}: ${(error as Error).message}`, { cause: error });
    }
    revocations.push(pem);
  }
  if (!hasCertificates)
    return hasLists ? undefined : 'it holds no certificate and no revocation list, neither in PEM nor in DER';
  withAuthorities(pem, `CA file ${path}`, () => undefined);
  certificates.push(pem);
  return undefined;
}

/**
 * @returns the certificate (with its trust settings, if they follow it) or the revocation list as PEM; `undefined` when
 * the bytes are neither.
 */
function pemFrom(der: Buffer): Buffer | undefined {
  const ssl = openssl();
  const length = parsedBy(ssl.d2i_X509, ssl.X509_free, der);
  if (length === der.length) return Buffer.from(pemOf('CERTIFICATE', der));
  if (parsedBy(ssl.d2i_X509_AUX, ssl.X509_free, der) === der.length)
    return Buffer.from(pemOf('TRUSTED CERTIFICATE', der));
  return parsedBy(ssl.d2i_X509_CRL, ssl.X509_CRL_free, der) === der.length
    ? Buffer.from(pemOf('X509 CRL', der))
    : undefined;
}

/** @returns how many bytes were parsed; 0 when parsing failed. */
function parsedBy(
  parse: (made: null, at: BigUint64Array, length: number) => Pointer,
  free: (object: Pointer) => void,
  der: Buffer,
): number {
  const kept = Buffer.from(der);
  const start = openssl().addressOf(kept);
  const at = new BigUint64Array([start]);
  const object = parse(null, at, kept.length);
  takeErrorQueue();
  if (object === 0) return 0;
  free(object);
  return Number((at[0] ?? start) - start);
}

function listOf(skipped: readonly SkippedFile[]): string {
  if (skipped.length === 0) return ': it has no files';
  const rest = skipped.length - LISTED_AT_MOST;
  return `: ${skipped
    .slice(0, LISTED_AT_MOST)
    .map(({ path, why }) => `${path} (${why})`)
    .join(', ')}${rest > 0 ? ` and ${String(rest)} more` : ''}`;
}

const FILES_AT_MOST = 4096;
const LISTED_AT_MOST = 8;
const SEQUENCE = 0x30;
