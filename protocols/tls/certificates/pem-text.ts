/** Writes PEM (RFC 7468). */

/** @returns `der` in PEM under `label`, such as `CERTIFICATE`, with a line feed at its end. */
export function pemOf(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
