import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

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

  it('link only to files of the npm package, and to headings that exist', () => {
    const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      encoding: 'utf8',
      cwd: root,
    });
    const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
    const inPackage = new Set(files.map(({ path }) => path));
    const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
    const pages = ['README', 'ARCHITECTURE', 'CONTRIBUTING', 'SECURITY', 'CHANGELOG']
      .map((name) => `${name}.md`)
      .concat(docs.map((name) => `docs/${name}`));
    expect(pages.filter((page) => !inPackage.has(page))).toEqual([]);

    const links = pages.flatMap((page) => linksOf(page).map((link) => ({ page, link })));
    expect(links.length).toBeGreaterThan(40);
    const broken = links.filter(({ page, link }) => {
      const [path, heading] = link.split('#');
      const target = path === '' ? page : normalize(join(dirname(page), path));
      return !inPackage.has(target) || (heading !== undefined && !headingsOf(target).includes(heading));
    });
    expect(broken).toEqual([]);
  });
});

/** @returns the relative links of a page. Code is no link. */
function linksOf(page: string): string[] {
  return [
    ...proseOf(page)
      .replace(/`[^`\n]*`/g, '')
      .matchAll(/\]\(([^)\s]+)\)/g),
  ]
    .map(([, link]) => link)
    .filter((link) => !/^[a-z]+:/.test(link));
}

/** @returns the headings of a page, as GitHub spells them in links. */
function headingsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** @returns a page without its blocks of code. */
function proseOf(page: string): string {
  return readFileSync(join(root, page), 'utf8').replace(/^```[\s\S]*?^```$/gm, '');
}
