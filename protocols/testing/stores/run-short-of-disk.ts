/** A program for whose files there is little room. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { compiledOf } from '../../../reactor/testing/compiled.ts';

const program = fileURLToPath(new URL('short-of-disk.ts', import.meta.url));

/**
 * Fills a store in `directory` whose files may have so many kilobytes, for which any user may ask the system;
 * @returns what it told.
 */
export async function runShortOfDisk(
  kind: 'files' | 'lmdb',
  directory: string,
  kilobytes: number,
): Promise<{ readonly before: boolean; readonly refused: number; readonly kept: number; readonly lost: boolean }> {
  // The shell counts in blocks of 512 bytes (POSIX, ulimit).
  const limited = [
    '-c',
    'ulimit -f "$0"; exec "$@"',
    String(kilobytes * 2),
    process.execPath,
    compiledOf(program),
    kind,
    directory,
  ];
  const { stdout } = await promisify(execFile)('sh', limited);
  return JSON.parse(stdout) as Awaited<ReturnType<typeof runShortOfDisk>>;
}
