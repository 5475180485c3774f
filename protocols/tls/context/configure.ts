/** Applies options to an SSL_CTX. */

import { callbacks } from '../callbacks.ts';
import { mustDecide } from '../decision.ts';
import { encodeProtocols } from '../alpn.ts';
import * as c from '../constants.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import { optionBits } from './option-names.ts';
import type { AnyOptions, TlsOptions, VerifyMode } from './options.ts';
import { readDhParameters, withAuthorities, withCertificates, withPrivateKey } from '../certificates/pem.ts';
import type { ContextSettings } from './settings.ts';
import { setInternalCache } from '../sessions/internal-cache.ts';
import { refused } from '../tls-error.ts';
import { withStore } from '../certificates/trust.ts';
import type { TrustFiles } from '../certificates/trust.ts';
import type { LoadedFiles, LoadedIdentity } from './loaded-files.ts';

/** @returns the SSL_VERIFY_… bits of `verify`. @throws {RangeError} when it is empty or has an unknown word. */
export function verifyModesOf(verify: VerifyMode | readonly VerifyMode[]): number {
  const words = [verify].flat();
  if (words.length === 0) throw new RangeError("verify is empty: use 'none' for no verification");
  // Options may come from untyped code, and an unknown word must not mean "no verification".
  assertKnown(VERIFY_MODES, words, 'verify');
  return words.reduce((bits, mode) => bits | VERIFY_MODES[mode], 0);
}

/**
 * Applies `options` and `files` to the SSL_CTX of `settings`.
 * @throws {TlsError} when OpenSSL refuses a value; the message has OpenSSL's reason.
 */
export function configure(settings: ContextSettings, options: AnyOptions, files: LoadedFiles): void {
  const ssl = openssl();
  const context = settings.pointer;
  setVersions(context, options);
  setModes(context);
  setAlgorithms(context, options);
  // A renegotiation is made to check certificates again, so it must not resume a session.
  let bits =
    c.SSL_OP_NO_COMPRESSION |
    c.SSL_OP_CIPHER_SERVER_PREFERENCE |
    c.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION |
    optionBits(options.options ?? [], options.dangerouslyEnable ?? []);
  // Tickets stay on for stateless servers, and for clients, because their server may be stateless.
  if (settings.role === 'server' && settings.resumption !== 'stateless') bits |= c.SSL_OP_NO_TICKET;
  bits |= settings.peerRenegotiations > 0 ? c.SSL_OP_ALLOW_CLIENT_RENEGOTIATION : c.SSL_OP_NO_RENEGOTIATION;
  ssl.SSL_CTX_set_options(context, bits);
  ssl.SSL_CTX_set_verify(context, settings.verifyModes, callbacks().verify);
  ssl.SSL_CTX_set_verify_depth(context, options.depth ?? DEPTH);
  if (options.dangerouslyIgnorePurpose === true)
    check(ssl.SSL_CTX_set_purpose(context, c.X509_PURPOSE_ANY), 'dangerouslyIgnorePurpose');
  for (const identity of files.identities) useIdentity(context, identity);
  if (files.trust !== undefined) trust(settings, files.trust, options);
  if (files.dhParameters === undefined) check(ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_SET_DH_AUTO, 1, 0), 'dhParameters');
  else {
    const parameters = readDhParameters(files.dhParameters);
    if (ssl.SSL_CTX_set0_tmp_dh_pkey(context, parameters) <= 0) {
      ssl.EVP_PKEY_free(parameters);
      throw refused('dhParameters cannot be used');
    }
  }
  setSessions(settings, options);
  listen(settings);
  if (settings.role === 'server') {
    if (options.pskHint !== undefined) check(ssl.SSL_CTX_use_psk_identity_hint(context, options.pskHint), 'pskHint');
    return;
  }
  check(ssl.SSL_CTX_dane_enable(context), 'DANE');
  if (files.identities.length > 0) ssl.SSL_CTX_set_post_handshake_auth(context, 1);
  if (Array.isArray(options.alpn)) {
    const encoded = encodeProtocols(options.alpn as readonly string[]);
    // Unlike the other functions of OpenSSL here, this one returns 0 for success.
    if (ssl.SSL_CTX_set_alpn_protos(context, encoded, encoded.length) !== 0) throw refused('alpn');
  }
}

