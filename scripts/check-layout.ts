/**
 * `npm run check:layout`: checks that files and folders stay small, and that lines fit. A longer file says why in its
 * header, in a sentence that begins with "Long because"; a fuller folder says why in the table below.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const MOST_LINES = 350;
const MOST_COLUMNS = 120;
const MOST_NAMES = 20;
const PRODUCT = /^(core|reactor|protocols|property-tests)\/(?!.*testing\/).*(?<!\.test)\.ts$/;
/** Folders that may hold more names. */
const FULL: Readonly<Record<string, string>> = {
  core: 'one concept a file, all of them on one floor without I/O',
  reactor: 'the seams of the reactor, each a small file',
  'protocols/tls': 'the parts of one TLS connection',
  'protocols/tls/sessions': 'the parts of one feature',
  samples: 'one program a concept',
};

const root = join(import.meta.dirname, '..');
const files = ['core', 'reactor', 'protocols', 'property-tests', 'samples', 'benchmarks', 'scripts'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`),
);
const problems: string[] = [];
const folders = new Map<string, Set<string>>();
for (const file of files) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  lines.forEach((line, index) => {
    // Strings, regular expressions and addresses cannot be broken.
    if (line.length > MOST_COLUMNS && !/['"`]|\/.+\/|https?:/.test(line))
      problems.push(`${file}:${index + 1} has ${line.length} columns; ${MOST_COLUMNS} are allowed`);
  });
  if (!/^(core|reactor|protocols|samples)\//.test(file) || file.endsWith('.test.ts')) continue;
  for (let name = file, folder = dirname(file); folder !== '.'; name = folder, folder = dirname(folder))
    folders.set(folder, (folders.get(folder) ?? new Set()).add(name));
  if (PRODUCT.test(file) && lines.length > MOST_LINES && !lines.slice(0, 20).some((line) => /Long because/.test(line)))
    problems.push(
      `${file} has ${lines.length} lines; its header must say "Long because …", as in every file above ${MOST_LINES}`,
    );
}
for (const [folder, names] of folders)
  if (names.size > MOST_NAMES && !(folder in FULL) && !folder.includes('testing'))
    problems.push(
      `${folder} holds ${names.size} names; a folder with more than ${MOST_NAMES} needs a reason in FULL of scripts/check-layout.ts`,
    );
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`layout: ${files.length} files checked`);
