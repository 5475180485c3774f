import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

describe('the README', () => {
  it('has a program that does what the README says', () => {
    const [, program] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
    // It imports the package by its own name, so it must lie inside of it.
    const folder = join(root, '.cache');
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `readme-${String(process.pid)}.mts`);
    writeFileSync(file, program);
    const run = spawnSync(process.execPath, ['--conditions=source', '--import', 'tsx', file], { encoding: 'utf8', cwd: root });
    rmSync(file);
    expect(run.stderr).toBe('');
    expect(run.stdout).toBe('receive wants to read\nyou said hello\nreceive wants to read\nreceive timed out (block 100 ms) waiting to read\nshutdown wants to read\n');
  });
});
