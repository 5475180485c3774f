/** Numbers of OpenSSL 3's public headers (ssl.h, bio.h, x509_vfy.h), under their names there. */

export const SSL_ERROR_NONE = 0;
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_ZERO_RETURN = 6;
export const SSL_ERROR_WANT_CLIENT_HELLO_CB = 11;

export const SSL_OP_ALLOW_CLIENT_RENEGOTIATION = 1n << 8n;
export const SSL_OP_NO_TICKET = 1n << 14n;
export const SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION = 1n << 16n;
export const SSL_OP_NO_COMPRESSION = 1n << 17n;
export const SSL_OP_CIPHER_SERVER_PREFERENCE = 1n << 22n;
export const SSL_OP_NO_RENEGOTIATION = 1n << 30n;

export const SSL_MODE_ENABLE_PARTIAL_WRITE = 0x1;
export const SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER = 0x2;
export const SSL_MODE_AUTO_RETRY = 0x4;
export const SSL_MODE_RELEASE_BUFFERS = 0x10;

export const SSL_CTRL_MODE = 33;
export const SSL_CTRL_SET_SESS_CACHE_SIZE = 42;
export const SSL_CTRL_GET_SESS_CACHE_SIZE = 43;
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
export const SSL_CTRL_GET_SESS_CACHE_MODE = 45;
export const SSL_CTRL_SET_TLSEXT_SERVERNAME_CB = 53;
export const SSL_CTRL_SET_TLSEXT_HOSTNAME = 55;
export const SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB = 63;
export const SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB = 72;
export const SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE = 65;
export const SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP = 70;
export const SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP = 71;
export const SSL_CTRL_CLEAR_MODE = 78;
export const SSL_CTRL_SET_GROUPS_LIST = 92;
export const SSL_CTRL_SET_SIGALGS_LIST = 98;
export const SSL_CTRL_GET_CHAIN_CERTS = 115;
export const SSL_CTRL_SET_DH_AUTO = 118;
export const SSL_CTRL_GET_EXTMS_SUPPORT = 122;
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
export const SSL_CTRL_SET_MAX_PROTO_VERSION = 124;
export const SSL_CTRL_GET_NEGOTIATED_GROUP = 134;
export const SSL_SESS_CACHE_OFF = 0;
export const SSL_SESS_CACHE_CLIENT = 1;
export const SSL_SESS_CACHE_SERVER = 2;
export const SSL_SESS_CACHE_BOTH = 3;
export const SSL_SESS_CACHE_NO_AUTO_CLEAR = 0x80;
export const SSL_SESS_CACHE_NO_INTERNAL_LOOKUP = 0x100;
export const SSL_SESS_CACHE_NO_INTERNAL_STORE = 0x200;

/** Commands that read OpenSSL's counts of sessions. */
export const SSL_CTRL_SESS_NUMBER = 20;
export const SSL_CTRL_SESS_CONNECT = 21;
export const SSL_CTRL_SESS_CONNECT_GOOD = 22;
export const SSL_CTRL_SESS_CONNECT_RENEGOTIATE = 23;
export const SSL_CTRL_SESS_ACCEPT = 24;
export const SSL_CTRL_SESS_ACCEPT_GOOD = 25;
export const SSL_CTRL_SESS_ACCEPT_RENEGOTIATE = 26;
export const SSL_CTRL_SESS_HIT = 27;
export const SSL_CTRL_SESS_CB_HIT = 28;
export const SSL_CTRL_SESS_MISSES = 29;
export const SSL_CTRL_SESS_TIMEOUTS = 30;
export const SSL_CTRL_SESS_CACHE_FULL = 31;

export const SSL_VERIFY_NONE = 0;
export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
export const SSL_VERIFY_CLIENT_ONCE = 4;

export const BIO_C_SET_BUF_MEM_EOF_RETURN = 130;

/** What the info callback reports: a handshake that begins or ends, an alert and its direction. */
export const SSL_CB_HANDSHAKE_START = 0x10;
export const SSL_CB_HANDSHAKE_DONE = 0x20;
export const SSL_CB_ALERT = 0x4000;
export const SSL_CB_WRITE = 0x08;

