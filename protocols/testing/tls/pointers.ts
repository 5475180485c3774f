/** Counts the pointers that OpenSSL returns and frees. */

import { openssl } from '../../tls/openssl.ts';
import type { Pointer } from '../../tls/openssl.ts';

/** The functions that free an object, each with the functions that create one. */
const MAKERS = {
  X509_free: ['d2i_X509', 'PEM_read_bio_X509', 'X509_new'],
  BIO_free: ['BIO_new', 'BIO_new_mem_buf'],
  GENERAL_NAMES_free: ['X509V3_EXT_d2i'],
} as const;

/**
 * Runs `use`, and tracks the objects that it creates through OpenSSL.
 * @returns how many objects were created. @throws {Error} when an object was not freed, or was freed twice.
 */
export function accountFor(use: () => void): number {
  const functions = openssl() as unknown as Record<string, (...args: unknown[]) => Pointer>;
  const before = { ...functions };
  const living = new Map<unknown, string>();
  let made = 0;
  for (const [free, makers] of Object.entries(MAKERS)) {
    functions[free] = (pointer) => {
      if (living.get(pointer) !== free) throw new Error(`${free} of an object that is not alive`);
      living.delete(pointer);
      return before[free](pointer);
    };
    for (const maker of makers)
      functions[maker] = (...args) => {
        const pointer = before[maker](...args);
        if (pointer !== 0) {
          made += 1;
          living.set(pointer, free);
        }
        return pointer;
      };
  }
  try {
    use();
  } finally {
    Object.assign(functions, before);
  }
  if (living.size > 0) throw new Error(`not freed by ${[...living.values()].join(', ')}`);
  return made;
}
