/**
 * All calls into the OpenSSL that is part of Node.js.
 *
 * The functions are looked up in the running process at first use. So importing this file works everywhere, and no
 * second libssl is loaded. Pointers are numbers (user space lies below 2^53); 0 is NULL. OpenSSL's manual pages
 * describe the functions; the declarations here give the types of their arguments and results.
 * Long because it declares some two hundred functions.
 */

import koffi from 'koffi';

import { UnsupportedError } from '../../core/errors.ts';

/** An address in C's memory; 0 is NULL. */
export type Pointer = number;
/** Bytes that C reads or writes only during the call. */
type Bytes = Uint8Array;

/** The C type of a callback that {@link F} implements. */
type CallbackType<F> = string & { readonly handler: F };
/** A callback that C can call. */
export interface Registered<F> {
  readonly handler: F;
}
type AlpnSelect = (
  ssl: Pointer,
  out: Pointer,
  outLength: Pointer,
  offered: Pointer,
  offeredLength: number,
  argument: Pointer,
) => number;

/** The functions of OpenSSL, by their names. */
export type OpenSsl = ReturnType<typeof declare>;

let loaded: OpenSsl | undefined;

/**
 * @returns the functions of the process's OpenSSL.
 * @throws {UnsupportedError} when the process does not have OpenSSL 3 (Bun and Electron have BoringSSL), or does not
 * export a function.
 */
export function openssl(): OpenSsl {
  return (loaded ??= load());
}

