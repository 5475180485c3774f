/** Sessions that look valid but cannot be resumed. */

/** @returns the same session in DER with another secret, so that no server resumes it. */
export function damaged(der: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(der);
  // SSL_SESSION_ASN1 of OpenSSL: a sequence of version, protocol, cipher, id, secret and more.
  let at = contentOf(copy, 0);
  for (let fields = 0; fields < 4; fields++) at = contentOf(copy, at) + lengthOf(copy, at);
  copy[contentOf(copy, at)] ^= 1;
  return copy;
}

function lengthOf(der: Uint8Array, at: number): number {
  const first = der[at + 1];
  if (first < 0x80) return first;
  return der.subarray(at + 2, at + 2 + (first & 0x7f)).reduce((length, byte) => length * 256 + byte, 0);
}

function contentOf(der: Uint8Array, at: number): number {
  const first = der[at + 1];
  return at + 2 + (first < 0x80 ? 0 : first & 0x7f);
}
