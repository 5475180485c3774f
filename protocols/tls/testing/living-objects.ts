/** How many objects of OpenSSL's live, counted by OpenSSL itself: it tells of each that is made and freed. */

import { CRYPTO_EX_INDEX } from '../constants.ts';
import { openssl } from '../openssl.ts';

/** The kinds of objects that are counted. */
export type ObjectKind = keyof typeof CRYPTO_EX_INDEX;

/** Objects that were made since the count began and are not freed yet, by kind. Those of the whole process, Node's own too. */
export class LivingObjects {
  readonly #counts = new Map<ObjectKind, number>();
  readonly #made = new Map<ObjectKind, number>();

  constructor() {
    const ssl = openssl();
    for (const kind of Object.keys(CRYPTO_EX_INDEX) as ObjectKind[]) {
      const count = (by: number) => ssl.register(ssl.callbacks.exData, () => {
        this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + by);
        if (by > 0) this.#made.set(kind, (this.#made.get(kind) ?? 0) + 1);
      });
      ssl.CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX[kind], 0, null, count(1), null, count(-1));
    }
  }

  /** The living ones of each kind. */
  get counts(): Record<string, number> {
    return Object.fromEntries(Object.keys(CRYPTO_EX_INDEX).map((kind) => [kind, this.#counts.get(kind as ObjectKind) ?? 0]));
  }

  /** How many were made altogether. */
  made(kind: ObjectKind): number {
    return this.#made.get(kind) ?? 0;
  }
}