export const SSL_CLIENT_HELLO_SUCCESS = 1;
export const SSL_CLIENT_HELLO_ERROR = 0;
export const SSL_CLIENT_HELLO_RETRY = -1;

/** The state of a ticket, and what OpenSSL must do with it. */
export const SSL_TICKET_NO_DECRYPT = 4;
export const SSL_TICKET_SUCCESS = 5;
export const SSL_TICKET_SUCCESS_RENEW = 6;
export const SSL_TICKET_RETURN_IGNORE_RENEW = 2;
export const SSL_TICKET_RETURN_USE = 3;
export const SSL_TICKET_RETURN_USE_RENEW = 4;

/** The state in which close_notify was sent and received. */
export const SSL_SENT_AND_RECEIVED_SHUTDOWN = 3;

export const SSL_KEY_UPDATE_NONE = -1;
export const SSL_KEY_UPDATE_NOT_REQUESTED = 0;
export const SSL_KEY_UPDATE_REQUESTED = 1;

export const SSL_TLSEXT_ERR_OK = 0;
export const SSL_TLSEXT_ERR_ALERT_FATAL = 2;
export const SSL_TLSEXT_ERR_NOACK = 3;
export const OPENSSL_NPN_NEGOTIATED = 1;
export const TLSEXT_NAMETYPE_HOST_NAME = 0;

export const TLSEXT_STATUSTYPE_OCSP = 1;
/** Types of extensions in a client hello (IANA's registry of TLS extensions). */
export const TLSEXT_TYPE_SERVER_NAME = 0;
export const TLSEXT_TYPE_ALPN = 16;
export const TLSEXT_TYPE_PSK = 41;
export const TLSEXT_TYPE_SUPPORTED_VERSIONS = 43;

/** Alerts (RFC 8446, section 6.2). */
export const ALERT_NO_CERTIFICATE = 41;
export const ALERT_BAD_CERTIFICATE = 42;
export const ALERT_UNSUPPORTED_CERTIFICATE = 43;
export const ALERT_CERTIFICATE_REVOKED = 44;
export const ALERT_CERTIFICATE_EXPIRED = 45;
export const ALERT_CERTIFICATE_UNKNOWN = 46;
export const ALERT_UNKNOWN_CA = 48;
export const ALERT_ACCESS_DENIED = 49;
export const ALERT_INTERNAL_ERROR = 80;
export const ALERT_UNRECOGNIZED_NAME = 112;
export const ALERT_BAD_CERTIFICATE_STATUS_RESPONSE = 113;
export const ALERT_CERTIFICATE_REQUIRED = 116;
export const ALERT_NO_APPLICATION_PROTOCOL = 120;

/** Classes of objects whose creation and release OpenSSL can report (crypto.h), except certificates. */
export const CRYPTO_EX_INDEX = { SSL: 0, SSL_CTX: 1, SSL_SESSION: 2, X509_STORE: 4, BIO: 12 } as const;

export const NID_sha256 = 672;
export const NID_sha384 = 673;

export const X509_V_FLAG_CRL_CHECK = 0x4;
export const X509_V_FLAG_CRL_CHECK_ALL = 0x8;
export const X509_PURPOSE_ANY = 7;
export const X509_CHECK_FLAG_NEVER_CHECK_SUBJECT = 0x20;
export const X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS = 0x4;
export const X509_V_OK = 0;
export const X509_V_ERR_HOSTNAME_MISMATCH = 62;
export const X509_V_ERR_IP_ADDRESS_MISMATCH = 64;

/** Reasons of errors. The reason of an alert from the peer is this offset plus the alert's number. */
export const SSL_AD_REASON_OFFSET = 1000;
export const SSL_R_HTTP_REQUEST = 156;
export const SSL_R_HTTPS_PROXY_REQUEST = 155;
export const ERR_LIB_SSL = 20;

/** Versions of the protocol, by their numbers on the wire. */
export const VERSIONS = { TLSv1: 0x301, 'TLSv1.1': 0x302, 'TLSv1.2': 0x303, 'TLSv1.3': 0x304 } as const;
