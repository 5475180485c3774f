/** OpenSSL's options by name: what LuaSec's `options` takes, and what has come since. */

/** Such as `'no_ticket'`. The table says what each does; those that are marked do nothing in OpenSSL 3. */
export type TlsOptionName = keyof typeof OPTIONS;

/** Such as `'legacy_server_connect'`: each gives up a protection, and the table says which. */
export type DangerousOptionName = keyof typeof DANGEROUS_OPTIONS;

/**
 * @returns the bits of the names together.
 * @throws {RangeError} for a name that is unknown, or does not belong where it stands.
 */
export function optionBits(names: readonly TlsOptionName[], dangerous: readonly DangerousOptionName[]): bigint {
  const wrong = names.find((name) => Object.hasOwn(DANGEROUS_OPTIONS, name));
  if (wrong !== undefined)
    throw new RangeError(`options: ${wrong} gives up a protection; it belongs into dangerouslyEnable`);
  return bitsOf(names, OPTIONS, 'options') | bitsOf(dangerous, DANGEROUS_OPTIONS, 'dangerouslyEnable');
}

function bitsOf(names: readonly string[], table: Readonly<Record<string, bigint>>, option: string): bigint {
  return names.reduce((bits, name) => {
    if (!Object.hasOwn(table, name))
      throw new RangeError(`${option} knows ${Object.keys(table).join(', ')}, not ${JSON.stringify(name)}`);
    return bits | table[name];
  }, 0n);
}

/** @returns whether this OpenSSL knows `name` only so that old programs still compile. */
export function isIgnoredOption(name: TlsOptionName): boolean {
  return OPTIONS[name] === IGNORED;
}

const bit = (number: number): bigint => 1n << BigInt(number);
const IGNORED = 0n;

// The bits of ssl.h, SSL_OP_…. Left out: what the transport decides itself (renegotiation, kernel TLS, the end without
// goodbye).
const DANGEROUS_OPTIONS = {
  /** TLS 1.3 resumption without a fresh key exchange: **no forward secrecy for what is resumed**. */
  allow_no_dhe_kex: bit(10),
  /** Talks to peers that renegotiate without RFC 5746: **open to injected beginnings (CVE-2009-3555)**. */
  allow_unsafe_legacy_renegotiation: bit(18),
  /** A client talks to servers without RFC 5746, which cannot tell a spliced beginning. */
  legacy_server_connect: bit(2),
  /** MAC before encryption in CBC ciphers: **open to padding oracles**. */
  no_encrypt_then_mac: bit(19),
  /** Without it exported keys and channel bindings of TLS 1.2 are not safe. */
  no_extended_master_secret: bit(0),
  /** Tolerates clients that send a wrong version in the encrypted secret: **weakens the check against downgrades**. */
  tls_rollback_bug: bit(23),
} as const;

const OPTIONS = {
  /** The harmless workarounds for the faults of old peers, together. */
  all: bit(4) | bit(6) | bit(11) | bit(31),
  /** The server's order of ciphers counts, not the client's. Set by default. */
  cipher_server_preference: bit(22),
  /** Speaks as old Cisco servers expect it; of DTLS only. */
  cisco_anyconnect: bit(15),
  /** Overwrites plaintext in OpenSSL's buffers once it was read. */
  cleanse_plaintext: bit(1),
  /** Of DTLS only. */
  cookie_exchange: bit(13),
  cryptopro_tlsext_bug: bit(31),
  /** Sends no names of authorities along with the demand for a certificate. */
  disable_tlsext_ca_names: bit(9),
  /** No empty records against BEAST under TLS 1.0. */
  dont_insert_empty_fragments: bit(11),
  /** Sends messages that make TLS 1.3 look like 1.2 to boxes on the way. Set by OpenSSL's default. */
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
  /** No compression, whose sizes tell secrets. Set by default. */
  no_compression: bit(17),
  /** Of DTLS only. */
  no_query_mtu: bit(12),
  no_renegotiation: bit(30),
  no_session_resumption_on_renegotiation: bit(16),
  /** Ignored: SSL 2 is gone. */
  no_sslv2: IGNORED,
  no_sslv3: bit(25),
  /** No session tickets under TLS 1.2; under 1.3 tickets hold an id only. */
  no_ticket: bit(14),
  no_tlsv1: bit(26),
  no_tlsv1_1: bit(28),
  no_tlsv1_2: bit(27),
  no_tlsv1_3: bit(29),
  /** Ignored. */
  pkcs1_check_1: IGNORED,
  /** Ignored. */
  pkcs1_check_2: IGNORED,
  /** ChaCha20 first for clients that prefer it, because they lack AES in hardware. */
  prioritize_chacha: bit(21),
  safari_ecdhe_ecdsa_bug: bit(6),
  /** Ignored: each handshake makes its own key. */
  single_dh_use: IGNORED,
  /** Ignored: each handshake makes its own key. */
  single_ecdh_use: IGNORED,
  /** Ignored. */
  ssleay_080_client_dh_bug: IGNORED,
  /** Ignored. */
  sslref2_reuse_cert_type_bug: IGNORED,
  /** Ignored. */
  tls_block_padding_bug: IGNORED,
  /** Ignored. */
  tls_d5_bug: IGNORED,
  /** Pads client hellos of 256 to 511 bytes, which some old boxes cannot stand. */
  tlsext_padding: bit(4),
} as const;
