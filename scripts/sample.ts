/**
 * `npm run sample -- NAME [arguments]`: runs samples/NAME.ts in this very process, so that signals and exit codes are
 * the sample's own.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = join(import.meta.dirname, '..', 'samples');
// `.ts`, or `.js` where the sources were compiled.
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
// The first comment says how to run it and what one will see; a sample with many options has a text of its own.
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

/** 2 for arguments that are wrong, 1 for what the system or a file refused; none for a fault of the sample itself. */
function exitCodeOf(error: unknown): number | undefined {
  if (error instanceof RangeError) return 2;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code?.startsWith('ERR_PARSE_ARGS') === true) return 2;
  return code === undefined ? undefined : 1;
}
