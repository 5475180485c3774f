/** Packages that only some stores need, loaded when such a store is first used. */

import { UnsupportedError } from '../../core/errors.ts';

/**
 * Loads a package by `load`, an `import()` of it.
 * @throws {UnsupportedError} when it cannot be loaded; the message says what to install.
 */
export async function storePackage<T>(name: string, store: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new UnsupportedError(`${store} needs the package ${name}: npm install ${name}`, { cause: error });
  }
}
