import { defineConfig } from 'vitest/config';

const tests = JSON.parse(process.env.WANTIO_STRYKER_TESTS ?? '[]') as readonly string[];
const conditions = ['source', 'node', 'module', 'import', 'default'];

/** The tests of one piece. StrykerJS runs them in worker threads. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: tests.map((test) => `${test}.test.ts`),
    testTimeout: 60_000,
    setupFiles: ['property-tests/vitest.ts'],
    env: { WANTIO_SEED: process.env.WANTIO_SEED },
  },
});
