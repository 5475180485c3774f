/** What each option of a TLS context takes, and which of them decide about trust. */

import { bytes, checkOptions, count, flag, func, object, oneOf, secret, span, text, thing, trust } from '../../core/options.ts';
import type { Rule, Rules } from '../../core/options.ts';
import type { PeerExpectation } from './check-peer.ts';
import type { Identity, TlsClientOptions, TlsConnectionOptions, TlsServerOptions } from './options.ts';

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);
const isPem = (value: unknown): boolean => isObject(value) && (('file' in value && typeof value.file === 'string' && value.file !== '') || ('pem' in value && (typeof value.pem === 'string' || value.pem instanceof Uint8Array)));
const someOf = (isOne: (value: unknown) => boolean) => (value: unknown): boolean => (Array.isArray(value) ? value.length > 0 && value.every(isOne) : isOne(value));

const isCa = (value: unknown): boolean => value === 'bundled' || value === 'system' || isPem(value) || (isObject(value) && 'directory' in value && typeof value.directory === 'string');
const pem = secret(trust(thing('{ file: PATH } or { pem: TEXT }', isPem)));
const texts: Rule = { takes: 'a list of texts', judge: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string') };
const words = trust(thing('a word of its list, or a list of them', (value) => typeof value === 'string' || (Array.isArray(value) && value.every((each) => typeof each === 'string'))));

// What selects nothing is refused by OpenSSL, by name.
const listed = thing('a text with colons between the names', (value) => typeof value === 'string');

/** A password is cut by OpenSSL at 1024 bytes, and by C at a zero. */
const password: Rule = {
  takes: 'a text of at most 1023 bytes without a zero among them, or a function that gives one',
  judge(value) {
    if (typeof value === 'function') return true;
    return typeof value === 'string' ? isWholePassword(value) || 'range' : false;
  },
  isSecret: true,
  decidesTrust: true,
};

/** Whether OpenSSL takes all of it. */
export function isWholePassword(value: string): boolean {
  return Buffer.byteLength(value) < 1_024 && !value.includes('\0');
}

const protocols: Rule = {
  takes: 'an object with min and max, each a version such as \'TLSv1.2\'',
  judge: (value) => isObject(value) && Object.entries(value).every(([name, version]) => (name === 'min' || name === 'max') && (version === undefined || typeof version === 'string')),
};

const EXPECTATION_RULES = {
  name: text,
  digest: thing('a digest in hexadecimal, or a list of them', someOf((value) => typeof value === 'string')),
  publicKeyDigest: thing('a digest in base64, or a list of them', someOf((value) => typeof value === 'string')),
  rules: oneOf('rfc9525', 'rfc2818'),
} satisfies Rules<PeerExpectation>;

/** A misspelt name in it would expect nothing. */
const expect: Rule = trust(thing('an object with name, digest, publicKeyDigest or rules', (value) => {
  if (isObject(value)) checkOptions('expect', value, EXPECTATION_RULES);
  return isObject(value);
}));

const IDENTITY = { certificate: pem, key: pem, password };

const COMMON = {
  ...IDENTITY,
  identities: trust(thing('a list of { certificate, key, password }', (value) => Array.isArray(value) && value.every(isObject))),
  ca: secret(trust(thing("{ file }, { pem }, { directory }, 'bundled', 'system', or a list of them", someOf(isCa)))),
  crls: secret(trust(thing('{ file }, { pem }, or a list of them', someOf(isPem)))),
  crlCheck: trust(oneOf('leaf', 'chain')),
  verify: words,
  depth: trust(count(0, 100)),
  dangerouslyIgnorePurpose: flag,
  dangerouslyAccept: words,
  expect,
  protocols: trust(protocols),
  options: trust(texts),
  ciphers: trust(listed),
  ciphersuites: trust(listed),
  groups: trust(listed),
  signatureAlgorithms: trust(listed),
  dhParameters: thing("{ file }, { pem } or 'auto'", (value) => value === 'auto' || isPem(value)),
  minimumSecurityLevel: trust(count(0, 5)),
  allowPeerRenegotiations: count(0),
  sessionScope: text,
  sessionTimeoutSeconds: thing('a number of seconds', (value) => typeof value === 'number'),
  sessionCache: object,
  dangerouslyLogKeys: thing("'event', 'SSLKEYLOGFILE' or { file: PATH }", (value) => value === 'event' || value === 'SSLKEYLOGFILE' || isObject(value)),
} as const;

export const IDENTITY_RULES = IDENTITY satisfies Rules<Identity>;

export const CLIENT_RULES = {
  ...COMMON,
  verifyName: trust(flag),
  nameRules: trust(oneOf('rfc9525', 'rfc2818')),
  alpn: trust(texts),
  requestOcspStaple: flag,
  psk: secret(trust(thing('{ identity, key } or a function that gives it', (value) => typeof value === 'function' || isObject(value)))),
  sessions: thing("a ClientSessions or 'off'", (value) => value === 'off' || isObject(value)),
} satisfies Rules<TlsClientOptions>;

export const SERVER_RULES = {
  ...COMMON,
  alpn: trust(thing('a list of texts, or a function that chooses', (value) => typeof value === 'function' || texts.judge(value) === true)),
  alpnMismatch: oneOf('fatal', 'ignore'),
  serverNames: trust(thing('an object of contexts by name', isObject)),
  strictServerNames: trust(flag),
  chooseContext: trust(func),
  ocspStaple: thing('bytes, or a function that gives them', (value) => typeof value === 'function' || bytes.judge(value) === true),
  psk: secret(trust(func)),
  pskHint: text,
  resumption: oneOf('off', 'stateful', 'stateless'),
  sessionStore: thing('a session store', isObject),
  sessionStoreKey: secret(trust(bytes)),
  sessionLookupMs: span,
  ticketKeys: thing('a TicketKeys', isObject),
  tickets: count(0, 16),
} satisfies Rules<TlsServerOptions>;

export const CONNECTION_RULES = {
  serverName: trust(text),
  expect,
  tlsa: trust(thing('a list of TLSA records', Array.isArray)),
  peer: text,
  session: thing('a TlsSession', isObject),
  maxAheadBytes: count(1),
} satisfies Rules<TlsConnectionOptions>;
