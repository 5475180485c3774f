import { expect, it } from 'vitest';

import { Authority } from '../../testing/tls/authority.ts';
import { readTrust, withStore } from './trust.ts';

const authority = new Authority();
const crls = { pem: authority.crl() };

/** The address of the store that is made of `files`. */
function storeOf(files: Awaited<ReturnType<typeof readTrust>>): unknown {
  let found: unknown;
  withStore(files, (store) => {
    found = store;
  });
  return found;
}

it('shares the store of the bundled roots among those who have nothing but them', async () => {
  const shared = storeOf(await readTrust('bundled', undefined));
  expect(storeOf(await readTrust(['bundled'], undefined))).toBe(shared);
  // Their lists of what is revoked, and their own authorities, must not be everybody's; nor must those be lost.
  expect(storeOf(await readTrust('bundled', crls))).not.toBe(shared);
  expect(storeOf(await readTrust(['bundled', { pem: authority.pem }], undefined))).not.toBe(shared);
  expect(storeOf(await readTrust('bundled', undefined))).toBe(shared);
});
