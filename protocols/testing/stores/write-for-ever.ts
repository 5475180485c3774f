/** What a writer process does until the test kills it. */

import type { SessionStore } from '../../stores/store.ts';
import { bytes } from './check-store.ts';

/**
 * Sets `key-0` to `key-49` again and again, ten at a time, and prints "writing" when each has been set once. The first
 * two bytes of a value are the salt of the other bytes.
 */
export async function writeForEver(store: SessionStore): Promise<never> {
  for (let round = 0; ; round++) {
    for (let first = 0; first < 50; first += 10) {
      const salt = (round * 50 + first) & 0xff;
      await Promise.all(
        Array.from({ length: 10 }, async (_, index) =>
          store.set(`key-${String(first + index)}`, saltedValue(salt), 600_000),
        ),
      );
    }
    if (round === 0) console.log('writing');
  }
}

/** @returns a value of 20,000 bytes that contains its own salt. */
export function saltedValue(salt: number): Uint8Array {
  return bytes(20_000, salt).fill(salt, 0, 2);
}
