/** Numbers of OpenSSL 3's public headers (ssl.h, bio.h, x509_vfy.h), under the names that they have there. */

export const SSL_ERROR_SSL = 1;
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_WANT_X509_LOOKUP = 4;
export const SSL_ERROR_ZERO_RETURN = 6;
export const SSL_ERROR_WANT_CLIENT_HELLO_CB = 11;
export const SSL_ERROR_WANT_RETRY_VERIFY = 12;

export const SSL_OP_NO_TICKET = 1n << 14n;
export const SSL_OP_NO_COMPRESSION = 1n << 17n;
export const SSL_OP_CIPHER_SERVER_PREFERENCE = 1n << 22n;
export const SSL_OP_NO_RENEGOTIATION = 1n << 30n;

export const SSL_MODE_ENABLE_PARTIAL_WRITE = 0x1;
export const SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER = 0x2;
export const SSL_MODE_AUTO_RETRY = 0x4;
export const SSL_MODE_RELEASE_BUFFERS = 0x10;

export const SSL_CTRL_MODE = 33;
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
export const SSL_CTRL_SET_TLSEXT_HOSTNAME = 55;
export const SSL_CTRL_CLEAR_MODE = 78;
export const SSL_CTRL_CHAIN_CERT = 89;
export const SSL_CTRL_SET_GROUPS_LIST = 92;
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
export const SSL_CTRL_SET_MAX_PROTO_VERSION = 124;
export const SSL_SESS_CACHE_OFF = 0;

export const SSL_VERIFY_NONE = 0;
export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
export const SSL_VERIFY_CLIENT_ONCE = 4;

export const BIO_C_SET_BUF_MEM_EOF_RETURN = 130;

export const SSL_TLSEXT_ERR_OK = 0;
export const SSL_TLSEXT_ERR_ALERT_FATAL = 2;
export const OPENSSL_NPN_NEGOTIATED = 1;
export const TLSEXT_NAMETYPE_HOST_NAME = 0;

export const X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS = 0x4;
export const X509_V_OK = 0;
export const X509_V_ERR_HOSTNAME_MISMATCH = 62;
export const X509_V_ERR_IP_ADDRESS_MISMATCH = 64;

/** Reasons of errors: an alert from the peer is this plus the alert's number. */
export const SSL_AD_REASON_OFFSET = 1000;
export const SSL_R_HTTP_REQUEST = 156;
export const SSL_R_HTTPS_PROXY_REQUEST = 155;
export const ERR_LIB_SSL = 20;

/** Versions of the protocol as they stand on the wire. */
export const VERSIONS = { 'TLSv1': 0x301, 'TLSv1.1': 0x302, 'TLSv1.2': 0x303, 'TLSv1.3': 0x304 } as const;
