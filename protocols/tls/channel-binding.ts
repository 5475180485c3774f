/** Channel bindings: values that tie a protocol above to one TLS connection (RFC 5929 and 9266). */

import { createHash } from 'node:crypto';

import type { Certificate } from './certificates/certificate.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { refused, TlsError } from './tls-error.ts';

/** `'tls-exporter'` identifies the connection, `'tls-server-end-point'` the server's certificate. */
export type ChannelBinding = 'tls-exporter' | 'tls-server-end-point';

/**
 * Derives bytes from the secrets of the connection (RFC 5705 and 8446, section 7.5). Only the two peers can derive
 * them.
 * @throws {TlsError} when a TLS 1.2 handshake had no extended master secret: then two connections may have the same
 * secrets.
 * @throws {RangeError} when `length` is not 1…8160.
 */
export function exportKeyingMaterial(
  connection: Pointer,
  length: number,
  label: string,
  context: Uint8Array | undefined,
): Uint8Array {
  const ssl = openssl();
  // HKDF derives at most 255 digests.
  if (!Number.isInteger(length) || length < 1 || length > 255 * 32)
    throw new RangeError(`exportKeyingMaterial returns 1…8160 bytes, not ${String(length)}`);
  if (
    ssl.SSL_version(connection) < c.VERSIONS['TLSv1.3'] &&
    ssl.SSL_ctrl(connection, c.SSL_CTRL_GET_EXTMS_SUPPORT, 0, 0) !== 1
  ) {
    throw new TlsError('exportKeyingMaterial refused: the handshake had no extended master secret (RFC 7627)', {
      reason: 'no extended master secret',
    });
  }
  const [out, name] = [new Uint8Array(length), Buffer.from(label)];
  // Under TLS 1.2 an empty context differs from no context.
  const done = ssl.SSL_export_keying_material(
    connection,
    out,
    length,
    name,
    name.length,
    context === undefined ? null : context.length === 0 ? NOTHING : context,
    context?.length ?? 0,
    Number(context !== undefined),
  );
  if (done <= 0) throw refused('exportKeyingMaterial');
  return out;
}

/**
 * The binding of RFC 5929, section 4.1: the digest of the certificate. It uses the digest algorithm of the
 * certificate's signature, or SHA-256 when that is too weak.
 */
export function serverEndPoint(certificate: Certificate): Uint8Array {
  const digest = /sha(384|512|224)/i.exec(certificate.signatureName)?.[1];
  return createHash(digest === undefined ? 'sha256' : `sha${digest}`)
    .update(certificate.der)
    .digest();
}

const NOTHING = new Uint8Array(1);
