/** The certificate authorities that a context trusts, and the certificates that they have revoked. */

import { X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';

import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { FileError, readPem, withAuthorities, withRevocationLists } from './pem.ts';
import type { PemSource } from './pem.ts';
import { TlsError } from './tls-error.ts';

/** A file of a CA directory that was not used. */
export interface SkippedFile {
  readonly path: string;
  readonly why: string;
}

/**
 * Where authorities come from: PEM; a directory whose files are all read, once, in PEM or DER (`context.skippedFiles` lists those that
 * were neither); the roots that Node.js bundles; those of the
 * system (the file that `SSL_CERT_FILE` names, or the bundle of the distribution).
 */
export type CaSource = PemSource | { readonly directory: string } | 'bundled' | 'system';

/** What was read of them. */
export interface TrustFiles {
  readonly certificates: readonly Uint8Array[];
  readonly revocations: readonly Uint8Array[];
  /** Whether the bundled roots are all there is, so that their store can be shared. */
  readonly isBundled: boolean;
  /** Those that a server names to its clients: given one by one, not whole collections. */
  readonly named: readonly Uint8Array[];
  /** Files of directories that were not used. */
  readonly skipped: readonly SkippedFile[];
}

/** @throws {FileError} when a file or directory cannot be read. @throws {TlsError} when the system has no roots. */
export async function readTrust(ca: CaSource | readonly CaSource[], crls: PemSource | readonly PemSource[] | undefined): Promise<TrustFiles> {
  const sources: readonly CaSource[] = Array.isArray(ca) ? ca : [ca as CaSource];
  const read = await Promise.all(sources.map(readSource));
  const lists: readonly PemSource[] = Array.isArray(crls) ? crls : crls === undefined ? [] : [crls as PemSource];
  const revocations = await Promise.all(lists.map((source) => readPem(source, 'revocation list')));
  return {
    certificates: read.flatMap(({ certificates }) => certificates),
    revocations: [...revocations, ...read.flatMap((source) => source.revocations)],
    isBundled: sources.length === 1 && sources[0] === 'bundled' && revocations.length === 0,
    skipped: read.flatMap(({ skipped = [] }) => skipped),
    named: read.flatMap(({ certificates }, index) => (typeof sources[index] === 'object' && !('directory' in sources[index]) ? certificates : [])),
  };
}

interface Read {
  readonly certificates: readonly Uint8Array[];
  readonly revocations: readonly Uint8Array[];
  readonly skipped?: readonly SkippedFile[];
}

async function readSource(source: CaSource): Promise<Read> {
  if (source === 'bundled') return { certificates: [Buffer.from(rootCertificates.join('\n'))], revocations: [] };
  if (source === 'system') return { certificates: [await systemRoots()], revocations: [] };
  if ('directory' in source) return readDirectory(source.directory);
  return { certificates: [await readPem(source, 'CA certificates')], revocations: [] };
}

async function readDirectory(directory: string): Promise<Read> {
  let names;
  try {
    names = (await readdir(directory, { withFileTypes: true })).filter((entry) => !entry.isDirectory()).map(({ name }) => name).sort();
  } catch (error) {
    throw new FileError('CA directory', directory, error as NodeJS.ErrnoException);
  }
  if (names.length > FILES_AT_MOST) throw new TlsError(`the CA directory ${directory} has ${String(names.length)} files, more than ${String(FILES_AT_MOST)}`);
  const certificates: Uint8Array[] = [];
  const revocations: Uint8Array[] = [];
  const skipped: SkippedFile[] = [];
  for (const name of names) {
    const path = join(directory, name);
    const bytes = await readPem({ file: path }, 'CA certificates');
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const pem = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(text.toString('latin1')) ? bytes : pemOf(bytes);
    const hasLists = text.includes('-----BEGIN X509 CRL-----');
    if (pem !== undefined) {
      // Parsed once here, so that it is the file that is complained of and not the directory.
      withAuthorities(pem, `CA file ${path}`, () => undefined);
      certificates.push(pem);
    }
    if (hasLists) revocations.push(bytes);
    if (pem === undefined && !hasLists) skipped.push({ path, why: 'it holds no certificate and no revocation list, neither in PEM nor in DER' });
  }
  if (certificates.length === 0) {
    const listed = skipped.length === 0 ? 'it has no files' : `skipped ${skipped.slice(0, 5).map(({ path }) => path).join(', ')}${skipped.length > 5 ? ' …' : ''}`;
    throw new TlsError(`the CA directory ${directory} holds no certificate: ${listed}`);
  }
  return { certificates, revocations, skipped };
}

/** @returns a certificate in DER as PEM; `undefined` when it is none. */
function pemOf(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] !== DER_SEQUENCE) return undefined;
  try {
    return Buffer.from(new X509Certificate(bytes).toString());
  } catch {
    return undefined;
  }
}

async function systemRoots(): Promise<Uint8Array> {
  const given = process.env['SSL_CERT_FILE'];
  for (const file of given === undefined ? SYSTEM_BUNDLES : [given]) {
    try {
      return await readPem({ file }, 'CA certificates');
    } catch (error) {
      if (given !== undefined || (error as FileError).code !== 'ENOENT') throw error;
    }
  }
  throw new TlsError(`the system has no root certificates where they are expected (${SYSTEM_BUNDLES.join(', ')}): install ca-certificates, or name a file in SSL_CERT_FILE`);
}

let bundled: Pointer | undefined;

/** Gives the store of `files` to `use`, and frees it after that; whoever keeps it takes a reference. @throws {TlsError} when something cannot be parsed. */
export function withStore(files: TrustFiles, use: (store: Pointer) => void): void {
  const ssl = openssl();
  if (files.isBundled) {
    // Parsed once and kept for the life of the process.
    use((bundled ??= fill(ssl.X509_STORE_new(), files)));
    return;
  }
  const store = ssl.X509_STORE_new();
  try {
    use(fill(store, files));
  } finally {
    ssl.X509_STORE_free(store);
  }
}

function fill(store: Pointer, { certificates, revocations }: TrustFiles): Pointer {
  const ssl = openssl();
  for (const pem of certificates) {
    withAuthorities(pem, 'CA file', (each) => {
      for (const certificate of each) ssl.X509_STORE_add_cert(store, certificate);
    });
  }
  for (const pem of revocations) {
    withRevocationLists(pem, (each) => {
      for (const list of each) ssl.X509_STORE_add_crl(store, list);
    });
  }
  return store;
}

// Where the distributions keep them: Debian and Alpine, Fedora and RHEL, openSUSE, others.
const SYSTEM_BUNDLES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem', '/etc/ssl/cert.pem'];
const FILES_AT_MOST = 4096;
const DER_SEQUENCE = 0x30;
