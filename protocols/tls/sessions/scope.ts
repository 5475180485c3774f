/**
 * The scope of sessions: the digest of all settings that decide whether a peer is trusted. A session is resumed only in
 * the scope in which it was made, because a resumed handshake skips the checks of the full one (CVE-2025-23419 is such
 * a bug).
 */

import { createHash, randomBytes } from 'node:crypto';

import { Certificate } from '../certificates/certificate.ts';
import { checkedName } from '../served-names.ts';
import type { LoadedFiles } from '../context/loaded-files.ts';
import type { AnyOptions } from '../context/options.ts';

/**
 * @returns the digest of the trust settings of an SSL_CTX with these options, 32 bytes. On a server, renewing a
 * certificate for the same names does not change it.
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

/** The part of an option that goes into the scope. */
type Part = (options: AnyOptions, files: LoadedFiles, role: 'client' | 'server') => unknown;

/** Marks an option that does not affect trust, or whose check also runs in each resumed handshake. */
const NO_TRUST = 'no trust';

/** The part of each option in the scope. The type makes the compiler demand an entry for every new option. */
export const SCOPE: { readonly [K in keyof AnyOptions]-?: Part | typeof NO_TRUST } = {
  // Which certificates are trusted.
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

  // The identity of this side.
  certificate: (_, { identities }, role) =>
    role === 'client' ? identities.map(({ certificate }) => Certificate.load(certificate).digest()) : null,
  identities: NO_TRUST,
  key: NO_TRUST,
  password: NO_TRUST,
  sessionScope: ({ sessionScope }, files, role) => (role === 'client' ? null : (sessionScope ?? namesOf(files))),
  serverNames: ({ serverNames = {} }) => Object.keys(serverNames).map(checkedName).sort(),
  strictServerNames: ({ strictServerNames = false }) => strictServerNames,
  // The context that it chooses has its own scope.
  chooseContext: NO_TRUST,
  alpn: ({ alpn, ...options }) => (typeof alpn === 'function' ? madeBy(alpn, options) : alpn),
  dangerouslyIgnoreAlpnMismatch: ({ dangerouslyIgnoreAlpnMismatch = false }) => dangerouslyIgnoreAlpnMismatch,

  // A session made under weaker algorithms must not be resumed where only stronger ones are allowed.
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

  // The rest: logging, hints and staples, limits, lifetimes, and where sessions are stored.
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
 * Identifies a function, whose decisions are unknown: only the same function is sure to decide the same. With a
 * `sessionScope` the user states that all functions in that scope decide the same.
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

/** The digests of the PEM blocks, independent of their order and of the text between them. */
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
