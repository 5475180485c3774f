/** The rules of the TLS options: which values each option takes, and which options decide about trust. */

import {
  bytes,
  checkOptions,
  count,
  either,
  flag,
  func,
  group,
  listOf,
  number,
  oneOf,
  partWith,
  required,
  secret,
  span,
  text,
  thing,
  trust,
} from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { EXPECTATION_RULES } from '../certificates/check-peer.ts';
import * as c from '../constants.ts';
import type { TlsaRecord } from '../dane.ts';
import type { Identity, TlsClientOptions, TlsConnectionOptions, TlsOptions, TlsServerOptions } from './options.ts';
import { sharedKey } from '../psk.ts';
import type { PskIdentity } from '../psk.ts';
import { LIFETIME_AT_MOST } from '../sessions/session.ts';
import type { InternalCacheOptions } from '../sessions/internal-cache.ts';
import { secretKey, sessionStore } from '../../stores/store-rules.ts';

/** The rules of `{ file }`. */
export const FILE_RULES = { file: required(text) };
const fileOnly = group(FILE_RULES, '{ file: PATH }');
// Secret, because a wrong value may be a key: a user may pass PEM text by itself.
const pem = secret(thing('{ file: PATH } or { pem: TEXT }', isPem));
const authority = secret(either(pem, thing('{ directory: PATH }', isDirectory), oneOf('bundled', 'system')));

/** OpenSSL cuts a password off at 1024 bytes, and C at a zero byte. */
export const password = secret(
  thing('text of at most 1024 bytes without a zero byte', (value) => {
    return typeof value === 'string' && ((Buffer.byteLength(value) <= 1024 && !value.includes('\0')) || 'range');
  }),
);

export const IDENTITY_RULES = {
  certificate: trust(required(pem)),
  key: trust(required(pem)),
  password: secret(either(password, func)),
} satisfies Rules<Identity>;

const version = trust(oneOf(...Object.keys(c.VERSIONS)));
export const PROTOCOL_RULES = { min: version, max: version } satisfies Rules<NonNullable<TlsOptions['protocols']>>;

export const CACHE_RULES = {
  mode: oneOf('off', 'client', 'server', 'both'),
  autoClear: flag,
  lookup: flag,
  store: flag,
  size: count(0),
} satisfies Rules<InternalCacheOptions>;

// A cipher list can also lower the security level (@SECLEVEL).
const ciphers = thing('an OpenSSL cipher list without @SECLEVEL (use minimumSecurityLevel)', (value) => {
  return typeof value === 'string' && ((value !== '' && !/@seclevel/i.test(value)) || 'range');
});

export const COMMON_RULES = {
  certificate: trust(pem),
  key: trust(pem),
  password: secret(either(password, func)),
  identities: trust(secret(listOf(secret(group(IDENTITY_RULES))))),
  ca: trust(secret(either(authority, listOf(authority, 1)))),
  crls: trust(secret(either(pem, listOf(pem)))),
  crlCheck: trust(oneOf('leaf', 'chain')),
  depth: trust(count(0, 100)),
  dangerouslyIgnorePurpose: flag,
  dangerouslyAccept: either(oneOf('all'), listOf(text)),
  expect: trust(group(EXPECTATION_RULES)),
  protocols: trust(group(PROTOCOL_RULES)),
  options: trust(listOf(text)),
  dangerouslyEnable: listOf(text),
  ciphers: trust(ciphers),
  ciphersuites: trust(text),
  groups: trust(text),
  signatureAlgorithms: trust(text),
  dhParameters: secret(either(pem, oneOf('auto'))),
  minimumSecurityLevel: trust({
    ...count(2, 5),
    takes: `${count(2, 5).takes} (for a lower level use dangerouslyLowerSecurityLevel)`,
  }),
  dangerouslyLowerSecurityLevel: count(0, 1),
  allowPeerRenegotiations: count(0),
  sessionScope: text,
  sessionTimeoutSeconds: number(
    `a number of seconds of 1…${String(LIFETIME_AT_MOST)}`,
    (value) => value >= 1 && value <= LIFETIME_AT_MOST,
  ),
  sessionCache: group(CACHE_RULES),
  dangerouslyLogKeys: either(oneOf('event', 'SSLKEYLOGFILE'), fileOnly),
} satisfies Rules<TlsOptions>;

export const PSK_RULES = {
  identity: trust(required(text)),
  key: trust(required(secret(sharedKey))),
  digest: trust(oneOf('sha256', 'sha384')),
} satisfies Rules<PskIdentity>;

