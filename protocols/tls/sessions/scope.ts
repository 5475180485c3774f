/**
 * The scope of sessions: the digest of all that decided whether a connection could be trusted. A session is gone on
 * with only where it is the same, because a resumed handshake skips the checks that made it (CVE-2025-23419 is what
 * happens otherwise).
 */

import { createHash, randomBytes } from 'node:crypto';

import { Certificate } from '../certificates/certificate.ts';
import { checkedName } from '../served-names.ts';
import type { LoadedFiles } from '../context/loaded-files.ts';
import type { AnyOptions } from '../context/options.ts';

/**
 * @returns the digest of what an SSL_CTX with these options trusts, 32 bytes. A renewed certificate for the same names
 * leaves it as it is.
 */
export function scopeOf(role: 'client' | 'server', options: AnyOptions, files: LoadedFiles): Uint8Array {
  const parts = Object.entries(SCOPE).map(([name, part]) => [
    name,
    part === NO_TRUST ? null : part(options, files, role),
  ]);
  return createHash('sha256')
    .update(JSON.stringify([role, parts]))
    .digest();
}

/** What of an option goes into the scope. */
type Part = (options: AnyOptions, files: LoadedFiles, role: 'client' | 'server') => unknown;

/** The option decides nothing about whom to trust, or decides it anew in each handshake, resumed ones included. */
const NO_TRUST = 'no trust';

/** What each option says about trust: one that is new does not compile until somebody says it here. */
export const SCOPE: { readonly [K in keyof AnyOptions]-?: Part | typeof NO_TRUST } = {
  // Whose certificates are trusted.
  ca: (_, { trust }) => (trust === undefined ? null : blocksOf(trust.certificates)),
  crls: (_, { trust }) => (trust === undefined ? null : blocksOf(trust.revocations)),
  crlCheck: ({ crlCheck }) => crlCheck,
  verify: ({ verify = 'none' }, _, role) => (role === 'client' ? null : [verify].flat().sort()),
  dangerouslyVerifyNobody: ({ dangerouslyVerifyNobody = false }) => dangerouslyVerifyNobody,
  dangerouslySkipNameCheck: ({ dangerouslySkipNameCheck = false }) => dangerouslySkipNameCheck,
  dangerouslyUseOldNameRules: ({ dangerouslyUseOldNameRules = false }) => dangerouslyUseOldNameRules,
  dangerouslyIgnorePurpose: ({ dangerouslyIgnorePurpose = false }) => dangerouslyIgnorePurpose,
  dangerouslyAccept: ({ dangerouslyAccept = [] }) => [dangerouslyAccept].flat().sort(),
  depth: ({ depth }) => depth,
  expect: ({ expect }) => expect,
  psk: ({ psk, ...options }) =>
    typeof psk === 'function' ? madeBy(psk, options) : psk === undefined ? null : [psk.identity, sha256(psk.key)],

  // Who this side is.
  certificate: (_, { identities }, role) =>
    role === 'client' ? identities.map(({ certificate }) => Certificate.load(certificate).digest()) : null,
  identities: NO_TRUST,
  key: NO_TRUST,
  password: NO_TRUST,
  sessionScope: ({ sessionScope }, files, role) => (role === 'client' ? null : (sessionScope ?? namesOf(files))),
  serverNames: ({ serverNames = {} }) => Object.keys(serverNames).map(checkedName).sort(),
  strictServerNames: ({ strictServerNames = false }) => strictServerNames,
  // Whom it chooses has a scope of its own.
  chooseContext: NO_TRUST,
  alpn: ({ alpn, ...options }) => (typeof alpn === 'function' ? madeBy(alpn, options) : alpn),
  dangerouslyIgnoreAlpnMismatch: ({ dangerouslyIgnoreAlpnMismatch = false }) => dangerouslyIgnoreAlpnMismatch,

  // What is weak here must not come in by what was strong enough there.
  protocols: ({ protocols }) => [protocols?.min, protocols?.max],
  minimumSecurityLevel: ({ minimumSecurityLevel }) => minimumSecurityLevel,
  dangerouslyLowerSecurityLevel: ({ dangerouslyLowerSecurityLevel }) => dangerouslyLowerSecurityLevel,
  options: ({ options = [] }) => [...options].sort(),
  dangerouslyEnable: ({ dangerouslyEnable = [] }) => [...dangerouslyEnable].sort(),
  ciphers: ({ ciphers }) => ciphers,
  ciphersuites: ({ ciphersuites }) => ciphersuites,
  groups: ({ groups }) => groups,
  signatureAlgorithms: ({ signatureAlgorithms }) => signatureAlgorithms,
  dhParameters: (_, { dhParameters }) => (dhParameters === undefined ? null : blocksOf([dhParameters])),

  // The rest: what is told, how often, how long, and where sessions lie.
  allowPeerRenegotiations: NO_TRUST,
  dangerouslyLogKeys: NO_TRUST,
  ocspStaple: NO_TRUST,
  pskHint: NO_TRUST,
  requestOcspStaple: NO_TRUST,
  resumption: NO_TRUST,
  sessionCache: NO_TRUST,
  sessionLookupMs: NO_TRUST,
  sessionStore: NO_TRUST,
  sessionStoreKey: NO_TRUST,
  sessionTimeoutSeconds: NO_TRUST,
  sessions: NO_TRUST,
  ticketKeys: NO_TRUST,
  tickets: NO_TRUST,
};

/**
 * What a function decides nobody can know: only the same one decides the same, unless a name for the scope says that
 * others do.
 */
function madeBy(decides: object, { sessionScope }: AnyOptions): string {
  if (sessionScope !== undefined) return 'as the scope says';
  const known = deciders.get(decides) ?? randomBytes(16).toString('hex');
  deciders.set(decides, known);
  return known;
}

const deciders = new WeakMap<object, string>();

function namesOf({ identities }: LoadedFiles): string[] {
  return identities
    .map(({ certificate }) => {
      const own = Certificate.load(certificate).toX509Certificate();
      return (own.subjectAltName ?? own.subject).split(', ').sort().join(',');
    })
    .sort();
}

/** The digests of the PEM blocks, whatever stands between them and in whatever order. */
function blocksOf(pems: readonly Uint8Array[]): string[] {
  const blocks = pems.flatMap(
    (pem) =>
      Buffer.from(pem.buffer, pem.byteOffset, pem.length)
        .toString('latin1')
        .match(/-----BEGIN [^-]+-----[^-]+-----END/g) ?? [],
  );
  return [...new Set(blocks.map((block) => sha256(block.replace(/\s+/g, ''))))].sort();
}

const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('base64');
