import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
// The programs import the package by name, so their files must be inside the package.
const folder = join(root, '.cache', `framing-page-${String(process.pid)}`);
const page = readFileSync(join(root, 'docs/framing.md'), 'utf8');

beforeAll(() => {
  mkdirSync(folder, { recursive: true });
  for (const [, source, name] of page.matchAll(/```ts\n(\/\/ (\S+)\n[\s\S]*?)```/g))
    writeFileSync(join(folder, name), source);
  const compilerOptions = {
    target: 'ES2023',
    module: 'NodeNext',
    strict: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    noEmit: true,
    types: ['node'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  const conditions = ['source', 'node', 'module', 'import', 'default'];
  const resolve = { conditions };
  const config = { root: folder, resolve, ssr: { resolve: { conditions, externalConditions: conditions } } };
  writeFileSync(join(folder, 'vitest.config.ts'), `export default ${JSON.stringify(config)};\n`);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('docs/framing.md', () => {
  it('has types that TypeScript accepts', () => {
    const { stdout } = spawnSync(
      process.execPath,
      [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder, '--customConditions', 'source', '--skipLibCheck'],
      { encoding: 'utf8' },
    );
    expect(stdout).toBe('');
  });

  it('has a server that echoes messages', async () => {
    const server = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', 'server.ts'], {
      cwd: folder,
      env: { ...process.env, PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: server.stdout }), 'line')) as [string];
    const client = connect(Number(/^listening on port (\d+)$/.exec(line)?.[1]), '127.0.0.1');
    client.end('\0\0\0\x05"two"');
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString('latin1')).toBe('\0\0\0\x0e{"echo":"two"}');
    server.kill('SIGKILL');
  });

  it('has a framing of its own that passes the checks of the page', () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, 'node_modules/vitest/vitest.mjs'), 'run'],
      {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      },
    );
    expect(stdout + stderr).toMatch(/Tests +6 passed \(6\)/);
    expect(status).toBe(0);
  });
});