/** Uses this certificate for new connections, in place of one with the same kind of key. */
export function useIdentity(context: Pointer, { certificate, key, password }: LoadedIdentity): void {
  const ssl = openssl();
  withCertificates(certificate, 'certificate', ([own, ...issuers]) => {
    withPrivateKey(key, password, (pkey) => {
      const chain = ssl.OPENSSL_sk_new_null();
      try {
        for (const issuer of issuers) ssl.OPENSSL_sk_push(chain, issuer);
        const isUsed = ssl.SSL_CTX_use_cert_and_key(context, own, pkey, chain, 1) > 0;
        if (!isUsed) throw refused('the certificate and private key cannot be used');
      } finally {
        ssl.OPENSSL_sk_free(chain);
      }
    });
  });
}

function setVersions(context: Pointer, { protocols }: TlsOptions): void {
  const ssl = openssl();
  const { min = 'TLSv1.2', max = 'TLSv1.3' } = protocols ?? {};
  assertKnown(c.VERSIONS, [min, max], 'protocols');
  if (c.VERSIONS[min] > c.VERSIONS[max]) throw new RangeError(`protocols.min ${min} is above protocols.max ${max}`);
  check(ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_SET_MIN_PROTO_VERSION, c.VERSIONS[min], 0), `protocols.min ${min}`);
  check(ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_SET_MAX_PROTO_VERSION, c.VERSIONS[max], 0), `protocols.max ${max}`);
}

function setModes(context: Pointer): void {
  const ssl = openssl();
  // OpenSSL sends none by itself: the transport issues the tickets of TLS 1.3 later, one by one.
  ssl.SSL_CTX_set_num_tickets(context, 0);
  ssl.SSL_CTX_ctrl(context, c.SSL_CTRL_CLEAR_MODE, c.SSL_MODE_ENABLE_PARTIAL_WRITE, 0);
  ssl.SSL_CTX_ctrl(
    context,
    c.SSL_CTRL_MODE,
    c.SSL_MODE_AUTO_RETRY | c.SSL_MODE_RELEASE_BUFFERS | c.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
    0,
  );
}

function setAlgorithms(context: Pointer, options: AnyOptions): void {
  const ssl = openssl();
  ssl.SSL_CTX_set_security_level(
    context,
    options.dangerouslyLowerSecurityLevel ?? options.minimumSecurityLevel ?? SECURITY_LEVEL,
  );
  const {
    ciphers = options.psk === undefined ? CIPHERS : `${CIPHERS}:${PSK_CIPHERS}`,
    ciphersuites = CIPHERSUITES,
    groups = GROUPS,
    signatureAlgorithms,
  } = options;
  check(ssl.SSL_CTX_set_cipher_list(context, ciphers), `ciphers "${ciphers}" select no cipher`);
  check(ssl.SSL_CTX_set_ciphersuites(context, ciphersuites), `ciphersuites "${ciphersuites}" are not valid`);
  if ((options.protocols?.max ?? 'TLSv1.3') === 'TLSv1.3' && !hasTls13Suite(context))
    throw refused(`ciphersuites "${ciphersuites}" select no cipher suite`);
  check(ssl.SSL_CTX_ctrl_text(context, c.SSL_CTRL_SET_GROUPS_LIST, 0, groups), `groups "${groups}" are not valid`);
  if (signatureAlgorithms !== undefined)
    check(
      ssl.SSL_CTX_ctrl_text(context, c.SSL_CTRL_SET_SIGALGS_LIST, 0, signatureAlgorithms),
      `signatureAlgorithms "${signatureAlgorithms}" are not valid`,
    );
}

function hasTls13Suite(context: Pointer): boolean {
  const ssl = openssl();
  const ciphers = ssl.SSL_CTX_get_ciphers(context);
  return Array.from({ length: ssl.OPENSSL_sk_num(ciphers) }, (_, index) =>
    ssl.SSL_CIPHER_get_protocol_id(ssl.OPENSSL_sk_value(ciphers, index)),
  ).some((id) => id >> 8 === TLS13_SUITES);
}

function trust({ pointer, role }: ContextSettings, files: TrustFiles, options: TlsOptions): void {
  const ssl = openssl();
  withStore(files, (store) => {
    ssl.SSL_CTX_set1_cert_store(pointer, store);
  });
  const { crlCheck = files.revocations.length > 0 ? 'leaf' : undefined } = options;
  if (crlCheck !== undefined) {
    assertKnown(CRL_CHECKS, [crlCheck], 'crlCheck');
    ssl.X509_VERIFY_PARAM_set_flags(ssl.SSL_CTX_get0_param(pointer), CRL_CHECKS[crlCheck]);
  }
  if (role === 'server')
    for (const pem of files.named)
      withAuthorities(pem, 'CA file', (certificates) => {
        for (const certificate of certificates) ssl.SSL_CTX_add_client_CA(pointer, certificate);
      });
}

