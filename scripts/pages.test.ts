import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Runs the first program of a page; @returns what it printed. */
function run(page: string): { stdout: string; stderr: string } {
  const [, program] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, page), 'utf8')) ?? [];
  // It imports the package by its own name, so it must lie inside of it.
  const folder = join(root, '.cache');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `program-${String(process.pid)}.mts`);
  writeFileSync(file, program);
  const { stdout, stderr } = spawnSync(process.execPath, ['--conditions=source', '--import', 'tsx', file], { encoding: 'utf8', cwd: root });
  rmSync(file);
  return { stdout, stderr };
}

describe('the pages', () => {
  it('have a test in docs/testing.md that holds', () => {
    expect(run('docs/testing.md')).toEqual({ stdout: 'held\n', stderr: '' });
  });

  it('have a program in README.md that does what is said there', () => {
    expect(run('README.md')).toEqual({ stderr: '', stdout: 'receive wants to read\nyou said hello\nreceive wants to read\nreceive timed out (block 100 ms) waiting to read\nshutdown wants to read\n' });
  });
});
