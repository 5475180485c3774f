import { describe, expect, it } from 'vitest';

import { UnsupportedError } from '../../core/errors.ts';
import { storePackage } from './store-package.ts';

describe('a package that only some stores need', () => {
  it('is what its import gives', async () => {
    expect(await storePackage('lmdb', 'LmdbSessionStore', () => Promise.resolve('it'))).toBe('it');
  });

  it('is asked for by name when it is missing', async () => {
    const absent = 'wantio-absent-package';
    const loading = storePackage('lmdb', 'LmdbSessionStore', () => import(absent));
    await expect(loading).rejects.toBeInstanceOf(UnsupportedError);
    await expect(loading).rejects.toThrow('LmdbSessionStore needs the package lmdb: npm install lmdb');
  });
});
