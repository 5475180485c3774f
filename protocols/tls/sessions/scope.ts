/**
 * The scope of sessions: the digest of all that decided whether a connection could be trusted. A session is gone on with only where
 * it is the same, because a resumed handshake skips the checks that made it (CVE-2025-23419 is what happens otherwise).
 */

import { createHash, randomBytes } from 'node:crypto';

import { Certificate } from '../certificate.ts';
import { checkedName } from '../client-hello.ts';
import type { LoadedFiles } from '../configure.ts';
import type { AnyOptions } from '../options.ts';

/** @returns the digest of what an SSL_CTX with these options trusts, 32 bytes. A renewed certificate for the same names leaves it as it is. */
export function scopeOf(role: 'client' | 'server', options: AnyOptions, files: LoadedFiles): Uint8Array {
  const { verify, depth, crlCheck, dangerouslyIgnorePurpose, dangerouslyAccept, expect, minimumSecurityLevel, alpn, nameRules, verifyName, serverNames, strictServerNames, psk, signatureAlgorithms, ciphers, ciphersuites, groups, protocols, options: enabled } = options;
  return digest({
    role,
    verify: [verify ?? null].flat().map(String).sort(),
    authorities: files.trust === undefined ? null : blocksOf(files.trust.certificates),
    depth,
    crlCheck: crlCheck ?? (files.trust?.revocations.length ?? 0) > 0,
    dangerouslyIgnorePurpose,
    dangerouslyAccept: typeof dangerouslyAccept === 'string' ? dangerouslyAccept : [...dangerouslyAccept ?? []].sort(),
    expect,
    minimumSecurityLevel,
    alpn: typeof alpn === 'function' ? madeBy(alpn, options) : alpn,
    nameRules,
    verifyName,
    names: role === 'client' ? files.identities.map(({ certificate }) => Certificate.load(certificate).digest()) : options.sessionScope ?? namesOf(files),
    serverNames: Object.keys(serverNames ?? {}).map(checkedName).sort(),
    strictServerNames,
    psk: typeof psk === 'function' ? madeBy(psk, options) : psk === undefined ? null : [psk.identity, createHash('sha256').update(psk.key).digest('base64')],
    signatureAlgorithms,
    // What is weak here must not come in by what was strong enough there.
    algorithms: [ciphers, ciphersuites, groups, protocols, [...enabled ?? []].sort()],
    revocations: files.trust === undefined ? null : blocksOf(files.trust.revocations),
  });
}

/** The scope of a connection to one of the server's names, 32 bytes: it goes into sessions as their id context. */
export function scopeFor(scope: Uint8Array, serverName: string | undefined, idContext: Uint8Array): Uint8Array {
  return createHash('sha256').update(scope).update(idContext).update('|').update(serverName === undefined ? 'none' : `name:${serverName.toLowerCase()}`).digest();
}

/** What a function decides nobody can know: only the same one decides the same, unless a name for the scope says that others do. */
function madeBy(decides: object, { sessionScope }: AnyOptions): string {
  if (sessionScope !== undefined) return 'as the scope says';
  const known = deciders.get(decides) ?? randomBytes(16).toString('hex');
  deciders.set(decides, known);
  return known;
}

const deciders = new WeakMap<object, string>();

function namesOf({ identities }: LoadedFiles): string[] {
  return identities.map(({ certificate }) => {
    const own = Certificate.load(certificate).toX509Certificate();
    return (own.subjectAltName ?? own.subject).split(', ').sort().join(',');
  }).sort();
}

/** The digests of the PEM blocks, whatever stands between them and in whatever order. */
function blocksOf(pems: readonly Uint8Array[]): string[] {
  const blocks = pems.flatMap((pem) => Buffer.from(pem.buffer, pem.byteOffset, pem.length).toString('latin1').match(/-----BEGIN [^-]+-----[^-]+-----END/g) ?? []);
  return [...new Set(blocks.map((block) => createHash('sha256').update(block.replace(/\s+/g, '')).digest('base64')))].sort();
}

const digest = (parts: object): Uint8Array => createHash('sha256').update(JSON.stringify(parts)).digest();
