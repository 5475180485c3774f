/** The compiled sources, for the programs that tests start. */

import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(import.meta.dirname, '..', '..');
export const COMPILED = join(ROOT, '.cache', 'compiled');

/** @returns the path of the compiled file of a source file, which Node.js can run without a loader. */
export function compiledOf(source: string | URL): string {
  const path = typeof source === 'string' ? source : fileURLToPath(source);
  return join(COMPILED, relative(ROOT, path).replace(/\.ts$/, '.js'));
}
