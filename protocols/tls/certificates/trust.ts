/** The certificate authorities that a context trusts, and the lists of the certificates that they have revoked. */

import { rootCertificates } from 'node:tls';

import { readCaDirectory } from './ca-directory.ts';
import type { SkippedFile } from './ca-directory.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { readPem, withAuthorities, withRevocationLists } from './pem.ts';
import type { FileError } from './pem.ts';
import type { PemSource } from './pem.ts';
import { TlsError } from '../tls-error.ts';

/**
 * Where authorities come from. PEM; or a directory, of which every file in PEM or DER is read once
 * (`context.skippedFiles` lists the other files); or `'bundled'`, the roots that Node.js bundles; or `'system'`, the
 * roots of the system (the file in `SSL_CERT_FILE`, or the bundle of the distribution).
 */
export type CaSource = PemSource | { readonly directory: string } | 'bundled' | 'system';

/** The contents of the authorities and revocation lists of a context. */
export interface TrustFiles {
  readonly certificates: readonly Uint8Array[];
  readonly revocations: readonly Uint8Array[];
  /** Whether there is nothing but the bundled roots, so that all contexts can share one store. */
  readonly isBundled: boolean;
  /** The authorities that a server names in its certificate request: those given as PEM, not whole collections. */
  readonly named: readonly Uint8Array[];
  /** The files of directories that were skipped. */
  readonly skipped: readonly SkippedFile[];
}

/**
 * Reads authorities and revocation lists.
 * @throws {FileError} when a file or directory cannot be read.
 * @throws {TlsError} when the system has no root certificates.
 */
export async function readTrust(
  ca: CaSource | readonly CaSource[],
  crls: PemSource | readonly PemSource[] | undefined,
): Promise<TrustFiles> {
  const sources: readonly CaSource[] = Array.isArray(ca) ? ca : [ca as CaSource];
  const read = await Promise.all(sources.map(readSource));
  const lists: readonly PemSource[] = Array.isArray(crls) ? crls : crls === undefined ? [] : [crls as PemSource];
  const revocations = await Promise.all(lists.map((source) => readPem(source, 'revocation list')));
  return {
    certificates: read.flatMap(({ certificates }) => certificates),
    revocations: [...revocations, ...read.flatMap((source) => source.revocations)],
    isBundled: sources.length === 1 && sources[0] === 'bundled' && revocations.length === 0,
    skipped: read.flatMap(({ skipped = [] }) => skipped),
    named: read.flatMap(({ certificates }, index) =>
      typeof sources[index] === 'object' && !('directory' in sources[index]) ? certificates : [],
    ),
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
  if ('directory' in source) return readCaDirectory(source.directory);
  return { certificates: [await readPem(source, 'CA certificates')], revocations: [] };
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
  throw new TlsError(
    `the system has no root certificates (looked for ${SYSTEM_BUNDLES.join(', ')}): install ca-certificates, or set SSL_CERT_FILE to a file`,
  );
}

let bundled: Pointer | undefined;

/**
 * Passes an `X509_STORE` with `files` to `use`, and frees the store afterwards. To keep it, `use` takes a reference.
 * @throws {TlsError} when something cannot be parsed.
 */
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

// The bundles of the distributions: Debian and Alpine, Fedora and RHEL, openSUSE, others.
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
