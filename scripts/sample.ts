/**
 * `npm run sample -- NAME [arguments]`: runs samples/NAME.ts in this process, so that signals reach the sample and its
 * exit code is that of the process.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = join(import.meta.dirname, '..', 'samples');
// `.ts`, or `.js` in the folder of the compiled sources.
const kind = extname(import.meta.filename);
const names = existsSync(folder)
  ? readdirSync(folder)
      .filter((file) => file.endsWith(kind) && !file.endsWith(`.test${kind}`))
      .map((file) => file.slice(0, -kind.length))
      .sort()
  : [];

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  const problem = name === undefined ? 'which sample?' : `no sample named "${name}".`;
  console.error(`${problem} There are: ${names.join(', ') || 'none yet'}`);
  process.exit(2);
}

const file = join(folder, name + kind);
const source = readFileSync(file, 'utf8');
// The help text is the first comment of the sample. A sample with many options has its own help.
if (/^(?:--help|-h)$/.test(rest[0] ?? '') && !source.includes('help: {')) {
  console.log((/^\/\*\*\n([^]*?)\n \*\//.exec(source)?.[1] ?? '').replace(/^ \* ?/gm, ''));
  process.exit(0);
}
process.argv = [process.argv[0], file, ...rest];
try {
  await import(pathToFileURL(file).href);
} catch (error) {
  const code = exitCodeOf(error);
  if (code === undefined) throw error;
  console.error(`${name}: ${(error as Error).message}`);
  process.exit(code);
}

/** 2 for wrong arguments, 1 for an error of the system or a file, `undefined` for a bug of the sample. */
function exitCodeOf(error: unknown): number | undefined {
  if (error instanceof RangeError) return 2;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code?.startsWith('ERR_PARSE_ARGS') === true) return 2;
  return code === undefined ? undefined : 1;
}
