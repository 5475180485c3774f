import { expect, it } from 'vitest';

import { Authority } from '../../testing/tls/authority.ts';
import { readTrust, withStore } from './trust.ts';

const authority = new Authority();
const crls = { pem: authority.crl() };

/** @returns the pointer of the store for `files`. */
function storeOf(files: Awaited<ReturnType<typeof readTrust>>): unknown {
  let found: unknown;
  withStore(files, (store) => {
    found = store;
  });
  return found;
}

it('the store of the bundled roots is shared, but only by contexts without other authorities and lists', async () => {
  const shared = storeOf(await readTrust('bundled', undefined));
  expect(storeOf(await readTrust(['bundled'], undefined))).toBe(shared);
  // Other authorities and revocation lists must not get into the shared store, and must not be lost.
  expect(storeOf(await readTrust('bundled', crls))).not.toBe(shared);
  expect(storeOf(await readTrust(['bundled', { pem: authority.pem }], undefined))).not.toBe(shared);
  expect(storeOf(await readTrust('bundled', undefined))).toBe(shared);
});
