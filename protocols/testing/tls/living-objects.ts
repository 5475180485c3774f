/** Counts the live OpenSSL objects. */

import { CRYPTO_EX_INDEX } from '../../tls/constants.ts';
import { openssl } from '../../tls/openssl.ts';
import type { Pointer } from '../../tls/openssl.ts';

/** The kinds of objects that OpenSSL itself reports: it calls back when one is created or freed. */
export type ObjectKind = keyof typeof CRYPTO_EX_INDEX;

/**
 * Counts, by kind, the objects that were created since the count began and are not freed yet. For certificates it
 * counts the references that this project takes and releases: Node's garbage collector frees certificates of its own,
 * and no JavaScript callback may run at that moment.
 */
export class LivingObjects {
  readonly #counts = new Map<string, number>([['X509', 0]]);
  readonly #made = new Map<string, number>();

  constructor() {
    const ssl = openssl();
    for (const kind of Object.keys(CRYPTO_EX_INDEX) as ObjectKind[]) {
      this.#counts.set(kind, 0);
      const told = (by: number) =>
        ssl.register(ssl.callbacks.exData, () => {
          this.#count(kind, by);
        });
      ssl.CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX[kind], 0, null, told(1), null, told(-1));
    }
    const functions = ssl as unknown as Record<string, (...args: unknown[]) => Pointer>;
    for (const maker of CERTIFICATE_MAKERS) {
      const make = functions[maker];
      functions[maker] = (...args) => {
        const pointer = make(...args);
        if (pointer !== 0) this.#count('X509', 1);
        return pointer;
      };
    }
    const free = functions['X509_free'];
    functions['X509_free'] = (pointer) => {
      this.#count('X509', -1);
      return free(pointer);
    };
  }

  /** The number of live objects of each kind. */
  get counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  /** How many were created since the count began. */
  made(kind: ObjectKind | 'X509'): number {
    return this.#made.get(kind) ?? 0;
  }

  #count(kind: string, by: number): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + by);
    if (by > 0) this.#made.set(kind, this.made(kind as ObjectKind) + 1);
  }
}

// The caller of one of these functions owns a reference, and releases it with X509_free.
const CERTIFICATE_MAKERS = [
  'X509_new',
  'PEM_read_bio_X509',
  'PEM_read_bio_X509_AUX',
  'd2i_X509',
  'd2i_X509_AUX',
  'SSL_get1_peer_certificate',
];
