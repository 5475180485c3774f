/** OpenSSL's options by name: those of LuaSec's `options`, and newer ones. */

/** An option of OpenSSL such as `'no_ticket'`. The table `OPTIONS` describes each; some are ignored by OpenSSL 3. */
export type TlsOptionName = keyof typeof OPTIONS;

/**
 * An option of OpenSSL that gives up a protection, such as `'legacy_server_connect'`. The table `DANGEROUS_OPTIONS`
 * says which.
 */
export type DangerousOptionName = keyof typeof DANGEROUS_OPTIONS;

/**
 * @returns the bits of all names, combined.
 * @throws {RangeError} when a name is unknown or stands in the wrong list.
 */
export function optionBits(names: readonly TlsOptionName[], dangerous: readonly DangerousOptionName[]): bigint {
  const wrong = names.find((name) => Object.hasOwn(DANGEROUS_OPTIONS, name));
  if (wrong !== undefined)
    throw new RangeError(`options: ${wrong} gives up a protection; put it into dangerouslyEnable`);
  return bitsOf(names, OPTIONS, 'options') | bitsOf(dangerous, DANGEROUS_OPTIONS, 'dangerouslyEnable');
}

function bitsOf(names: readonly string[], table: Readonly<Record<string, bigint>>, option: string): bigint {
  return names.reduce((bits, name) => {
    if (!Object.hasOwn(table, name))
      throw new RangeError(`${option} takes ${Object.keys(table).join(', ')}, not ${JSON.stringify(name)}`);
    return bits | table[name];
  }, 0n);
}

/** @returns whether OpenSSL 3 ignores `name`, which it keeps only so that old programs compile. */
export function isIgnoredOption(name: TlsOptionName): boolean {
  return OPTIONS[name] === IGNORED;
}

const bit = (number: number): bigint => 1n << BigInt(number);
const IGNORED = 0n;

// The SSL_OP_… bits of ssl.h. Left out: what the transport decides itself (renegotiation, kernel TLS, an end without
// close_notify).
const DANGEROUS_OPTIONS = {
  /** TLS 1.3 resumption without a fresh key exchange: **no forward secrecy for what is resumed**. */
  allow_no_dhe_kex: bit(10),
  /**
   * Renegotiates with peers without RFC 5746: **an attacker can inject data before the peer's own (CVE-2009-3555)**.
   */
  allow_unsafe_legacy_renegotiation: bit(18),
  /** A client connects to servers without RFC 5746, which cannot detect that an attacker injected data first. */
  legacy_server_connect: bit(2),
  /** MAC before encryption in CBC ciphers: **open to padding oracles**. */
  no_encrypt_then_mac: bit(19),
  /** No extended master secret: **exported keys and channel bindings of TLS 1.2 are not safe**. */
  no_extended_master_secret: bit(0),
  /** Tolerates clients that send a wrong version in the encrypted secret: **weakens the check against downgrades**. */
  tls_rollback_bug: bit(23),
} as const;

const OPTIONS = {
  /** All harmless workarounds for bugs of old peers. */
  all: bit(4) | bit(6) | bit(11) | bit(31),
  /** The server's order of ciphers decides, not the client's. Set by default. */
  cipher_server_preference: bit(22),
  /** A workaround for old Cisco servers; for DTLS only. */
  cisco_anyconnect: bit(15),
  /** Overwrites plaintext in OpenSSL's buffers after it was read. */
  cleanse_plaintext: bit(1),
  /** For DTLS only. */
  cookie_exchange: bit(13),
  cryptopro_tlsext_bug: bit(31),
  /** Sends no names of authorities with a certificate request. */
  disable_tlsext_ca_names: bit(9),
  /** Sends no empty records; they protect TLS 1.0 against BEAST. */
  dont_insert_empty_fragments: bit(11),
  /** Sends messages that make TLS 1.3 look like 1.2 to middleboxes. OpenSSL sets it by default. */
  enable_middlebox_compat: bit(20),
  /** Ignored. */
  ephemeral_rsa: IGNORED,
  /** Ignored. */
  microsoft_big_sslv3_buffer: IGNORED,
  /** Ignored. */
  microsoft_sess_id_bug: IGNORED,
  /** Ignored. */
  msie_sslv2_rsa_padding: IGNORED,
  /** Ignored. */
  netscape_ca_dn_bug: IGNORED,
  /** Ignored. */
  netscape_challenge_bug: IGNORED,
  /** Ignored. */
  netscape_demo_cipher_change_bug: IGNORED,
  /** Ignored. */
  netscape_reuse_cipher_change_bug: IGNORED,
  /** No compression: compressed sizes leak secrets (CRIME). Set by default. */
  no_compression: bit(17),
  /** For DTLS only. */
  no_query_mtu: bit(12),
  no_renegotiation: bit(30),
  no_session_resumption_on_renegotiation: bit(16),
  /** Ignored: SSL 2 is gone. */
  no_sslv2: IGNORED,
  no_sslv3: bit(25),
  /** No session tickets under TLS 1.2; under TLS 1.3 tickets hold an id only. */
  no_ticket: bit(14),
  no_tlsv1: bit(26),
  no_tlsv1_1: bit(28),
  no_tlsv1_2: bit(27),
  no_tlsv1_3: bit(29),
  /** Ignored. */
  pkcs1_check_1: IGNORED,
  /** Ignored. */
  pkcs1_check_2: IGNORED,
  /** Prefers ChaCha20 for clients that prefer it, because they have no AES in hardware. */
  prioritize_chacha: bit(21),
  safari_ecdhe_ecdsa_bug: bit(6),
  /** Ignored: each handshake always makes its own key. */
  single_dh_use: IGNORED,
  /** Ignored: each handshake always makes its own key. */
  single_ecdh_use: IGNORED,
  /** Ignored. */
  ssleay_080_client_dh_bug: IGNORED,
  /** Ignored. */
  sslref2_reuse_cert_type_bug: IGNORED,
  /** Ignored. */
  tls_block_padding_bug: IGNORED,
  /** Ignored. */
  tls_d5_bug: IGNORED,
  /** Pads client hellos of 256 to 511 bytes, at which some old middleboxes fail. */
  tlsext_padding: bit(4),
} as const;
