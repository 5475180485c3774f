import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Runs the first program of a page. @returns its output. */
function run(page: string): { stdout: string; stderr: string } {
  const [, program] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, page), 'utf8')) ?? [];
  // The program imports the package by name, so its file must be inside the package.
  const folder = join(root, '.cache');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `program-${String(process.pid)}.mts`);
  writeFileSync(file, program);
  const { stdout, stderr } = spawnSync(process.execPath, ['--conditions=source', '--import', 'tsx', file], {
    encoding: 'utf8',
    cwd: root,
  });
  rmSync(file);
  return { stdout, stderr };
}

describe('the pages', () => {
  it('have a test in docs/testing.md that passes', () => {
    expect(run('docs/testing.md')).toEqual({ stdout: 'held\n', stderr: '' });
  });

  it('name only existing files and tests in docs/features.md', () => {
    const rows = readFileSync(join(root, 'docs/features.md'), 'utf8')
      .split('\n')
      .filter((line) => /^\| [A-Z]\d+ \|/.test(line));
    const missing = rows.flatMap((row) => {
      const [, id, , state, shownBy] = row.split('|').map((cell) => cell.trim());
      const shown = [...shownBy.matchAll(/`([^`]+)`((?:,? "[^"]+")*)/g)];
      if (shown.length === 0 && !/^not there yet/.test(state)) return [`${id}: nothing shows it`];
      return shown.flatMap(([, path, names]) => {
        if (!existsSync(join(root, path))) return [`${id}: ${path}`];
        const tests = [...names.matchAll(/"([^"]+)"/g)].map(([, name]) => name);
        const source = tests.length === 0 ? '' : readFileSync(join(root, path), 'utf8');
        return tests.filter((name) => !source.includes(name)).map((name) => `${id}: "${name}" in ${path}`);
      });
    });
    expect(rows.length).toBeGreaterThan(40);
    expect(missing).toEqual([]);
  });

  it('have a program in README.md that prints what the page says', () => {
    expect(run('README.md')).toEqual({
      stderr: '',
      stdout:
        'receive wants to read\nyou said hello\nreceive wants to read\nreceive timed out (block 100 ms) waiting to read\nshutdown wants to read\n',
    });
  });
});
