/**
 * `npm run test:mutants [-- NAME …]`: plants one bug after the other in a copy of the sources, and shows which test
 * catches it: first its own test, then the laws, then the other tests.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { plant } from './mutant.ts';
import type { Mutant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';

interface Verdict {
  readonly caughtBy: string;
  readonly plans: string;
}

// The exit code of `timeout` after it has killed the process.
const KILLED = 137;
const root = join(import.meta.dirname, '..');
const copy = join(root, '.cache', 'mutants');
const wanted = process.argv.slice(2);
const mutants =
  wanted.length === 0 ? MUTANTS : MUTANTS.filter(({ name }) => wanted.some((part) => name.includes(part)));
if (mutants.length === 0) {
  console.error(`no mutant has such a name. The names are: ${MUTANTS.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}

makeCopy();
const misfits = mutants.filter((mutant) => plant(readFileSync(join(copy, mutant.file), 'utf8'), mutant) === undefined);
if (misfits.length > 0) {
  console.error(
    `these mutants no longer fit their files, which must contain their code exactly once: ${misfits.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
// A test that fails without a mutant would seem to catch every mutant.
const healthy = run(...new Set(mutants.map(({ by }) => by ?? 'core/')));
if (healthy !== undefined) {
  console.error(`a test fails even without a mutant: ${healthy.caughtBy}`);
  process.exit(2);
}
console.log(`${'mutant'.padEnd(56)} ${'plans'.padStart(6)}  caught by`);
let survivors = 0;
for (const mutant of mutants) {
  const verdict = judge(mutant);
  if (verdict === undefined) survivors++;
  console.log(`${mutant.name.padEnd(56)} ${(verdict?.plans ?? '').padStart(6)}  ${verdict?.caughtBy ?? 'NO TEST'}`);
}
rmSync(copy, { recursive: true, force: true });
console.log(`\n${String(mutants.length - survivors)} of ${String(mutants.length)} caught`);
process.exit(survivors === 0 ? 0 : 1);

function makeCopy(): void {
  rmSync(copy, { recursive: true, force: true });
  const files = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).stdout.trim().split('\n');
  for (const file of files) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
}

/** @returns the test that caught the mutant, or `undefined` if none did. */
function judge(mutant: Mutant): Verdict | undefined {
  const { file, by } = mutant;
  const path = join(copy, file);
  const source = readFileSync(path, 'utf8');
  writeFileSync(path, plant(source, mutant) ?? source);
  try {
    const first = by === undefined ? undefined : run(by);
    return first ?? run('property-tests') ?? run('core/', 'reactor/', 'protocols/');
  } finally {
    writeFileSync(path, source);
  }
}

/** Runs tests until one fails. @returns this test, or `undefined` if all pass. */
function run(...tests: string[]): Verdict | undefined {
  // `timeout` kills the workers as well. A worker that spins because of a mutant would otherwise never end.
  const { stdout, stderr, status, signal } = spawnSync(
    'timeout',
    [
      '--signal=KILL',
      '600',
      process.execPath,
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--project',
      '!under faults',
      ...tests,
      '--bail=1',
      '--no-color',
    ],
    {
      cwd: copy,
      encoding: 'utf8',
      env: { ...process.env, WANTIO_SEED: '1', CI: '' },
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  if (signal !== null || status === KILLED) return { caughtBy: 'the time limit of 600 s', plans: '' };
  if (status === 0) return undefined;
  const output = stdout + stderr;
  const failed = /FAIL\s+(?:tests\s+|\|[^|]*\|\s+)?(\S+\.test\.ts) > (.*)/.exec(output);
  if (failed === null && output.includes('Unhandled'))
    return { caughtBy: `an unhandled error (${tests.join(', ')})`, plans: '' };
  if (failed === null) return { caughtBy: 'tests that could not be loaded', plans: '' };
  return {
    caughtBy: `${failed[1].replace('property-tests/', '').replace('.test.ts', '')}: ${failed[2]}`,
    plans: /Property failed after (\d+) tests/.exec(output)?.[1] ?? '',
  };
}
