/** Where the sources stand compiled, for the programs that tests start. */

import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(import.meta.dirname, '..', '..');
export const COMPILED = join(ROOT, '.cache', 'compiled');

/** @returns the path of what was compiled from a source file, to be run by Node.js as it is. */
export function compiledOf(source: string | URL): string {
  const path = typeof source === 'string' ? source : fileURLToPath(source);
  return join(COMPILED, relative(ROOT, path).replace(/\.ts$/, '.js'));
}
