/** Compiles and runs every piece of code in docs/coming-from.md, and checks that its result is what the page says. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';

import * as wantioProtocols from '../protocols/index.ts';
import * as wantioTls from '../protocols/tls/index.ts';
import * as wantio from '../reactor/index.ts';
import { programsOf, rowsOf } from './coming-from/page.ts';
import type { Piece } from './coming-from/page.ts';
import { files, withScope } from './coming-from/scope.ts';
import type { Scope } from './coming-from/scope.ts';

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/coming-from.md'), 'utf8');
const rows = rowsOf(page);
const programs = programsOf(page);
const pieces = rows.flatMap(({ line, here }) =>
  here.map((piece, index) => ({ ...piece, name: `piece${String(line)}_${String(index)}` })),
);

type Run = (scope: Scope) => Promise<{ readonly result: unknown; readonly expected: unknown }>;

// The pieces of the page become functions of one module, so that the compiler can check them.
mkdirSync(join(root, '.cache'), { recursive: true });
const file = join(root, '.cache', `coming-from-${String(process.pid)}.ts`);
writeFileSync(file, moduleOf());
const programFiles = programs.map(({ line, code }) => {
  const name = join(root, '.cache', `coming-from-${String(process.pid)}-${String(line)}.mts`);
  writeFileSync(name, code);
  return name;
});
const folder = files();
const before = process.cwd();
process.chdir(folder);
afterAll(() => {
  process.chdir(before);
  for (const each of [file, ...programFiles]) rmSync(each);
  rmSync(folder, { recursive: true });
});
const module = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Readonly<Record<string, Run>>;

describe('docs/coming-from.md', () => {
  it('has code that compiles', () => {
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (name) => readFileSync(name, 'utf8')) as {
      config: { compilerOptions: object };
    };
    const { options } = ts.convertCompilerOptionsFromJson(
      {
        ...config.compilerOptions,
        noUnusedLocals: false,
        noUnusedParameters: false,
        typeRoots: [join(root, 'node_modules/@types')],
      },
      root,
    );
    const program = ts.createProgram([file, ...programFiles], options);
    const problems = [file, ...programFiles].flatMap((name) => [
      ...program.getSyntacticDiagnostics(program.getSourceFile(name)),
      ...program.getSemanticDiagnostics(program.getSourceFile(name)),
    ]);
    expect(
      problems.map(
        ({ file: source, start = 0, messageText }) =>
          `${source?.text.slice(start, start + 80) ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
      ),
    ).toEqual([]);
  });

  it('has code in each line, or says that there is none', () => {
    expect(rows.length).toBeGreaterThan(100);
    expect(rows.filter(({ here, instead }) => here.length === 0 && !/^(?:not yet|gone)$/.test(instead))).toEqual([]);
    // The parser has read every line of a table.
    const lines = page
      .split('\n')
      .filter((line) => line.startsWith('|') && !/^\| [^|]+ \| here \|/.test(line) && !line.startsWith('|---'));
    expect(rows.length).toBe(lines.length);
    expect(Object.keys(module).sort()).toEqual(pieces.map(({ name }) => name).sort());
  });

  it.each(rows.filter(({ here }) => here.length > 0))(
    'has code that works in line $line: $there',
    async ({ line, here }) => {
      await withScope(here.map(({ code }) => code).join('\n'), async (scope) => {
        for (const [index, piece] of here.entries())
          await check(piece, module[`piece${String(line)}_${String(index)}`](scope));
      });
    },
  );

  it('has programs that print what the page says', async () => {
    expect(programs.length).toBeGreaterThanOrEqual(4);
    expect(programs.filter(({ prints }) => prints === undefined)).toEqual([]);
    const printed = await Promise.all(
      programFiles.map(async (name) => {
        const child = spawn(process.execPath, ['--conditions=source', '--import', import.meta.resolve('tsx'), name], {
          cwd: folder,
        });
        const [out, error] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
        return out + error;
      }),
    );
    expect(printed).toEqual(programs.map(({ prints }) => prints));
  });
});

async function check({ throws, gives }: Piece, run: ReturnType<Run>): Promise<void> {
  if (throws !== undefined) {
    await expect(run).rejects.toMatchObject({ name: throws });
    return;
  }
  const { result, expected } = await run;
  closeContext(result);
  if (gives !== undefined) expect(plain(result)).toEqual(plain(expected));
}

/** Closes a context that a piece of code has made, because no other code does. */
function closeContext(result: unknown): void {
  if (result instanceof wantioTls.TlsContext) result.close();
}

/** Makes a Buffer and a Uint8Array with the same bytes equal. */
const plain = (value: unknown): unknown => (value instanceof Uint8Array ? Array.from(value) : value);

/**
 * @returns a module with a function of the scope for each piece. An expression returns its value. A statement only has
 * its effect.
 */
function moduleOf(): string {
  const names = {
    '../protocols/index.ts': Object.keys(wantioProtocols),
    '../protocols/tls/index.ts': Object.keys(wantioTls),
    '../reactor/index.ts': Object.keys(wantio),
  };
  const imports = Object.entries(names)
    .map(([path, exported]) => `import { ${exported.join(', ')} } from '${path}';\n`)
    .join('');
  const functions = pieces.map(({ name, code, gives = 'undefined' }) => {
    const used = [
      'reactor',
      'host',
      'port',
      'url',
      'socket',
      'listener',
      'plain',
      'context',
      'serverContext',
      'client',
      'server',
      'client12',
      'server12',
      'certificate',
      'pem',
      'key',
    ].join(', ');
    const body = /^(?:for|if|const|try|while)\b/.test(code)
      ? `${code}\n  const result = undefined;`
      : `const result = (${code});`;
    return `export async function ${name}(scope: Scope) {\n  const { ${used} } = scope;\n  ${body}\n  return { result, expected: (${gives}) };\n}\n`;
  });
  return `${imports}import type { Scope } from '../scripts/coming-from/scope.ts';\n\n${functions.join('\n')}`;
}
