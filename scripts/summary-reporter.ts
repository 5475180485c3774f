/** Ends a test run with one line, `N passed, N failed, N skipped`, and tells how a failure is replayed. */
import { relative } from 'node:path';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

export class SummaryReporter implements Reporter {
  readonly #failOnSkipped: boolean;

  /** @param options.failOnSkipped a skipped test fails the run: in CI, a test that cannot run is a test that is missing. */
  constructor(options: { failOnSkipped: boolean }) {
    this.#failOnSkipped = options.failOnSkipped;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const count = { passed: 0, failed: unhandled.length, skipped: 0 };
    const failedFiles = new Set<string>();
    for (const module of modules) {
      const before = count.failed;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== 'pending') count[state] += 1;
      }
      // A file that cannot be loaded, or whose hooks fail, holds no failed test: it counts as one.
      if (module.state() === 'failed' && count.failed === before) count.failed += 1;
      if (count.failed > before) failedFiles.add(relative(process.cwd(), module.moduleId));
    }

    const seed = process.env.WANTIO_SEED ?? 'unknown';
    print(`fast-check seed ${seed}`);
    if (failedFiles.size > 0) print(`replay: WANTIO_SEED=${seed} npx vitest run ${[...failedFiles].join(' ')}`);
    if (this.#failOnSkipped && count.skipped > 0) {
      print(`${count.skipped} skipped: in CI every test must run`);
      process.exitCode = 1;
    }
    print(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
