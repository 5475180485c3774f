/** Certificates for tests with openssl, as files and as arguments, and data that openssl makes from them. */

import { spawnSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { Authority } from './authority.ts';
import type { Issued } from './authority.ts';
import { fileOf } from './program.ts';

export const authority = new Authority();
export const ca = { pem: authority.pem };
export const caFile = fileOf('authority.pem', authority.pem);
export const site = authority.issue({ names: ['localhost'] });
export const revoked = authority.issue({ names: ['localhost'] });
export const person = authority.issue({ names: ['somebody@example.org'], purpose: 'client' });
export const stranger = new Authority({ commonName: 'another root' }).issue({ names: ['localhost'] });
/** The list of revoked certificates. */
export const revocations = authority.crl([revoked.serial]);

/** The options of a context that presents a certificate with its chain. */
export const identity = ({ chain, key }: Issued) => ({ certificate: { pem: chain }, key: { pem: key } });

/** The arguments that make openssl present a certificate with its chain. */
export function shown({ certificate, chain, key, serial }: Issued): string[] {
  const file = (kind: string, text: string): string => fileOf(`${String(serial)}.${kind}`, text);
  const above = chain.slice(certificate.length);
  return [
    '-cert',
    file('pem', certificate),
    '-key',
    file('key', key),
    ...(above === '' ? [] : ['-cert_chain', file('chain', above)]),
  ];
}

/** The SHA-256 of the key in a certificate, in hexadecimal. */
export function digestOfKey({ certificate }: Issued): string {
  const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex');
}

/** An OCSP response in DER. `openssl ocsp`, acting as the authority, states in it that the certificate is good. */
export function statementAbout({ certificate, serial }: Issued): Buffer {
  const hex = serial.toString(16).toUpperCase();
  const index = fileOf(
    'index.txt',
    `V\t491231235959Z\t\t${hex.padStart(hex.length + (hex.length % 2), '0')}\tunknown\t/CN=localhost\n`,
  );
  const out = fileOf('statement.der', '');
  const { stderr } = spawnSync('openssl', [
    'ocsp',
    '-index',
    index,
    '-CA',
    caFile,
    '-rsigner',
    caFile,
    '-rkey',
    fileOf('authority.key', authority.key),
    '-issuer',
    caFile,
    '-cert',
    fileOf('subject.pem', certificate),
    '-respout',
    out,
  ]);
  const statement = readFileSync(out);
  if (statement.length === 0) throw new Error(`openssl ocsp made nothing: ${String(stderr)}`);
  return statement;
}
