/** `npm run test:matrix [-- 22 24 26]`: runs all tests on the newest release of each major version of Node.js. */
import { spawn } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { fetchNode, FetchError } from './node-releases.ts';

interface Outcome {
  readonly version: string;
  readonly ok: boolean;
  readonly summary: string;
  readonly seconds: number;
}

const DEFAULT_MAJORS = [20, 22, 24, 26];
const root = join(import.meta.dirname, '..');

const majors = process.argv.length > 2 ? process.argv.slice(2).map(Number) : DEFAULT_MAJORS;
if (!majors.every((major) => Number.isInteger(major) && major >= 20))
  fail('usage: npm run test:matrix [-- MAJOR …], for example 22 24', 2);
if (process.platform !== 'linux') fail('test:matrix runs on Linux only', 2);

const outcomes: Outcome[] = [];
for (const major of majors) {
  try {
    const { version, binary } = await fetchNode(major, join(root, '.cache', 'node'));
    console.log(`\n== Node.js ${version} ==`);
    outcomes.push(await testWith(version, binary));
  } catch (error) {
    if (error instanceof FetchError) fail(error.message, 1);
    throw error;
  }
}

console.log('\nversion     result   seconds  tests');
for (const { version, ok, seconds, summary } of outcomes) {
  console.log(
    `${version.padEnd(11)} ${(ok ? 'passed' : 'FAILED').padEnd(8)} ${seconds.toFixed(1).padStart(7)}  ${summary}`,
  );
}
console.log(outcomes.at(-1)?.summary);
process.exitCode = outcomes.every(({ ok }) => ok) ? 0 : 1;

/** Runs all tests. This Node.js comes first in PATH, so that the processes that tests start use it too. */
async function testWith(version: string, binary: string): Promise<Outcome> {
  const startedAt = performance.now();
  const child = spawn(binary, [join(root, 'node_modules/vitest/vitest.mjs'), 'run'], {
    cwd: root,
    env: { ...process.env, PATH: dirname(binary) + delimiter + (process.env.PATH ?? '') },
    stdio: ['inherit', 'pipe', 'inherit'],
  });
  let tail = '';
  child.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk);
    tail = (tail + chunk.toString()).slice(-4096);
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const summary = tail.match(/^\d+ passed, \d+ failed, \d+ skipped$/gm)?.at(-1) ?? 'ended without a summary';
  return { version, ok: status === 0, summary, seconds: (performance.now() - startedAt) / 1000 };
}

function fail(message: string, status: number): never {
  console.error(message);
  process.exit(status);
}
