/** How many objects of OpenSSL's live. */

import { CRYPTO_EX_INDEX } from '../../tls/constants.ts';
import { openssl } from '../../tls/openssl.ts';
import type { Pointer } from '../../tls/openssl.ts';

/** The kinds of objects that OpenSSL itself counts: it tells of each that is made and freed. */
export type ObjectKind = keyof typeof CRYPTO_EX_INDEX;

/**
 * Objects that were made since the count began and are not freed yet, by kind. Of certificates it counts the references
 * that this project takes and gives back: those of Node's own are freed by the garbage collector, which must not be
 * told of in JavaScript.
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

  /** The living ones of each kind. */
  get counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  /** How many were made altogether. */
  made(kind: ObjectKind | 'X509'): number {
    return this.#made.get(kind) ?? 0;
  }

  #count(kind: string, by: number): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + by);
    if (by > 0) this.#made.set(kind, this.made(kind as ObjectKind) + 1);
  }
}

// Whoever calls one of these owns a reference, and gives it back by X509_free.
const CERTIFICATE_MAKERS = [
  'X509_new',
  'PEM_read_bio_X509',
  'PEM_read_bio_X509_AUX',
  'd2i_X509',
  'd2i_X509_AUX',
  'SSL_get1_peer_certificate',
];
