import { randomInt } from 'node:crypto';
import { defineConfig } from 'vitest/config';
import { SummaryReporter } from './scripts/summary-reporter.ts';

// One seed for the whole run, so that one variable replays all of it.
process.env.WANTIO_SEED ??= String(randomInt(0x7fffffff));

const conditions = ['source', 'node', 'module', 'import', 'default'];

const LAWS = ['core/**/*.test.ts', 'property-tests/**/*.test.ts'];
// They count what lives in the whole process: the garbage of other files would be counted off.
const COUNTING = ['property-tests/tls/client-hello-fuzz.test.ts', 'property-tests/tls/tls-memory.test.ts'];
const NOT_OURS = ['node_modules/**', 'dist/**', '.cache/**'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    projects: [
      // These share nothing but modules, and there are many files: to load the modules again for each would take longer
      // than the tests.
      { extends: true, test: { name: 'laws', include: LAWS, exclude: [...NOT_OURS, ...COUNTING], isolate: false } },
      { extends: true, test: { name: 'counting laws', include: COUNTING } },
      { extends: true, test: { name: 'tests', include: ['**/*.test.ts'], exclude: [...NOT_OURS, ...LAWS] } },
      // The tests of real sockets once more, while their system calls go wrong in ways that must not change anything.
      {
        extends: true,
        test: {
          name: 'under faults',
          include: ['reactor/**/*.test.ts', 'protocols/**/*.test.ts'],
          exclude: [
            '**/{file,lmdb,memory,redis}-store.test.ts',
            '**/store-package.test.ts',
            '**/client-sessions.test.ts',
            '**/session.test.ts',
            '**/ticket-keys.test.ts',
            '**/vault.test.ts',
            '**/{scope,sealer,trust}.test.ts',
            '**/relay-endings.test.ts',
            'reactor/{faults,simulated}/**',
            '**/store-outages.test.ts',
            ...NOT_OURS,
          ],
          setupFiles: ['scripts/under-faults.ts'],
        },
      },
    ],
    exclude: NOT_OURS,
    pool: 'forks',
    maxWorkers: 2,
    execArgv: ['--conditions=source', '--expose-gc'],
    testTimeout: 60_000,
    globalSetup: ['scripts/compile-sources.ts'],
    setupFiles: ['property-tests/vitest.ts'],
    env: { WANTIO_SEED: process.env.WANTIO_SEED },
    reporters: [
      'default',
      new SummaryReporter({ failOnSkipped: process.env.CI === 'true', lawFile: process.env.WANTIO_LAW_FILE }),
    ],
  },
});