const clientMode = { ...oneOf('peer'), takes: "'peer' (to verify nothing use dangerouslyVerifyNobody)" };
export const CLIENT_RULES = {
  ...COMMON_RULES,
  verify: trust(clientMode),
  dangerouslyVerifyNobody: flag,
  dangerouslySkipNameCheck: flag,
  dangerouslyUseOldNameRules: flag,
  alpn: trust(listOf(text)),
  requestOcspStaple: flag,
  psk: trust(secret(either(group(PSK_RULES), func))),
  sessions: either(oneOf('off'), partWith('a ClientSessions', 'add', 'take')),
} satisfies Rules<TlsClientOptions>;

const serverMode = oneOf('none', 'peer', 'client_once', 'fail_if_no_peer_cert');
export const SERVER_RULES = {
  ...COMMON_RULES,
  verify: trust(either(serverMode, listOf(serverMode, 1))),
  alpn: trust(either(listOf(text), func)),
  dangerouslyIgnoreAlpnMismatch: flag,
  serverNames: trust(
    thing(
      'an object of server contexts by name',
      (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && !('then' in value),
    ),
  ),
  strictServerNames: trust(flag),
  chooseContext: trust(func),
  ocspStaple: either(bytes, func),
  psk: trust(secret(func)),
  pskHint: text,
  resumption: oneOf('off', 'stateful', 'stateless'),
  sessionStore,
  sessionStoreKey: trust(secretKey),
  sessionLookupMs: span,
  ticketKeys: partWith('a TicketKeys', 'sealing', 'opening'),
  tickets: count(0, 16),
} satisfies Rules<TlsServerOptions>;

// Any byte is valid: a record from the DNS may have values unknown here, and OpenSSL skips what it cannot use (RFC
// 7671).
export const TLSA_RULES = {
  usage: trust(required(count(0, 255))),
  selector: trust(required(count(0, 255))),
  matchingType: trust(required(count(0, 255))),
  data: trust(required(bytes)),
} satisfies Rules<TlsaRecord>;

export const CONNECTION_RULES = {
  serverName: trust(text),
  expect: trust(group(EXPECTATION_RULES)),
  tlsa: trust(listOf(group(TLSA_RULES))),
  peer: text,
  session: partWith('a TlsSession', 'toDer', 'dispose'),
  maxAheadBytes: count(1),
} satisfies Rules<TlsConnectionOptions>;

/** @throws {TypeError | RangeError} when an option of a client's context is invalid, or two of them conflict. */
export function checkClientOptions(options: TlsClientOptions): void {
  checkOptions('TlsContext.client', options, CLIENT_RULES);
  checkTogether('TlsContext.client', options);
  const {
    verify,
    dangerouslyVerifyNobody = false,
    dangerouslyUseOldNameRules = false,
    dangerouslySkipNameCheck = false,
  } = options;
  if (verify !== undefined && dangerouslyVerifyNobody)
    throw new TypeError("TlsContext.client takes verify: 'peer' or dangerouslyVerifyNobody, not both");
  if (dangerouslyUseOldNameRules && dangerouslySkipNameCheck)
    throw new TypeError('TlsContext.client takes dangerouslyUseOldNameRules or dangerouslySkipNameCheck, not both');
}

/** @throws {TypeError | RangeError} when an option of a server's context is invalid, or two of them conflict. */
export function checkServerOptions(options: TlsServerOptions): void {
  checkOptions('TlsContext.server', options, SERVER_RULES);
  checkTogether('TlsContext.server', options);
}

function checkTogether(
  call: string,
  { minimumSecurityLevel, dangerouslyLowerSecurityLevel, protocols }: TlsOptions,
): void {
  if (minimumSecurityLevel !== undefined && dangerouslyLowerSecurityLevel !== undefined) {
    throw new TypeError(`${call} takes minimumSecurityLevel or dangerouslyLowerSecurityLevel, not both`);
  }
  for (const [name, given] of Object.entries(protocols ?? {})) {
    if (c.VERSIONS[given] >= c.VERSIONS['TLSv1.2'] || dangerouslyLowerSecurityLevel === 0) continue;
    throw new RangeError(`${call}: protocols.${name} ${given} is insecure and needs dangerouslyLowerSecurityLevel: 0`);
  }
}

function isPem(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) return false;
  if ('file' in value) return typeof value.file === 'string' && value.file !== '';
  return 'pem' in value && (typeof value.pem === 'string' || value.pem instanceof Uint8Array);
}

function isDirectory(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).length === 1 &&
    'directory' in value &&
    typeof value.directory === 'string' &&
    value.directory !== ''
  );
}
