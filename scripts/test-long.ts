/** `npm run test:long [-- --minutes N] [--factor F]`: the laws on fifty times as many plans, from a random seed that is printed. */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { minutes: { type: 'string' }, factor: { type: 'string', default: '50' } } });
const minutes = values.minutes === undefined ? Infinity : Number(values.minutes);
if (!(minutes > 0) || !(Number(values.factor) > 0)) {
  console.error('usage: npm run test:long [-- --minutes N] [--factor F], both more than 0');
  process.exit(2);
}

const root = join(import.meta.dirname, '..');
const seed = process.env.WANTIO_SEED ?? String(randomInt(0x7fffffff));
const laws = readdirSync(join(root, 'property-tests')).filter((file) => file.endsWith('.test.ts')).length;
console.log(`seed ${seed}; replay with WANTIO_SEED=${seed} npm run test:long`);

// Two files run at a time, and holds about three laws: that is a law's share of the budget.
const share = Math.floor((minutes * 60_000 * 2) / (laws * 3));
const { status } = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', 'property-tests', '--testTimeout=3600000'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, WANTIO_SEED: seed, WANTIO_LAW_FACTOR: values.factor, ...(minutes === Infinity ? {} : { WANTIO_LAW_MS: String(share) }) },
});
process.exit(status ?? 1);