function setSessions(settings: ContextSettings, { sessionCache }: AnyOptions): void {
  const ssl = openssl();
  const { pointer, role, resumption, vault, scope, sessionTtlMs, ticketKeys, clientSessions } = settings;
  ssl.SSL_CTX_set_timeout(pointer, sessionTtlMs / 1000);
  if (role === 'server' && resumption !== 'stateful' && sessionCache !== undefined && sessionCache.mode !== 'off')
    throw new TypeError("sessionCache needs resumption: 'stateful'");
  const isOn = role === 'client' ? clientSessions !== undefined : resumption === 'stateful';
  // Sessions in a store or in `ClientSessions` are not kept a second time in OpenSSL.
  const keepsElsewhere = role === 'client' || vault !== undefined;
  setInternalCache(
    pointer,
    role,
    sessionCache ?? { mode: isOn ? role : 'off', ...(keepsElsewhere ? { lookup: false, store: false } : {}) },
  );
  const given = callbacks();
  ssl.SSL_CTX_sess_set_new_cb(pointer, given.sessionNew);
  if (role === 'client' || resumption === 'off') return;
  ssl.SSL_CTX_set_session_id_context(pointer, scope, scope.length);
  ssl.SSL_CTX_callback_ctrl(pointer, c.SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, given.serverName);
  if (vault !== undefined) {
    ssl.SSL_CTX_sess_set_get_cb(pointer, given.sessionGet);
    ssl.SSL_CTX_set_generate_session_id(pointer, given.sessionId);
  }
  if (ticketKeys === undefined) return;
  ssl.SSL_CTX_callback_ctrl_ticket(pointer, c.SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB, given.ticketKey);
  ssl.SSL_CTX_set_session_ticket_cb(pointer, given.ticketMade, given.ticketOpened, 0);
}

/** Sets only the callbacks that this context needs: each of them costs a call from C. */
function listen(settings: ContextSettings): void {
  const ssl = openssl();
  const { pointer, role } = settings;
  const given = callbacks();
  ssl.SSL_CTX_set_info_callback(pointer, given.info);
  if (settings.keyLog !== undefined) ssl.SSL_CTX_set_keylog_callback(pointer, given.keyLog);
  if (role === 'client') {
    if (settings.pskClient === undefined) return;
    ssl.SSL_CTX_set_psk_client_callback(pointer, given.pskClient);
    ssl.SSL_CTX_set_psk_use_session_callback(pointer, given.pskUse);
    return;
  }
  if (mustDecide(settings) || settings.resumption !== 'off')
    ssl.SSL_CTX_set_client_hello_cb(pointer, given.clientHello, 0);
  if (settings.alpn !== undefined) ssl.SSL_CTX_set_alpn_select_cb(pointer, given.alpnSelect, 0);
  if (settings.staple !== undefined)
    ssl.SSL_CTX_callback_ctrl(pointer, c.SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB, given.status);
  if (settings.pskServer === undefined) return;
  ssl.SSL_CTX_set_psk_server_callback(pointer, given.pskServer);
  ssl.SSL_CTX_set_psk_find_session_callback(pointer, given.pskFind);
}

function check(result: number, what: string): void {
  if (result <= 0) throw refused(what);
}

/** @throws {RangeError} when one of `words` is not a key of `table`. */
function assertKnown(table: object, words: readonly string[], option: string): void {
  for (const word of words)
    if (!Object.hasOwn(table, word))
      throw new RangeError(`${option} takes ${Object.keys(table).join(', ')}, not ${word}`);
}

const VERIFY_MODES: Record<VerifyMode, number> = {
  none: c.SSL_VERIFY_NONE,
  peer: c.SSL_VERIFY_PEER,
  client_once: c.SSL_VERIFY_PEER | c.SSL_VERIFY_CLIENT_ONCE,
  fail_if_no_peer_cert: c.SSL_VERIFY_PEER | c.SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
};
const CRL_CHECKS = { leaf: c.X509_V_FLAG_CRL_CHECK, chain: c.X509_V_FLAG_CRL_CHECK | c.X509_V_FLAG_CRL_CHECK_ALL };
// 112 bits of security: no RSA below 2048 bits, no SHA-1 signatures (SSL_CTX_set_security_level(3)).
const SECURITY_LEVEL = 2;
const DEPTH = 9;
// Set explicitly, because the defaults differ between versions of Node.js.
const CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20';
// The PSK ciphers with forward secrecy and authenticated encryption.
const PSK_CIPHERS =
  'ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-AES128-GCM-SHA256:DHE-PSK-CHACHA20-POLY1305';
const CIPHERSUITES = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
const GROUPS = 'X25519:P-256:P-384';
// The first byte of the number of every TLS 1.3 cipher suite.
const TLS13_SUITES = 0x13;
