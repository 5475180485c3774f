/**
 * All calls into the OpenSSL that Node.js carries.
 *
 * The functions are taken from the running process at first use: importing this file works everywhere, and no second
 * libssl comes in. Pointers are numbers here (user space lies below 2^53), 0 is NULL. The manual pages of OpenSSL say what
 * each function does; what it takes and gives is said by its declaration.
 */

import koffi from 'koffi';

import { UnsupportedError } from '../../core/errors.ts';

/** An address in C's memory; 0 for none. */
export type Pointer = number;
/** Bytes that C reads or writes during the call only. */
type Bytes = Uint8Array;

export type OpenSsl = ReturnType<typeof declare>;

let loaded: OpenSsl | undefined;

/**
 * The functions of the process's OpenSSL.
 * @throws {UnsupportedError} when the process does not carry OpenSSL 3 (Bun and Electron carry BoringSSL), or hides a function.
 */
export function openssl(): OpenSsl {
  return (loaded ??= load());
}

function load(): OpenSsl {
  const version = process.versions.openssl as string | undefined;
  if (version?.startsWith('3.') !== true) throw new UnsupportedError(`TLS needs a Node.js with OpenSSL 3; this process has ${version ?? 'none'}`);
  let ssl: OpenSsl;
  try {
    ssl = declare(koffi.load(null));
  } catch (cause) {
    throw new UnsupportedError(`TLS needs the OpenSSL functions of Node.js: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const found = ssl.OpenSSL_version(0);
  if (!found.includes(version)) throw new UnsupportedError(`the process says that it carries OpenSSL ${version}, but its functions are those of ${found}`);
  return ssl;
}

function declare(library: ReturnType<typeof koffi.load>) {
  // The binding is untyped; each declaration says what the function takes and gives.
  const func = <A extends unknown[], R>(prototype: string): ((...args: A) => R) => library.func(prototype);
  const free = (name: string): ((object: Pointer) => void) => func<[Pointer], void>(`void ${name}(uintptr_t)`);

  const alpnCallback = koffi.pointer(koffi.proto('int (uintptr_t, uintptr_t, uintptr_t, uintptr_t, uint, uintptr_t)'));
  const setAlpnSelect = library.func('SSL_CTX_set_alpn_select_cb', 'void', ['uintptr_t', alpnCallback, 'uintptr_t']) as unknown as (context: Pointer, callback: unknown, argument: number) => void;

  return {
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
    SSL_CTX_ctrl: func<[Pointer, number, number, Pointer], number>('long SSL_CTX_ctrl(uintptr_t, int, long, uintptr_t)'),
    SSL_CTX_ctrl_text: func<[Pointer, number, number, string], number>('long SSL_CTX_ctrl(uintptr_t, int, long, const char*)'),
    SSL_CTX_set_options: func<[Pointer, bigint], bigint>('uint64_t SSL_CTX_set_options(uintptr_t, uint64_t)'),
    SSL_CTX_set_security_level: func<[Pointer, number], void>('void SSL_CTX_set_security_level(uintptr_t, int)'),
    SSL_CTX_set_cipher_list: func<[Pointer, string], number>('int SSL_CTX_set_cipher_list(uintptr_t, const char*)'),
    SSL_CTX_set_ciphersuites: func<[Pointer, string], number>('int SSL_CTX_set_ciphersuites(uintptr_t, const char*)'),
    SSL_CTX_set_num_tickets: func<[Pointer, number], number>('int SSL_CTX_set_num_tickets(uintptr_t, size_t)'),
    SSL_CTX_set_verify: func<[Pointer, number, null], void>('void SSL_CTX_set_verify(uintptr_t, int, void*)'),
    SSL_CTX_set_verify_depth: func<[Pointer, number], void>('void SSL_CTX_set_verify_depth(uintptr_t, int)'),
    SSL_CTX_use_certificate: func<[Pointer, Pointer], number>('int SSL_CTX_use_certificate(uintptr_t, uintptr_t)'),
    SSL_CTX_use_PrivateKey: func<[Pointer, Pointer], number>('int SSL_CTX_use_PrivateKey(uintptr_t, uintptr_t)'),
    SSL_CTX_check_private_key: func<[Pointer], number>('int SSL_CTX_check_private_key(uintptr_t)'),
    SSL_CTX_set1_cert_store: func<[Pointer, Pointer], void>('void SSL_CTX_set1_cert_store(uintptr_t, uintptr_t)'),
    SSL_CTX_add_client_CA: func<[Pointer, Pointer], number>('int SSL_CTX_add_client_CA(uintptr_t, uintptr_t)'),
    SSL_CTX_set_alpn_protos: func<[Pointer, Bytes, number], number>('int SSL_CTX_set_alpn_protos(uintptr_t, uint8_t*, uint)'),
    /** `callback` comes from {@link alpnSelect} and serves every context; `argument` tells which. */
    SSL_CTX_set_alpn_select_cb: setAlpnSelect,
    alpnSelect: (callback: (ssl: Pointer, out: Pointer, outLength: Pointer, offered: Pointer, offeredLength: number, argument: number) => number): unknown =>
      koffi.register(callback, alpnCallback),
    SSL_select_next_proto: func<[Pointer, Pointer, Bytes, number, Pointer, number], number>('int SSL_select_next_proto(uintptr_t, uintptr_t, uint8_t*, uint, uintptr_t, uint)'),

    SSL_new: func<[Pointer], Pointer>('uintptr_t SSL_new(uintptr_t)'),
    SSL_free: free('SSL_free'),
    SSL_set_bio: func<[Pointer, Pointer, Pointer], void>('void SSL_set_bio(uintptr_t, uintptr_t, uintptr_t)'),
    SSL_set0_rbio: func<[Pointer, Pointer], void>('void SSL_set0_rbio(uintptr_t, uintptr_t)'),
    SSL_set0_wbio: func<[Pointer, Pointer], void>('void SSL_set0_wbio(uintptr_t, uintptr_t)'),
    SSL_set_accept_state: free('SSL_set_accept_state'),
    SSL_set_connect_state: free('SSL_set_connect_state'),
    SSL_do_handshake: func<[Pointer], number>('int SSL_do_handshake(uintptr_t)'),
    SSL_read: func<[Pointer, Bytes, number], number>('int SSL_read(uintptr_t, uint8_t*, int)'),
    SSL_write: func<[Pointer, Bytes, number], number>('int SSL_write(uintptr_t, uint8_t*, int)'),
    SSL_shutdown: func<[Pointer], number>('int SSL_shutdown(uintptr_t)'),
    SSL_get_error: func<[Pointer, number], number>('int SSL_get_error(uintptr_t, int)'),
    SSL_ctrl_text: func<[Pointer, number, number, string], number>('long SSL_ctrl(uintptr_t, int, long, const char*)'),
    SSL_set1_host: func<[Pointer, string], number>('int SSL_set1_host(uintptr_t, const char*)'),
    SSL_set_hostflags: func<[Pointer, number], void>('void SSL_set_hostflags(uintptr_t, uint)'),
    SSL_get0_param: func<[Pointer], Pointer>('uintptr_t SSL_get0_param(uintptr_t)'),
    X509_VERIFY_PARAM_set1_ip_asc: func<[Pointer, string], number>('int X509_VERIFY_PARAM_set1_ip_asc(uintptr_t, const char*)'),
    SSL_get_verify_result: func<[Pointer], number>('long SSL_get_verify_result(uintptr_t)'),
    X509_verify_cert_error_string: func<[number], string>('const char* X509_verify_cert_error_string(long)'),
    SSL_get0_verified_chain: func<[Pointer], Pointer>('uintptr_t SSL_get0_verified_chain(uintptr_t)'),
    SSL_get1_peer_certificate: func<[Pointer], Pointer>('uintptr_t SSL_get1_peer_certificate(uintptr_t)'),
    SSL_get_finished: func<[Pointer, Bytes, number], number>('size_t SSL_get_finished(uintptr_t, uint8_t*, size_t)'),
    SSL_get_peer_finished: func<[Pointer, Bytes, number], number>('size_t SSL_get_peer_finished(uintptr_t, uint8_t*, size_t)'),
    SSL_get_version: func<[Pointer], string>('const char* SSL_get_version(uintptr_t)'),
    SSL_get_current_cipher: func<[Pointer], Pointer>('uintptr_t SSL_get_current_cipher(uintptr_t)'),
    SSL_CIPHER_get_name: func<[Pointer], string>('const char* SSL_CIPHER_get_name(uintptr_t)'),
    SSL_CIPHER_get_bits: func<[Pointer, Int32Array], number>('int SSL_CIPHER_get_bits(uintptr_t, int*)'),
    SSL_CIPHER_description: func<[Pointer, Bytes, number], string>('const char* SSL_CIPHER_description(uintptr_t, uint8_t*, int)'),
    SSL_get0_alpn_selected: func<[Pointer, BigUint64Array, Uint32Array], void>('void SSL_get0_alpn_selected(uintptr_t, uint64_t*, uint*)'),
    SSL_get_servername: func<[Pointer, number], string | null>('const char* SSL_get_servername(uintptr_t, int)'),

    OPENSSL_sk_num: func<[Pointer], number>('int OPENSSL_sk_num(uintptr_t)'),
    OPENSSL_sk_value: func<[Pointer, number], Pointer>('uintptr_t OPENSSL_sk_value(uintptr_t, int)'),

    PEM_read_bio_X509: func<[Pointer, null, null, null], Pointer>('uintptr_t PEM_read_bio_X509(uintptr_t, void*, void*, void*)'),
    PEM_write_bio_X509: func<[Pointer, Pointer], number>('int PEM_write_bio_X509(uintptr_t, uintptr_t)'),
    /** Without a callback the last argument is the password. It is never null here: OpenSSL would ask on the terminal. */
    PEM_read_bio_PrivateKey: func<[Pointer, null, null, string], Pointer>('uintptr_t PEM_read_bio_PrivateKey(uintptr_t, void*, void*, const char*)'),
    EVP_PKEY_free: free('EVP_PKEY_free'),
    EVP_sha256: func<[], Pointer>('uintptr_t EVP_sha256()'),

    X509_STORE_new: func<[], Pointer>('uintptr_t X509_STORE_new()'),
    X509_STORE_add_cert: func<[Pointer, Pointer], number>('int X509_STORE_add_cert(uintptr_t, uintptr_t)'),
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
    X509_NAME_add_entry_by_txt: func<[Pointer, string, number, Bytes, number, number, number], number>('int X509_NAME_add_entry_by_txt(uintptr_t, const char*, int, uint8_t*, int, int, int)'),
    X509_set_issuer_name: func<[Pointer, Pointer], number>('int X509_set_issuer_name(uintptr_t, uintptr_t)'),
    X509V3_EXT_conf: func<[null, null, string, string], Pointer>('uintptr_t X509V3_EXT_conf(void*, void*, const char*, const char*)'),
    X509_add_ext: func<[Pointer, Pointer, number], number>('int X509_add_ext(uintptr_t, uintptr_t, int)'),
    X509_EXTENSION_free: free('X509_EXTENSION_free'),
    X509_sign: func<[Pointer, Pointer, Pointer], number>('int X509_sign(uintptr_t, uintptr_t, uintptr_t)'),

    /** @returns where `bytes` lie, for C to write through a pointer to it. They must stay referenced meanwhile. */
    addressOf: (bytes: Bytes): bigint => koffi.address(bytes),
    /** @returns a copy of `length` bytes of C's memory. */
    copyOf: (address: bigint, length: number): Uint8Array => new Uint8Array(koffi.decode(address, koffi.array('uint8_t', length, 'Typed')) as Uint8Array),
  };
}
