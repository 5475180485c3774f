/**
 * Compiles the sources before the tests begin, for the programs that tests start. A program that compiles itself at its
 * start needs almost four times as much processor time, and the tests start hundreds of programs. Files that have not
 * changed since the last run are not compiled again.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { COMPILED, compiledOf, ROOT } from '../reactor/testing/compiled.ts';

/** Vitest calls this before the first test. */
export function setup(): void {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
    inlineSourceMap: true,
  };
  for (const folder of ['core', 'reactor', 'protocols', 'samples', 'property-tests', 'scripts', 'benchmarks']) {
    for (const name of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
      const file = join(ROOT, folder, name);
      if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
      const { mtime } = statSync(file);
      if (statSync(compiledOf(file), { throwIfNoEntry: false })?.mtimeMs === mtime.getTime()) continue;
      put(
        compiledOf(file),
        ts.transpileModule(readFileSync(file, 'utf8'), { fileName: file, compilerOptions: options }).outputText,
        mtime,
      );
    }
  }
  const about = readFileSync(join(ROOT, 'package.json'), 'utf8');
  put(join(COMPILED, 'package.json'), about.replaceAll('"./dist/', '"./'), new Date());
}

/** Writes a file atomically, because another test run may be reading it. */
function put(path: string, content: string, mtime: Date): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${String(process.pid)}`;
  writeFileSync(temporary, content);
  utimesSync(temporary, mtime, mtime);
  renameSync(temporary, path);
}
