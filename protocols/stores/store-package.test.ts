import { describe, expect, it } from 'vitest';

import { UnsupportedError } from '../../core/errors.ts';
import { storePackage } from './store-package.ts';

describe('an optional package of a store', () => {
  it('resolves with what its import resolves with', async () => {
    expect(await storePackage('lmdb', 'LmdbSessionStore', () => Promise.resolve('it'))).toBe('it');
  });

  it('rejects with the command that installs it when it is missing', async () => {
    const absent = 'wantio-absent-package';
    const loading = storePackage('lmdb', 'LmdbSessionStore', () => import(absent));
    await expect(loading).rejects.toBeInstanceOf(UnsupportedError);
    await expect(loading).rejects.toThrow('LmdbSessionStore needs the package lmdb: npm install lmdb');
  });
});
