/** Text that OpenSSL writes into a BIO. */

import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';

/** @param write writes into the BIO. @returns the text; `undefined` when `write` returns `false`. */
export function bioText(write: (bio: Pointer) => boolean): string | undefined {
  const ssl = openssl();
  const bio = ssl.BIO_new(ssl.BIO_s_mem());
  try {
    if (!write(bio)) return undefined;
    const bytes = Buffer.alloc(ssl.BIO_ctrl_pending(bio));
    ssl.BIO_read(bio, bytes, bytes.length);
    return bytes.toString();
  } finally {
    ssl.BIO_free(bio);
  }
}
