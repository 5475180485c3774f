import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
// The programs import the package by name, so their files must be inside the package.
const folder = join(root, '.cache', `first-server-${String(process.pid)}`);
const page = readFileSync(join(root, 'docs/first-server.md'), 'utf8');
const node = ['--conditions=source', '--import', 'tsx'];

beforeAll(() => {
  mkdirSync(folder, { recursive: true });
  for (const [, source, name] of page.matchAll(/```(?:ts|jsonc)\n(\/\/ (\S+)\n[\s\S]*?)```/g))
    writeFileSync(join(folder, name), source);
  // The checkout has no compiled package: its programs and tests use the sources.
  const conditions = "['source', 'node', 'module', 'import', 'default']";
  edit('vitest.config.ts', 'export default defineConfig({', (line) =>
    [
      line,
      `  root: ${JSON.stringify(folder)},`,
      `  resolve: { conditions: ${conditions} },`,
      `  ssr: { resolve: { conditions: ${conditions}, externalConditions: ${conditions} } },`,
    ].join('\n'),
  );
  edit('vitest.config.ts', "'wantio/testing/vitest'", () => JSON.stringify(join(root, 'property-tests/vitest.ts')));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('docs/first-server.md', () => {
  it('has types that TypeScript accepts under the tsconfig.json of the page', () => {
    const { stdout } = spawnSync(
      process.execPath,
      [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder, '--customConditions', 'source', '--skipLibCheck'],
      { encoding: 'utf8' },
    );
    expect(stdout).toBe('');
  });

  it('has a first server that greets', async () => {
    const server = await start('hello.ts');
    const client = connect(server.port, '127.0.0.1');
    client.end('wantio\n');
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toBe('hello wantio\n');
    await server.stop('SIGKILL');
  });

  it.each([
    ['server.ts', 'client.ts', ['SIGTERM: draining', 'closed']],
    ['tls-server.ts', 'tls-client.ts', []],
  ])('has in %s a server that answers %s as the page says, and drains', async (serverFile, clientFile, lastWords) => {
    const server = await start(serverFile);
    const { stdout, stderr } = spawnSync(process.execPath, [...node, clientFile], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, PORT: String(server.port) },
    });
    expect({ stdout, stderr }).toEqual({ stdout: outputAfter(clientFile), stderr: '' });
    expect(await server.stop('SIGTERM')).toEqual(lastWords);
  });

  it('has a test that passes, and fails with the bug that the page plants', () => {
    const passing = runTest();
    expect(passing.report).toMatch(/Tests +5 passed \(5\)/);
    expect(passing.status).toBe(0);

    const [, before, after] = /```diff\n-(.*)\n\+(.*)\n```/.exec(page) ?? [];
    edit('read-command.ts', before, () => after);
    const failing = runTest();
    expect(failing.status).toBe(1);
    expect(failing.report).toMatch(/FAIL .*over TCP pipelined commands get the answers of the model/);
    expect(failing.report).toMatch(/ERROR the value has another/);
    expect(failing.report).toMatch(
      /replay: WANTIO_SEED=\d+ WANTIO_PATH=[\d:]+ npx vitest run .*key-value\.test\.ts -t /,
    );
    edit('read-command.ts', after, () => before);
  });
});

/** Replaces the only occurrence of `text` in a file of the page. */
function edit(name: string, text: string, replacement: (text: string) => string): void {
  const file = join(folder, name);
  const parts = readFileSync(file, 'utf8').split(text);
  expect(parts).toHaveLength(2);
  writeFileSync(file, parts.join(replacement(text)));
}

/** @returns the first block of output that the page shows after a program. */
function outputAfter(program: string): string {
  const [, output] = /```text\n([\s\S]*?)```/.exec(page.slice(page.indexOf(`// ${program}`))) ?? [];
  return output;
}

/** Starts a server of the page on a port that the system chooses. */
async function start(program: string) {
  const server = spawn(process.execPath, [...node, program], {
    cwd: folder,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: server.stdout });
  const [first] = (await once(lines, 'line')) as [string];
  const later: string[] = [];
  lines.on('line', (line) => later.push(line));
  return {
    port: Number(/^listening on port (\d+)$/.exec(first)?.[1]),
    /** @returns what it prints between its first line and its end. */
    async stop(signal: NodeJS.Signals): Promise<string[]> {
      const closed = once(lines, 'close');
      server.kill(signal);
      await closed;
      return later;
    },
  };
}

/** Runs the page's test from a fixed seed, whatever the settings of this run. */
function runTest(): { status: number | null; report: string } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('WANTIO_')));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--config', join(folder, 'vitest.config.ts')],
    { cwd: folder, encoding: 'utf8', env: { ...env, NO_COLOR: '1', WANTIO_SEED: '1' } },
  );
  return { status, report: stdout + stderr };
}
