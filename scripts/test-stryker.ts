/**
 * `npm run test:stryker [-- PIECE …]`: lets StrykerJS change every operator, bound and branch of the files that decide
 * about arithmetic and trust, one after the other, and shows the changes that no test notices. It works in pieces,
 * because each takes minutes.
 *
 * StrykerJS runs tests in worker threads, so it can only use tests without real sockets: unit tests and some laws.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Piece {
  readonly file: string;
  /** The paths of the tests, without `.test.ts`. */
  readonly tests: readonly string[];
}

/** One change, as StrykerJS reports it. */
interface Change {
  readonly status: string;
  readonly mutatorName: string;
  readonly replacement?: string;
  readonly location: { readonly start: { readonly line: number; readonly column: number } };
}

interface Report {
  readonly files: Readonly<Record<string, { readonly mutants: readonly Change[] }>>;
}

const PIECES: Readonly<Record<string, Piece>> = {
  deadlines: { file: 'core/deadlines.ts', tests: ['core/deadlines'] },
  timeouts: {
    file: 'core/timeouts.ts',
    tests: ['core/timeouts', 'core/operation-timeouts', 'property-tests/operations/wait-budget'],
  },
  'input-buffer': {
    file: 'core/input-buffer.ts',
    tests: ['core/input-buffer', 'property-tests/operations/input-buffer'],
  },
  pattern: {
    file: 'core/pattern.ts',
    tests: ['core/pattern', 'core/receive', 'property-tests/operations/receive-fragmentation'],
  },
  send: {
    file: 'core/send.ts',
    tests: ['core/send', 'property-tests/operations/send-gather', 'property-tests/operations/send-retry'],
  },
  scope: { file: 'protocols/tls/sessions/scope.ts', tests: ['protocols/tls/sessions/scope'] },
  sealer: { file: 'protocols/tls/sessions/sealer.ts', tests: ['protocols/tls/sessions/sealer'] },
  vault: { file: 'protocols/tls/sessions/vault.ts', tests: ['protocols/tls/sessions/vault'] },
  'ticket-keys': { file: 'protocols/tls/sessions/ticket-keys.ts', tests: ['protocols/tls/sessions/ticket-keys'] },
  'check-peer': { file: 'protocols/tls/certificates/check-peer.ts', tests: ['protocols/tls/certificates/check-peer'] },
  relay: { file: 'protocols/relay.ts', tests: ['protocols/relay-endings', 'property-tests/connections/relay'] },
};

const GOAL = 85;
const root = join(import.meta.dirname, '..');
const folder = join(root, '.cache', 'stryker');
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in PIECES));
if (unknown.length > 0) {
  console.error(`no such piece: ${unknown.join(', ')}. The pieces are: ${Object.keys(PIECES).join(', ')}`);
  process.exit(2);
}

mkdirSync(folder, { recursive: true });
const table: string[] = [];
let isEnough = true;
for (const name of wanted.length > 0 ? wanted : Object.keys(PIECES)) {
  const startedAt = performance.now();
  const { killed, survivors } = mutate(name, PIECES[name]);
  const [all, seconds] = [killed + survivors.length, (performance.now() - startedAt) / 1_000];
  const percent = (100 * killed) / all;
  isEnough &&= percent >= GOAL;
  table.push(
    `${name.padEnd(14)} ${String(killed).padStart(4)} of ${String(all).padStart(4)}  ${percent.toFixed(1).padStart(5)} %  ${seconds.toFixed(0).padStart(5)} s`,
    ...survivors,
  );
}
console.log(`\n${table.join('\n')}`);
process.exit(isEnough ? 0 : 1);

/** @returns the number of mutants that a test noticed, and the list of those that none did. */
function mutate(name: string, { file, tests }: Piece): { killed: number; survivors: string[] } {
  const [config, report] = [join(folder, `${name}.json`), join(folder, `${name}.report.json`)];
  writeFileSync(
    config,
    JSON.stringify({
      mutate: [file],
      testRunner: 'vitest',
      vitest: { configFile: 'scripts/stryker.vitest.config.ts', related: false },
      plugins: ['@stryker-mutator/vitest-runner'],
      coverageAnalysis: 'perTest',
      concurrency: 2,
      timeoutMS: 10_000,
      reporters: ['json', 'progress-append-only'],
      jsonReporter: { fileName: report },
      tempDirName: join('.cache', 'stryker', name),
      ignorePatterns: ['dist', 'docs', 'coverage', '.cache'],
      allowEmpty: false,
    }),
  );
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js'), 'run', config],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, WANTIO_STRYKER_TESTS: JSON.stringify(tests), WANTIO_SEED: process.env.WANTIO_SEED ?? '1' },
    },
  );
  if (status !== 0) {
    console.error(`StrykerJS failed for ${name}`);
    process.exit(1);
  }
  const { mutants } = (JSON.parse(readFileSync(report, 'utf8')) as Report).files[file];
  const source = readFileSync(join(root, file), 'utf8').split('\n');
  const tried = mutants.filter(({ status: verdict }) => verdict !== 'Ignored' && verdict !== 'CompileError');
  const survivors = tried
    .filter(({ status: verdict }) => verdict === 'Survived' || verdict === 'NoCoverage')
    .map(
      ({ status: verdict, mutatorName, replacement, location: { start } }) =>
        `    ${file}:${String(start.line)}:${String(start.column)} ${verdict === 'Survived' ? '' : 'untested '}${mutatorName} -> ${String(replacement).replaceAll(/\s+/g, ' ').slice(0, 80)}\n        ${source[start.line - 1].trim().slice(0, 130)}`,
    );
  return { killed: tried.length - survivors.length, survivors };
}