function load(): OpenSsl {
  const version = process.versions.openssl as string | undefined;
  if (version?.startsWith('3.') !== true)
    throw new UnsupportedError(`TLS needs a Node.js with OpenSSL 3; this process has ${version ?? 'none'}`);
  let ssl: OpenSsl;
  try {
    ssl = declare(koffi.load(null));
  } catch (cause) {
    throw new UnsupportedError(
      `TLS needs the OpenSSL functions of Node.js: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  const found = ssl.OpenSSL_version(0);
  if (!found.includes(version))
    throw new UnsupportedError(
      `process.versions says OpenSSL ${version}, but the OpenSSL functions in the process are those of ${found}`,
    );
  return ssl;
}

function declare(library: ReturnType<typeof koffi.load>) {
  // The binding is untyped; the declarations give the types.
  const func = <A extends unknown[], R>(prototype: string): ((...args: A) => R) => library.func(prototype);
  const free = (name: string): ((object: Pointer) => void) => func<[Pointer], void>(`void ${name}(uintptr_t)`);

  const type = <F>(prototype: string): CallbackType<F> =>
    koffi.pointer(koffi.proto(prototype)) as unknown as CallbackType<F>;
  const callbacks = {
    /** Reports the state of the handshake, and alerts. */
    info: type<(ssl: Pointer, where: number, result: number) => void>('void (uintptr_t, int, int)'),
    keyLog: type<(ssl: Pointer, line: string) => void>('void (uintptr_t, const char*)'),
    verify: type<(accepted: number, storeContext: Pointer) => number>('int (int, uintptr_t)'),
    clientHello: type<(ssl: Pointer, alert: Pointer, argument: Pointer) => number>(
      'int (uintptr_t, uintptr_t, uintptr_t)',
    ),
    alpnSelect: type<
      (
        ssl: Pointer,
        out: Pointer,
        outLength: Pointer,
        offered: Pointer,
        offeredLength: number,
        argument: Pointer,
      ) => number
    >('int (uintptr_t, uintptr_t, uintptr_t, uintptr_t, uint, uintptr_t)'),
    status: type<(ssl: Pointer, argument: Pointer) => number>('int (uintptr_t, uintptr_t)'),
    pskClient: type<
      (
        ssl: Pointer,
        hint: string | null,
        identity: Pointer,
        identityRoom: number,
        key: Pointer,
        keyRoom: number,
      ) => number
    >('uint (uintptr_t, const char*, uintptr_t, uint, uintptr_t, uint)'),
    pskServer: type<(ssl: Pointer, identity: string | null, key: Pointer, keyRoom: number) => number>(
      'uint (uintptr_t, const char*, uintptr_t, uint)',
    ),
    pskUse: type<
      (ssl: Pointer, digest: Pointer, identity: Pointer, identityLength: Pointer, session: Pointer) => number
    >('int (uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)'),
    pskFind: type<(ssl: Pointer, identity: Pointer, identityLength: number, session: Pointer) => number>(
      'int (uintptr_t, uintptr_t, size_t, uintptr_t)',
    ),
    sessionNew: type<(ssl: Pointer, session: Pointer) => number>('int (uintptr_t, uintptr_t)'),
    sessionGet: type<(ssl: Pointer, id: Pointer, idLength: number, copy: Pointer) => Pointer>(
      'uintptr_t (uintptr_t, uintptr_t, int, uintptr_t)',
    ),
    sessionRemove: type<(context: Pointer, session: Pointer) => void>('void (uintptr_t, uintptr_t)'),
    sessionId: type<(ssl: Pointer, id: Pointer, idLength: Pointer) => number>('int (uintptr_t, uintptr_t, uintptr_t)'),
    ticketKey: type<
      (ssl: Pointer, name: Pointer, iv: Pointer, cipher: Pointer, mac: Pointer, encrypts: number) => number
    >('int (uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)'),
    ticketMade: type<(ssl: Pointer, argument: Pointer) => number>('int (uintptr_t, uintptr_t)'),
    ticketOpened: type<
      (ssl: Pointer, session: Pointer, name: Pointer, nameLength: number, status: number, argument: Pointer) => number
    >('int (uintptr_t, uintptr_t, uintptr_t, size_t, int, uintptr_t)'),
    each: type<(item: Pointer) => void>('void (uintptr_t)'),
    exData: type<
      (parent: Pointer, item: Pointer, data: Pointer, index: number, argument: number, more: Pointer) => void
    >('void (uintptr_t, uintptr_t, uintptr_t, int, long, uintptr_t)'),
  };
  /** A function that takes callbacks, which come from {@link register} and live as long as the process. */
  const taking = <A extends unknown[], R = void>(
    name: string,
    result: string,
    parameters: readonly unknown[],
  ): ((...args: A) => R) => library.func(name, result, parameters as never);
  // Not koffi.decode with an array type: koffi never frees array types.
  const copyFrom = func<[Bytes, Pointer, number], Pointer>('uintptr_t memcpy(uint8_t*, uintptr_t, size_t)');

  return {
    callbacks,
    /** Makes a function callable by C, for as long as the process lives. */
    register: <F>(callback: CallbackType<F>, handler: F): Registered<F> =>
      koffi.register(handler as never, callback as never) as unknown as Registered<F>,

    OpenSSL_version: func<[number], string>('const char* OpenSSL_version(int)'),

    ERR_peek_error: func<[], number>('ulong ERR_peek_error()'),
    ERR_get_error: func<[], number>('ulong ERR_get_error()'),
    ERR_clear_error: func<[], void>('void ERR_clear_error()'),
    ERR_reason_error_string: func<[number], string | null>('const char* ERR_reason_error_string(ulong)'),
    ERR_lib_error_string: func<[number], string | null>('const char* ERR_lib_error_string(ulong)'),

    BIO_s_mem: func<[], Pointer>('uintptr_t BIO_s_mem()'),
    BIO_new: func<[Pointer], Pointer>('uintptr_t BIO_new(uintptr_t)'),
    BIO_new_mem_buf: func<[Bytes, number], Pointer>('uintptr_t BIO_new_mem_buf(uint8_t*, int)'),
    BIO_free: func<[Pointer], number>('int BIO_free(uintptr_t)'),
    BIO_read: func<[Pointer, Bytes, number], number>('int BIO_read(uintptr_t, uint8_t*, int)'),
    BIO_write: func<[Pointer, Bytes, number], number>('int BIO_write(uintptr_t, uint8_t*, int)'),
    BIO_ctrl: func<[Pointer, number, number, null], number>('long BIO_ctrl(uintptr_t, int, long, void*)'),
    BIO_ctrl_pending: func<[Pointer], number>('size_t BIO_ctrl_pending(uintptr_t)'),

    TLS_method: func<[], Pointer>('uintptr_t TLS_method()'),
    SSL_CTX_new: func<[Pointer], Pointer>('uintptr_t SSL_CTX_new(uintptr_t)'),
    SSL_CTX_free: free('SSL_CTX_free'),
    SSL_CTX_ctrl: func<[Pointer, number, number, Pointer], number>(
      'long SSL_CTX_ctrl(uintptr_t, int, long, uintptr_t)',
    ),
    SSL_CTX_ctrl_text: func<[Pointer, number, number, string], number>(
      'long SSL_CTX_ctrl(uintptr_t, int, long, const char*)',
    ),
    SSL_CTX_set_options: func<[Pointer, bigint], bigint>('uint64_t SSL_CTX_set_options(uintptr_t, uint64_t)'),
    SSL_CTX_set_security_level: func<[Pointer, number], void>('void SSL_CTX_set_security_level(uintptr_t, int)'),
    SSL_CTX_set_cipher_list: func<[Pointer, string], number>('int SSL_CTX_set_cipher_list(uintptr_t, const char*)'),
    SSL_CTX_set_ciphersuites: func<[Pointer, string], number>('int SSL_CTX_set_ciphersuites(uintptr_t, const char*)'),
    SSL_CTX_set_num_tickets: func<[Pointer, number], number>('int SSL_CTX_set_num_tickets(uintptr_t, size_t)'),
    SSL_CTX_set_verify_depth: func<[Pointer, number], void>('void SSL_CTX_set_verify_depth(uintptr_t, int)'),
    SSL_CTX_set1_cert_store: func<[Pointer, Pointer], void>('void SSL_CTX_set1_cert_store(uintptr_t, uintptr_t)'),
    SSL_CTX_add_client_CA: func<[Pointer, Pointer], number>('int SSL_CTX_add_client_CA(uintptr_t, uintptr_t)'),
    SSL_CTX_set_alpn_protos: func<[Pointer, Bytes, number], number>(
      'int SSL_CTX_set_alpn_protos(uintptr_t, uint8_t*, uint)',
    ),
    SSL_CTX_set_alpn_select_cb: taking<[Pointer, Registered<AlpnSelect>, number]>(
      'SSL_CTX_set_alpn_select_cb',
      'void',
      ['uintptr_t', callbacks.alpnSelect, 'uintptr_t'],
    ),
    SSL_CTX_set_info_callback: taking<[Pointer, unknown]>('SSL_CTX_set_info_callback', 'void', [
      'uintptr_t',
      callbacks.info,
    ]),
    SSL_CTX_set_keylog_callback: taking<[Pointer, unknown]>('SSL_CTX_set_keylog_callback', 'void', [
      'uintptr_t',
      callbacks.keyLog,
    ]),
    SSL_CTX_set_client_hello_cb: taking<[Pointer, unknown, number]>('SSL_CTX_set_client_hello_cb', 'void', [
      'uintptr_t',
      callbacks.clientHello,
      'uintptr_t',
    ]),
    SSL_CTX_set_verify: taking<[Pointer, number, unknown]>('SSL_CTX_set_verify', 'void', [
      'uintptr_t',
      'int',
      callbacks.verify,
    ]),
    SSL_set_verify: taking<[Pointer, number, unknown]>('SSL_set_verify', 'void', [
      'uintptr_t',
      'int',
      callbacks.verify,
    ]),
    /** With {@link SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB}. */
    SSL_CTX_callback_ctrl: taking<[Pointer, number, unknown], number>('SSL_CTX_callback_ctrl', 'long', [
      'uintptr_t',
      'int',
      callbacks.status,
    ]),
    SSL_CTX_set_psk_client_callback: taking<[Pointer, unknown]>('SSL_CTX_set_psk_client_callback', 'void', [
      'uintptr_t',
      callbacks.pskClient,
    ]),
    SSL_CTX_set_psk_server_callback: taking<[Pointer, unknown]>('SSL_CTX_set_psk_server_callback', 'void', [
      'uintptr_t',
      callbacks.pskServer,
    ]),
    SSL_CTX_set_psk_use_session_callback: taking<[Pointer, unknown]>('SSL_CTX_set_psk_use_session_callback', 'void', [
      'uintptr_t',
      callbacks.pskUse,
    ]),
    SSL_CTX_set_psk_find_session_callback: taking<[Pointer, unknown]>('SSL_CTX_set_psk_find_session_callback', 'void', [
      'uintptr_t',
      callbacks.pskFind,
    ]),
    /**
     * `kind` is one of the CRYPTO_EX_INDEX_… numbers. From now on the callbacks are called for each object of that kind
     * that is made or freed.
     */
    CRYPTO_get_ex_new_index: taking<[number, number, null, unknown, null, unknown], number>(
      'CRYPTO_get_ex_new_index',
      'int',
      ['int', 'long', 'void*', callbacks.exData, 'void*', callbacks.exData],
    ),
    SSL_CTX_use_psk_identity_hint: func<[Pointer, string], number>(
      'int SSL_CTX_use_psk_identity_hint(uintptr_t, const char*)',
    ),
    SSL_CTX_get0_param: func<[Pointer], Pointer>('uintptr_t SSL_CTX_get0_param(uintptr_t)'),
    SSL_CTX_set_purpose: func<[Pointer, number], number>('int SSL_CTX_set_purpose(uintptr_t, int)'),
    SSL_CTX_use_cert_and_key: func<[Pointer, Pointer, Pointer, Pointer, number], number>(
      'int SSL_CTX_use_cert_and_key(uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)',
    ),
    SSL_CTX_set_post_handshake_auth: func<[Pointer, number], void>(
      'void SSL_CTX_set_post_handshake_auth(uintptr_t, int)',
    ),
    SSL_CTX_set0_tmp_dh_pkey: func<[Pointer, Pointer], number>('int SSL_CTX_set0_tmp_dh_pkey(uintptr_t, uintptr_t)'),
    SSL_CTX_get_ciphers: func<[Pointer], Pointer>('uintptr_t SSL_CTX_get_ciphers(uintptr_t)'),
    SSL_CTX_dane_enable: func<[Pointer], number>('int SSL_CTX_dane_enable(uintptr_t)'),
    SSL_dane_enable: func<[Pointer, string], number>('int SSL_dane_enable(uintptr_t, const char*)'),
    SSL_dane_tlsa_add: func<[Pointer, number, number, number, Bytes, number], number>(
      'int SSL_dane_tlsa_add(uintptr_t, uint8_t, uint8_t, uint8_t, uint8_t*, size_t)',
    ),
    SSL_get0_dane_tlsa: func<[Pointer, Uint8Array, Uint8Array, Uint8Array, BigUint64Array, BigUint64Array], number>(
      'int SSL_get0_dane_tlsa(uintptr_t, uint8_t*, uint8_t*, uint8_t*, uint64_t*, uint64_t*)',
    ),
    SSL_select_next_proto: func<[Pointer, Pointer, Bytes, number, Pointer, number], number>(
      'int SSL_select_next_proto(uintptr_t, uintptr_t, uint8_t*, uint, uintptr_t, uint)',
    ),

    SSL_new: func<[Pointer], Pointer>('uintptr_t SSL_new(uintptr_t)'),
    SSL_free: free('SSL_free'),
    SSL_set_bio: func<[Pointer, Pointer, Pointer], void>('void SSL_set_bio(uintptr_t, uintptr_t, uintptr_t)'),
    SSL_set0_rbio: func<[Pointer, Pointer], void>('void SSL_set0_rbio(uintptr_t, uintptr_t)'),
    SSL_set0_wbio: func<[Pointer, Pointer], void>('void SSL_set0_wbio(uintptr_t, uintptr_t)'),
    SSL_set_accept_state: free('SSL_set_accept_state'),
    SSL_set_connect_state: free('SSL_set_connect_state'),
    SSL_do_handshake: func<[Pointer], number>('int SSL_do_handshake(uintptr_t)'),
    SSL_read: func<[Pointer, Bytes, number], number>('int SSL_read(uintptr_t, uint8_t*, int)'),
    SSL_peek: func<[Pointer, Bytes, number], number>('int SSL_peek(uintptr_t, uint8_t*, int)'),
    SSL_write: func<[Pointer, Bytes, number], number>('int SSL_write(uintptr_t, uint8_t*, int)'),
    SSL_shutdown: func<[Pointer], number>('int SSL_shutdown(uintptr_t)'),
    SSL_get_error: func<[Pointer, number], number>('int SSL_get_error(uintptr_t, int)'),
    SSL_ctrl: func<[Pointer, number, number, Pointer], number>('long SSL_ctrl(uintptr_t, int, long, uintptr_t)'),
    /** `SSL_ctrl` for commands that return an address. */
    SSL_ctrl_address: func<[Pointer, number, number, BigUint64Array], number>(
      'long SSL_ctrl(uintptr_t, int, long, uint64_t*)',
    ),
    SSL_set_options: func<[Pointer, bigint], bigint>('uint64_t SSL_set_options(uintptr_t, uint64_t)'),
    SSL_clear_options: func<[Pointer, bigint], bigint>('uint64_t SSL_clear_options(uintptr_t, uint64_t)'),
    SSL_version: func<[Pointer], number>('int SSL_version(uintptr_t)'),
    SSL_has_pending: func<[Pointer], number>('int SSL_has_pending(uintptr_t)'),
    SSL_in_before: func<[Pointer], number>('int SSL_in_before(uintptr_t)'),
    SSL_in_init: func<[Pointer], number>('int SSL_in_init(uintptr_t)'),
    SSL_renegotiate: func<[Pointer], number>('int SSL_renegotiate(uintptr_t)'),
    SSL_renegotiate_pending: func<[Pointer], number>('int SSL_renegotiate_pending(uintptr_t)'),
    SSL_get_key_update_type: func<[Pointer], number>('int SSL_get_key_update_type(uintptr_t)'),
    SSL_key_update: func<[Pointer, number], number>('int SSL_key_update(uintptr_t, int)'),
    SSL_verify_client_post_handshake: func<[Pointer], number>('int SSL_verify_client_post_handshake(uintptr_t)'),
    SSL_client_hello_get0_ext: func<[Pointer, number, BigUint64Array, BigUint64Array], number>(
      'int SSL_client_hello_get0_ext(uintptr_t, uint, uint64_t*, uint64_t*)',
    ),
    SSL_get_certificate: func<[Pointer], Pointer>('uintptr_t SSL_get_certificate(uintptr_t)'),
    SSL_get_peer_cert_chain: func<[Pointer], Pointer>('uintptr_t SSL_get_peer_cert_chain(uintptr_t)'),
    SSL_export_keying_material: func<[Pointer, Bytes, number, Bytes, number, Bytes | null, number, number], number>(
      'int SSL_export_keying_material(uintptr_t, uint8_t*, size_t, uint8_t*, size_t, uint8_t*, size_t, int)',
    ),
    SSL_group_to_name: func<[Pointer, number], string | null>('const char* SSL_group_to_name(uintptr_t, int)'),
    SSL_get_ex_data_X509_STORE_CTX_idx: func<[], number>('int SSL_get_ex_data_X509_STORE_CTX_idx()'),
    X509_STORE_CTX_get_ex_data: func<[Pointer, number], Pointer>(
      'uintptr_t X509_STORE_CTX_get_ex_data(uintptr_t, int)',
    ),
    X509_STORE_CTX_get_error: func<[Pointer], number>('int X509_STORE_CTX_get_error(uintptr_t)'),
    X509_STORE_CTX_get_error_depth: func<[Pointer], number>('int X509_STORE_CTX_get_error_depth(uintptr_t)'),
    SSL_set_shutdown: func<[Pointer, number], void>('void SSL_set_shutdown(uintptr_t, int)'),
    SSL_session_reused: func<[Pointer], number>('int SSL_session_reused(uintptr_t)'),
    SSL_set_session: func<[Pointer, Pointer], number>('int SSL_set_session(uintptr_t, uintptr_t)'),
    SSL_get_session: func<[Pointer], Pointer>('uintptr_t SSL_get_session(uintptr_t)'),
    SSL_copy_session_id: func<[Pointer, Pointer], number>('int SSL_copy_session_id(uintptr_t, uintptr_t)'),
    SSL_set_session_id_context: func<[Pointer, Bytes, number], number>(
      'int SSL_set_session_id_context(uintptr_t, uint8_t*, uint)',
    ),
    SSL_new_session_ticket: func<[Pointer], number>('int SSL_new_session_ticket(uintptr_t)'),
    SSL_client_hello_get0_session_id: func<[Pointer, BigUint64Array], number>(
      'size_t SSL_client_hello_get0_session_id(uintptr_t, uint64_t*)',
    ),
    SSL_CTX_set_session_id_context: func<[Pointer, Bytes, number], number>(
      'int SSL_CTX_set_session_id_context(uintptr_t, uint8_t*, uint)',
    ),
    SSL_CTX_add_session: func<[Pointer, Pointer], number>('int SSL_CTX_add_session(uintptr_t, uintptr_t)'),
    SSL_CTX_remove_session: func<[Pointer, Pointer], number>('int SSL_CTX_remove_session(uintptr_t, uintptr_t)'),
    SSL_CTX_flush_sessions: func<[Pointer, number], void>('void SSL_CTX_flush_sessions(uintptr_t, long)'),
    SSL_CTX_sessions: func<[Pointer], Pointer>('uintptr_t SSL_CTX_sessions(uintptr_t)'),
    SSL_CTX_set_timeout: func<[Pointer, number], number>('long SSL_CTX_set_timeout(uintptr_t, long)'),
    SSL_CTX_get_timeout: func<[Pointer], number>('long SSL_CTX_get_timeout(uintptr_t)'),
    SSL_CTX_sess_set_new_cb: taking<[Pointer, unknown]>('SSL_CTX_sess_set_new_cb', 'void', [
      'uintptr_t',
      callbacks.sessionNew,
    ]),
    SSL_CTX_sess_set_get_cb: taking<[Pointer, unknown]>('SSL_CTX_sess_set_get_cb', 'void', [
      'uintptr_t',
      callbacks.sessionGet,
    ]),
    SSL_CTX_sess_set_remove_cb: taking<[Pointer, unknown]>('SSL_CTX_sess_set_remove_cb', 'void', [
      'uintptr_t',
      callbacks.sessionRemove,
    ]),
    SSL_CTX_set_session_ticket_cb: taking<[Pointer, unknown, unknown, number], number>(
      'SSL_CTX_set_session_ticket_cb',
      'int',
      ['uintptr_t', callbacks.ticketMade, callbacks.ticketOpened, 'uintptr_t'],
    ),
    SSL_SESSION_set1_ticket_appdata: func<[Pointer, Bytes, number], number>(
      'int SSL_SESSION_set1_ticket_appdata(uintptr_t, uint8_t*, size_t)',
    ),
    SSL_SESSION_get0_ticket_appdata: func<[Pointer, BigUint64Array, BigUint64Array], number>(
      'int SSL_SESSION_get0_ticket_appdata(uintptr_t, uint64_t*, uint64_t*)',
    ),
    SSL_CTX_set_generate_session_id: taking<[Pointer, unknown], number>('SSL_CTX_set_generate_session_id', 'int', [
      'uintptr_t',
      callbacks.sessionId,
    ]),
    /** With {@link SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB}. */
    SSL_CTX_callback_ctrl_ticket: taking<[Pointer, number, unknown], number>('SSL_CTX_callback_ctrl', 'long', [
      'uintptr_t',
      'int',
      callbacks.ticketKey,
    ]),
    OPENSSL_LH_doall: taking<[Pointer, unknown]>('OPENSSL_LH_doall', 'void', ['uintptr_t', callbacks.each]),
    OPENSSL_LH_retrieve: func<[Pointer, Pointer], Pointer>('uintptr_t OPENSSL_LH_retrieve(uintptr_t, uintptr_t)'),
    HMAC_Init_ex: func<[Pointer, Bytes, number, Pointer, null], number>(
      'int HMAC_Init_ex(uintptr_t, uint8_t*, int, uintptr_t, void*)',
    ),
    EVP_EncryptInit_ex: func<[Pointer, Pointer, null, Bytes, Bytes], number>(
      'int EVP_EncryptInit_ex(uintptr_t, uintptr_t, void*, uint8_t*, uint8_t*)',
    ),
    EVP_DecryptInit_ex: func<[Pointer, Pointer, null, Bytes, Bytes], number>(
      'int EVP_DecryptInit_ex(uintptr_t, uintptr_t, void*, uint8_t*, uint8_t*)',
    ),
    EVP_aes_256_cbc: func<[], Pointer>('uintptr_t EVP_aes_256_cbc()'),
    i2d_SSL_SESSION_length: func<[Pointer, null], number>('int i2d_SSL_SESSION(uintptr_t, void*)'),
    i2d_SSL_SESSION: func<[Pointer, BigUint64Array], number>('int i2d_SSL_SESSION(uintptr_t, uint64_t*)'),
    d2i_SSL_SESSION: func<[null, BigUint64Array, number], Pointer>('uintptr_t d2i_SSL_SESSION(void*, uint64_t*, long)'),
    SSL_SESSION_print: func<[Pointer, Pointer], number>('int SSL_SESSION_print(uintptr_t, uintptr_t)'),
    SSL_SESSION_get_id: func<[Pointer, Uint32Array], Pointer>('uintptr_t SSL_SESSION_get_id(uintptr_t, uint*)'),
    SSL_SESSION_get0_id_context: func<[Pointer, Uint32Array], Pointer>(
      'uintptr_t SSL_SESSION_get0_id_context(uintptr_t, uint*)',
    ),
    SSL_SESSION_get_time: func<[Pointer], number>('long SSL_SESSION_get_time(uintptr_t)'),
    SSL_SESSION_set_time: func<[Pointer, number], number>('long SSL_SESSION_set_time(uintptr_t, long)'),
    SSL_SESSION_get_timeout: func<[Pointer], number>('long SSL_SESSION_get_timeout(uintptr_t)'),
    SSL_SESSION_set_timeout: func<[Pointer, number], number>('long SSL_SESSION_set_timeout(uintptr_t, long)'),
    SSL_SESSION_get0_hostname: func<[Pointer], string | null>('const char* SSL_SESSION_get0_hostname(uintptr_t)'),
    SSL_SESSION_get0_alpn_selected: func<[Pointer, BigUint64Array, BigUint64Array], void>(
      'void SSL_SESSION_get0_alpn_selected(uintptr_t, uint64_t*, uint64_t*)',
    ),
    SSL_SESSION_get_protocol_version: func<[Pointer], number>('int SSL_SESSION_get_protocol_version(uintptr_t)'),
    SSL_SESSION_get0_cipher: func<[Pointer], Pointer>('uintptr_t SSL_SESSION_get0_cipher(uintptr_t)'),
    SSL_SESSION_get0_peer: func<[Pointer], Pointer>('uintptr_t SSL_SESSION_get0_peer(uintptr_t)'),
    SSL_SESSION_has_ticket: func<[Pointer], number>('int SSL_SESSION_has_ticket(uintptr_t)'),
    SSL_SESSION_get_ticket_lifetime_hint: func<[Pointer], number>(
      'ulong SSL_SESSION_get_ticket_lifetime_hint(uintptr_t)',
    ),
    SSL_SESSION_new: func<[], Pointer>('uintptr_t SSL_SESSION_new()'),
    SSL_SESSION_free: free('SSL_SESSION_free'),
    SSL_SESSION_set1_master_key: func<[Pointer, Bytes, number], number>(
      'int SSL_SESSION_set1_master_key(uintptr_t, uint8_t*, size_t)',
    ),
    SSL_SESSION_set_cipher: func<[Pointer, Pointer], number>('int SSL_SESSION_set_cipher(uintptr_t, uintptr_t)'),
    SSL_SESSION_set_protocol_version: func<[Pointer, number], number>(
      'int SSL_SESSION_set_protocol_version(uintptr_t, int)',
    ),
    SSL_CIPHER_find: func<[Pointer, Bytes], Pointer>('uintptr_t SSL_CIPHER_find(uintptr_t, uint8_t*)'),
    SSL_CIPHER_get_protocol_id: func<[Pointer], number>('uint16_t SSL_CIPHER_get_protocol_id(uintptr_t)'),
    /**
     * @returns a copy in OpenSSL's memory, for functions that free their argument. The last two arguments are a file
     * and a line.
     */
    CRYPTO_memdup: func<[Bytes, number, string, number], Pointer>(
      'uintptr_t CRYPTO_memdup(uint8_t*, size_t, const char*, int)',
    ),
    SSL_ctrl_text: func<[Pointer, number, number, string], number>('long SSL_ctrl(uintptr_t, int, long, const char*)'),
    SSL_add1_host: func<[Pointer, string], number>('int SSL_add1_host(uintptr_t, const char*)'),
    SSL_set1_host: func<[Pointer, string], number>('int SSL_set1_host(uintptr_t, const char*)'),
    SSL_set_hostflags: func<[Pointer, number], void>('void SSL_set_hostflags(uintptr_t, uint)'),
    SSL_get0_param: func<[Pointer], Pointer>('uintptr_t SSL_get0_param(uintptr_t)'),
    X509_VERIFY_PARAM_set1_ip_asc: func<[Pointer, string], number>(
      'int X509_VERIFY_PARAM_set1_ip_asc(uintptr_t, const char*)',
    ),
    SSL_get_verify_result: func<[Pointer], number>('long SSL_get_verify_result(uintptr_t)'),
    X509_verify_cert_error_string: func<[number], string>('const char* X509_verify_cert_error_string(long)'),
    SSL_get0_verified_chain: func<[Pointer], Pointer>('uintptr_t SSL_get0_verified_chain(uintptr_t)'),
    SSL_get1_peer_certificate: func<[Pointer], Pointer>('uintptr_t SSL_get1_peer_certificate(uintptr_t)'),
    SSL_get_finished: func<[Pointer, Bytes, number], number>('size_t SSL_get_finished(uintptr_t, uint8_t*, size_t)'),
    SSL_get_peer_finished: func<[Pointer, Bytes, number], number>(
      'size_t SSL_get_peer_finished(uintptr_t, uint8_t*, size_t)',
    ),
    SSL_get_version: func<[Pointer], string>('const char* SSL_get_version(uintptr_t)'),
    SSL_get_current_cipher: func<[Pointer], Pointer>('uintptr_t SSL_get_current_cipher(uintptr_t)'),
    SSL_CIPHER_get_name: func<[Pointer], string>('const char* SSL_CIPHER_get_name(uintptr_t)'),
    SSL_CIPHER_get_bits: func<[Pointer, Int32Array], number>('int SSL_CIPHER_get_bits(uintptr_t, int*)'),
    SSL_CIPHER_description: func<[Pointer, Bytes, number], string>(
      'const char* SSL_CIPHER_description(uintptr_t, uint8_t*, int)',
    ),
    SSL_get0_alpn_selected: func<[Pointer, BigUint64Array, Uint32Array], void>(
      'void SSL_get0_alpn_selected(uintptr_t, uint64_t*, uint*)',
    ),
    SSL_get_servername: func<[Pointer, number], string | null>('const char* SSL_get_servername(uintptr_t, int)'),

    OPENSSL_sk_new_null: func<[], Pointer>('uintptr_t OPENSSL_sk_new_null()'),
    OPENSSL_sk_push: func<[Pointer, Pointer], number>('int OPENSSL_sk_push(uintptr_t, uintptr_t)'),
    /** Frees the stack, not its items. */
    OPENSSL_sk_free: free('OPENSSL_sk_free'),
    OPENSSL_sk_num: func<[Pointer], number>('int OPENSSL_sk_num(uintptr_t)'),
    OPENSSL_sk_value: func<[Pointer, number], Pointer>('uintptr_t OPENSSL_sk_value(uintptr_t, int)'),

    /**
     * The last argument is the password, as for private keys: for a PEM that claims to be encrypted, OpenSSL would
     * otherwise ask on the terminal.
     */
    PEM_read_bio_X509: func<[Pointer, null, null, string], Pointer>(
      'uintptr_t PEM_read_bio_X509(uintptr_t, void*, void*, const char*)',
    ),
    PEM_read_bio_X509_AUX: func<[Pointer, null, null, string], Pointer>(
      'uintptr_t PEM_read_bio_X509_AUX(uintptr_t, void*, void*, const char*)',
    ),
    PEM_write_bio_X509: func<[Pointer, Pointer], number>('int PEM_write_bio_X509(uintptr_t, uintptr_t)'),
    /**
     * Without a callback the last argument is the password. It is never null here: OpenSSL would then ask on the
     * terminal.
     */
    PEM_read_bio_PrivateKey: func<[Pointer, null, null, string], Pointer>(
      'uintptr_t PEM_read_bio_PrivateKey(uintptr_t, void*, void*, const char*)',
    ),
    PEM_read_bio_Parameters: func<[Pointer, null], Pointer>('uintptr_t PEM_read_bio_Parameters(uintptr_t, void*)'),
    /** The last argument is the password, as for certificates. */
    PEM_read_bio_X509_CRL: func<[Pointer, null, null, string], Pointer>(
      'uintptr_t PEM_read_bio_X509_CRL(uintptr_t, void*, void*, const char*)',
    ),
    X509_CRL_free: free('X509_CRL_free'),
    EVP_PKEY_free: free('EVP_PKEY_free'),
    EVP_MD_get_type: func<[Pointer], number>('int EVP_MD_get_type(uintptr_t)'),
    EVP_sha256: func<[], Pointer>('uintptr_t EVP_sha256()'),

    X509_STORE_new: func<[], Pointer>('uintptr_t X509_STORE_new()'),
    X509_STORE_add_cert: func<[Pointer, Pointer], number>('int X509_STORE_add_cert(uintptr_t, uintptr_t)'),
    X509_STORE_add_crl: func<[Pointer, Pointer], number>('int X509_STORE_add_crl(uintptr_t, uintptr_t)'),
    X509_VERIFY_PARAM_set_flags: func<[Pointer, number], number>('int X509_VERIFY_PARAM_set_flags(uintptr_t, ulong)'),
    X509_STORE_free: free('X509_STORE_free'),
    X509_new: func<[], Pointer>('uintptr_t X509_new()'),
    X509_free: free('X509_free'),
    i2d_X509_length: func<[Pointer, null], number>('int i2d_X509(uintptr_t, void*)'),
    i2d_X509: func<[Pointer, BigUint64Array], number>('int i2d_X509(uintptr_t, uint64_t*)'),
    X509_set_version: func<[Pointer, number], number>('int X509_set_version(uintptr_t, long)'),
    X509_get_serialNumber: func<[Pointer], Pointer>('uintptr_t X509_get_serialNumber(uintptr_t)'),
    ASN1_INTEGER_set_uint64: func<[Pointer, bigint], number>('int ASN1_INTEGER_set_uint64(uintptr_t, uint64_t)'),
    X509_getm_notBefore: func<[Pointer], Pointer>('uintptr_t X509_getm_notBefore(uintptr_t)'),
    X509_getm_notAfter: func<[Pointer], Pointer>('uintptr_t X509_getm_notAfter(uintptr_t)'),
    X509_gmtime_adj: func<[Pointer, number], Pointer>('uintptr_t X509_gmtime_adj(uintptr_t, long)'),
    X509_set_pubkey: func<[Pointer, Pointer], number>('int X509_set_pubkey(uintptr_t, uintptr_t)'),
    X509_get_subject_name: func<[Pointer], Pointer>('uintptr_t X509_get_subject_name(uintptr_t)'),
    X509_NAME_add_entry_by_txt: func<[Pointer, string, number, Bytes, number, number, number], number>(
      'int X509_NAME_add_entry_by_txt(uintptr_t, const char*, int, uint8_t*, int, int, int)',
    ),
    X509_set_issuer_name: func<[Pointer, Pointer], number>('int X509_set_issuer_name(uintptr_t, uintptr_t)'),
    X509V3_EXT_conf: func<[null, null, string, string], Pointer>(
      'uintptr_t X509V3_EXT_conf(void*, void*, const char*, const char*)',
    ),
    X509_add_ext: func<[Pointer, Pointer, number], number>('int X509_add_ext(uintptr_t, uintptr_t, int)'),
    X509_EXTENSION_free: free('X509_EXTENSION_free'),
    X509_sign: func<[Pointer, Pointer, Pointer], number>('int X509_sign(uintptr_t, uintptr_t, uintptr_t)'),

    d2i_X509_AUX: func<[null, BigUint64Array, number], Pointer>('uintptr_t d2i_X509_AUX(void*, uint64_t*, long)'),
    d2i_X509_CRL: func<[null, BigUint64Array, number], Pointer>('uintptr_t d2i_X509_CRL(void*, uint64_t*, long)'),
    /** The second argument points to the address of the bytes; OpenSSL advances it past the bytes that it has read. */
    d2i_X509: func<[null, BigUint64Array, number], Pointer>('uintptr_t d2i_X509(void*, uint64_t*, long)'),
    X509_check_ca: func<[Pointer], number>('int X509_check_ca(uintptr_t)'),
    X509_get_issuer_name: func<[Pointer], Pointer>('uintptr_t X509_get_issuer_name(uintptr_t)'),
    X509_NAME_entry_count: func<[Pointer], number>('int X509_NAME_entry_count(uintptr_t)'),
    X509_NAME_get_entry: func<[Pointer, number], Pointer>('uintptr_t X509_NAME_get_entry(uintptr_t, int)'),
    X509_NAME_ENTRY_get_object: func<[Pointer], Pointer>('uintptr_t X509_NAME_ENTRY_get_object(uintptr_t)'),
    X509_NAME_ENTRY_get_data: func<[Pointer], Pointer>('uintptr_t X509_NAME_ENTRY_get_data(uintptr_t)'),
    OBJ_obj2txt: func<[Bytes, number, Pointer, number], number>('int OBJ_obj2txt(uint8_t*, int, uintptr_t, int)'),
    OBJ_obj2nid: func<[Pointer], number>('int OBJ_obj2nid(uintptr_t)'),
    OBJ_nid2sn: func<[number], string | null>('const char* OBJ_nid2sn(int)'),
    OBJ_nid2ln: func<[number], string | null>('const char* OBJ_nid2ln(int)'),
    ASN1_STRING_type: func<[Pointer], number>('int ASN1_STRING_type(uintptr_t)'),
    ASN1_STRING_length: func<[Pointer], number>('int ASN1_STRING_length(uintptr_t)'),
    ASN1_STRING_get0_data: func<[Pointer], Pointer>('uintptr_t ASN1_STRING_get0_data(uintptr_t)'),
    /** Fills a `struct tm`, whose first six numbers are second, minute, hour, day, month from 0, and year from 1900. */
    ASN1_TIME_to_tm: func<[Pointer, Int32Array], number>('int ASN1_TIME_to_tm(uintptr_t, int*)'),
    i2d_ASN1_TYPE_length: func<[Pointer, null], number>('int i2d_ASN1_TYPE(uintptr_t, void*)'),
    i2d_ASN1_TYPE: func<[Pointer, BigUint64Array], number>('int i2d_ASN1_TYPE(uintptr_t, uint64_t*)'),
    X509_get_ext_count: func<[Pointer], number>('int X509_get_ext_count(uintptr_t)'),
    X509_get_ext: func<[Pointer, number], Pointer>('uintptr_t X509_get_ext(uintptr_t, int)'),
    X509_EXTENSION_get_object: func<[Pointer], Pointer>('uintptr_t X509_EXTENSION_get_object(uintptr_t)'),
    X509_EXTENSION_get_critical: func<[Pointer], number>('int X509_EXTENSION_get_critical(uintptr_t)'),
    X509_EXTENSION_get_data: func<[Pointer], Pointer>('uintptr_t X509_EXTENSION_get_data(uintptr_t)'),
    X509V3_EXT_print: func<[Pointer, Pointer, number, number], number>(
      'int X509V3_EXT_print(uintptr_t, uintptr_t, ulong, int)',
    ),
    X509V3_EXT_d2i: func<[Pointer], Pointer>('uintptr_t X509V3_EXT_d2i(uintptr_t)'),
    GENERAL_NAMES_free: free('GENERAL_NAMES_free'),
    GENERAL_NAME_get0_value: func<[Pointer, Int32Array], Pointer>('uintptr_t GENERAL_NAME_get0_value(uintptr_t, int*)'),
    GENERAL_NAME_get0_otherName: func<[Pointer, BigUint64Array, BigUint64Array], number>(
      'int GENERAL_NAME_get0_otherName(uintptr_t, uint64_t*, uint64_t*)',
    ),
    X509_get_X509_PUBKEY: func<[Pointer], Pointer>('uintptr_t X509_get_X509_PUBKEY(uintptr_t)'),
    X509_PUBKEY_get0_param: func<[BigUint64Array, null, null, null, Pointer], number>(
      'int X509_PUBKEY_get0_param(uint64_t*, void*, void*, void*, uintptr_t)',
    ),
    i2d_X509_PUBKEY_length: func<[Pointer, null], number>('int i2d_X509_PUBKEY(uintptr_t, void*)'),
    i2d_X509_PUBKEY: func<[Pointer, BigUint64Array], number>('int i2d_X509_PUBKEY(uintptr_t, uint64_t*)'),
    X509_get0_pubkey: func<[Pointer], Pointer>('uintptr_t X509_get0_pubkey(uintptr_t)'),
    EVP_PKEY_get_bits: func<[Pointer], number>('int EVP_PKEY_get_bits(uintptr_t)'),
    EVP_PKEY_get0_type_name: func<[Pointer], string | null>('const char* EVP_PKEY_get0_type_name(uintptr_t)'),
    X509_get0_tbs_sigalg: func<[Pointer], Pointer>('uintptr_t X509_get0_tbs_sigalg(uintptr_t)'),
    X509_ALGOR_get0: func<[BigUint64Array, null, null, Pointer], void>(
      'void X509_ALGOR_get0(uint64_t*, void*, void*, uintptr_t)',
    ),

    /** @returns the address of `bytes`. The caller must keep a reference to them while C uses the address. */
    addressOf: (bytes: Bytes): bigint => koffi.address(bytes),
    /** Copies bytes into C's memory: destination, source, length. */
    copyTo: func<[Pointer, Bytes, number], Pointer>('uintptr_t memcpy(uintptr_t, uint8_t*, size_t)'),
    /** @returns a copy of `length` bytes of C's memory. */
    copyOf: (address: bigint | Pointer, length: number): Uint8Array => {
      const bytes = new Uint8Array(length);
      if (length > 0) copyFrom(bytes, Number(address), length);
      return bytes;
    },
  };
}
