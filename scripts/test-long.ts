/**
 * `npm run test:long [-- --minutes N] [--factor F]`: tries the laws on fifty times as many plans, from a random seed
 * that it prints.
 *
 * With `--minutes`, a first pass tries each law on as many plans as `npm test` and measures the time. A second pass,
 * from another seed, gives each law the same share of the remaining time. The time that a law does not need goes to the
 * others.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { lawTable, together } from './law-table.ts';
import type { TriedLaw } from './law-table.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string' }, factor: { type: 'string', default: '50' } } });
const minutes = values.minutes === undefined ? Infinity : Number(values.minutes);
const factor = Number(values.factor);
if (!(minutes > 0) || !(factor > 0)) {
  console.error('usage: npm run test:long [-- --minutes N] [--factor F], both more than 0');
  process.exit(2);
}

// The number of workers in vitest.config.ts.
const WORKERS = 2;
// The rest of the time is needed for the start, for loading, and at the end, when only one worker is busy.
const USED = 0.85;
// The seeds of batches count up from the seed of the pass, so the seeds of two passes must be far apart.
const SEEDS_APART = 1_000_003;

const root = join(import.meta.dirname, '..');
const endsAt = performance.now() + minutes * 60_000;
const seed = Number(process.env.WANTIO_SEED ?? randomInt(0x7fffffff));
console.log(`seed ${String(seed)}; replay with WANTIO_SEED=${String(seed)} npm run test:long`);

const passes: TriedLaw[][] = [];
let status = 0;
if (minutes === Infinity) run(seed, { WANTIO_LAW_FACTOR: String(factor) });
else {
  run(seed, {});
  const share = status === 0 ? shareOf(passes[0], endsAt - performance.now()) : 0;
  if (share > 0)
    run((seed + SEEDS_APART) % 0x7fffffff, {
      WANTIO_LAW_FACTOR: String(factor),
      WANTIO_LAW_MS: String(share),
      WANTIO_LAW_UNTIL: String(Date.now() + endsAt - performance.now()),
    });
  else if (status === 0) console.log('there is no time left for a second pass');
}

console.log(`\n${lawTable(together(passes))}`);
console.log(`seed ${String(seed)}: ${status === 0 ? 'all laws hold' : 'SOME LAWS DO NOT HOLD'}`);
process.exit(status);

/** Runs one pass over all laws, and adds their numbers to `passes`. */
function run(seedOfPass: number, settings: Record<string, string>): void {
  const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
  const lawFile = join(folder, 'laws.json');
  const { status: code } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      'property-tests',
      '--project=!under faults',
      '--testTimeout=36000000',
    ],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, ...settings, WANTIO_SEED: String(seedOfPass), WANTIO_LAW_FILE: lawFile },
    },
  );
  status ||= code ?? 1;
  try {
    passes.push(JSON.parse(readFileSync(lawFile, 'utf8')) as TriedLaw[]);
  } catch {
    // The run could not begin, so it wrote no file.
    passes.push([]);
  }
  rmSync(folder, { recursive: true });
}

/**
 * @returns the time in milliseconds that each law may take so that all of them together fit into `leftMs`. A law needs
 * at most its time in the first pass times the factor, and at least its time in the first pass.
 */
function shareOf(laws: readonly TriedLaw[], leftMs: number): number {
  const budget = leftMs * WORKERS * USED;
  const taken = (share: number): number =>
    laws.reduce((sum, { ms }) => sum + Math.max(ms, Math.min(share, ms * factor)), 0);
  if (taken(0) > budget) return 0;
  let [low, high] = [0, leftMs];
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (taken(middle) <= budget) low = middle;
    else high = middle;
  }
  return Math.floor(low);
}
