import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
// The examples import the package by its own name, so they must lie inside of it.
const folder = join(root, '.cache', `examples-${String(process.pid)}`);

interface Example {
  readonly name: string;
  readonly file: string;
  readonly code: string;
}

const sources = ['core', 'reactor', 'protocols', 'property-tests'].flatMap((floor) =>
  readdirSync(join(root, floor), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => `${floor}/${name}`),
);
const examples = sources
  .flatMap(examplesIn)
  .map((example, index) => ({ ...example, file: `example-${String(index)}.ts` }));

/** The examples in the docstrings of one file, each named after what it stands above. */
function examplesIn(file: string): Omit<Example, 'file'>[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*?)@example\n((?:(?!\*\/)[\s\S])*)\*\/\n([^\n]*)/g)].map(
    ([, , body, above]) => ({
      name: `${file}: ${/(?:class|function|const) (\w+)/.exec(above)?.[1] ?? above.trim()}`,
      code: body.replace(/^[ \t]*\* ?/gm, ''),
    }),
  );
}

mkdirSync(folder, { recursive: true });
for (const { file, code } of examples) writeFileSync(join(folder, file), `${code}\nexport {};\n`);
writeFileSync(
  join(folder, 'tsconfig.json'),
  JSON.stringify({
    extends: '../../tsconfig.json',
    compilerOptions: { rootDir: '../..', noUnusedLocals: false },
    include: ['*.ts'],
  }),
);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the examples of docstrings', () => {
  it('stand at the main names of each entry point', () => {
    const names = examples.map(({ name }) => name.replace(/^.*: /, ''));
    for (const name of [
      'Reactor',
      'Connection',
      'Listener',
      'toDuplex',
      'fromDuplex',
      'TlsContext',
      'selfSigned',
      'request',
      'Relay',
    ])
      expect(names).toContain(name);
    for (const name of ['World', 'simulate', 'checkLaw']) expect(names).toContain(name);
  });

  it('have the right types', () => {
    const { stdout, status } = spawnSync(
      process.execPath,
      [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder],
      {
        encoding: 'utf8',
      },
    );
    expect({ stdout, status }).toEqual({ stdout: '', status: 0 });
  });

  it.each(examples)('run: $name', ({ file }) => {
    const { stderr, status } = spawnSync(
      process.execPath,
      ['--conditions=source', '--import', 'tsx', join(folder, file)],
      { encoding: 'utf8', cwd: root, timeout: 30_000 },
    );
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });
});
