/** Loads packages that only some stores need, when such a store is first used. */

import { UnsupportedError } from '../../core/errors.ts';

/**
 * @param load imports the package.
 * @throws {UnsupportedError} when the package cannot be loaded; the message says what to install.
 */
export async function storePackage<T>(name: string, store: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new UnsupportedError(`${store} needs the package ${name}: npm install ${name}`, { cause: error });
  }
}
