/** `npm run check:imports`: checks that every source file keeps the direction of imports, and that no imports form a circle. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { circlesOf } from './import-circles.ts';
import { checkFile, importsOf } from './import-rules.ts';

const root = join(import.meta.dirname, '..');
const folders = ['core', 'reactor', 'protocols', 'property-tests', 'samples', 'benchmarks', 'scripts'];
const entries = publicEntries();

const files = folders.flatMap(sourcesIn);
let count = 0;
for (const file of files) {
  for (const { line, message } of checkFile(file, readFileSync(join(root, file), 'utf8'), entries)) {
    console.error(`${file}:${line} ${message}`);
    count += 1;
  }
}
const imports = new Map(files.map((file) => [file, importsOf(file, readFileSync(join(root, file), 'utf8'))]));
for (const circle of circlesOf(imports)) {
  console.error(`a circle of imports: ${circle.join(' ')}`);
  count += 1;
}
if (count > 0) {
  console.error(`imports: ${count} violations in ${files.length} files`);
  process.exit(1);
}
console.log(`imports: ${files.length} files checked`);

function sourcesIn(folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`);
}

/** The source file of each public name, from the `source` condition in the exports of package.json. */
function publicEntries(): Map<string, string> {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    name: string;
    exports: Record<string, string | { source: string }>;
  };
  const map = new Map<string, string>();
  for (const [key, target] of Object.entries(manifest.exports)) {
    if (typeof target !== 'string') map.set(manifest.name + key.slice(1), target.source.slice('./'.length));
  }
  return map;
}
