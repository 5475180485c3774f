/** Runs a program whose files may not grow beyond a limit. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { compiledOf } from '../../../reactor/testing/compiled.ts';

const program = fileURLToPath(new URL('short-of-disk.ts', import.meta.url));

/**
 * Fills a store in `directory` while the system limits each of its files to `kilobytes`. Any user may lower this limit.
 * @returns what the program printed.
 */
export async function runShortOfDisk(
  kind: 'files' | 'lmdb',
  directory: string,
  kilobytes: number,
): Promise<{ readonly before: boolean; readonly refused: number; readonly kept: number; readonly lost: boolean }> {
  // `ulimit -f` counts in blocks of 512 bytes (POSIX, ulimit).
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
