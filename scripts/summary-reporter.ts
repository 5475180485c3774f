/**
 * Ends a test run with a table of its laws and one line, `N passed, N failed, N skipped`, and tells how a failure is
 * replayed.
 */
import { writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';
import { lawTable } from './law-table.ts';
import type { TriedLaw } from './law-table.ts';

export class SummaryReporter implements Reporter {
  readonly #failOnSkipped: boolean;
  readonly #lawFile: string | undefined;

  /**
   * @param options.failOnSkipped a skipped test fails the run: in CI, a test that cannot run is a test that is missing.
   * @param options.lawFile where to write how the laws were tried, as JSON, instead of printing it.
   */
  constructor(options: { failOnSkipped: boolean; lawFile?: string | undefined }) {
    this.#failOnSkipped = options.failOnSkipped;
    this.#lawFile = options.lawFile;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const count = { passed: 0, failed: unhandled.length, skipped: 0 };
    const failedFiles = new Map<string, Set<string>>();
    const failures: string[] = [];
    for (const module of modules) {
      const before = count.failed;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== 'pending') count[state] += 1;
        if (state === 'failed')
          failures.push(`failed: ${module.relativeModuleId} > ${test.fullName}: ${firstLine(test)}`);
      }
      // A file that cannot be loaded, or whose hooks fail, holds no failed test: it counts as one.
      if (module.state() === 'failed' && count.failed === before) count.failed += 1;
      if (count.failed > before)
        failedFiles.set(
          module.project.name,
          (failedFiles.get(module.project.name) ?? new Set()).add(module.relativeModuleId),
        );
    }

    this.#tellLaws(modules);
    count.failed += tellFaults(modules);
    // What has scrolled by long ago is said once more.
    for (const failure of failures) print(failure);
    const seed = process.env.WANTIO_SEED ?? 'unknown';
    print(`fast-check seed ${seed}`);
    for (const [project, files] of failedFiles)
      print(`replay: WANTIO_SEED=${seed} npx vitest run --project '${project}' ${[...files].join(' ')}`);
    if (this.#failOnSkipped && count.skipped > 0) {
      print(`${count.skipped} skipped: in CI every test must run`);
      process.exitCode = 1;
    }
    print(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  }

  #tellLaws(modules: readonly TestModule[]): void {
    const laws = modules.flatMap(lawsOf);
    if (this.#lawFile !== undefined) writeFileSync(this.#lawFile, JSON.stringify(laws));
    else if (laws.length > 0) print(`${lawTable(laws)}\n`);
  }
}

/** @returns the laws of one file; what the tests of the kit itself try are none. */
function lawsOf(module: TestModule): TriedLaw[] {
  if (dirname(module.relativeModuleId) !== 'property-tests') return [];
  return [...module.children.allTests()].flatMap((test) =>
    (test.meta().laws ?? []).map((law) => ({
      ...law,
      name: `${basename(module.relativeModuleId, '.test.ts')}: ${test.fullName}`,
    })),
  );
}

/**
 * Tells which faults happened to the tests that ran under faults;
 * @returns 1 when there should have been some, and were none.
 */
function tellFaults(modules: readonly TestModule[]): number {
  const files = modules.map((module) => module.meta().faults).filter((faults) => faults !== undefined);
  if (files.length === 0) return 0;
  const kinds = new Map<string, number>();
  for (const [kind, count] of files.flatMap((faults) => Object.entries(faults)))
    kinds.set(kind, (kinds.get(kind) ?? 0) + count);
  const all = [...kinds.values()].reduce((sum, count) => sum + count, 0);
  print(
    `under faults: ${String(all)} faults in ${String(files.length)} files (${[...kinds].map(([kind, count]) => `${kind} ${String(count)}`).join(', ')})`,
  );
  // A single file may have no sockets; several do.
  if (all > 0 || files.length < 4) return 0;
  print('not one fault happened: the tests under faults were not');
  process.exitCode = 1;
  return 1;
}

function firstLine(test: TestCase): string {
  return test.result().errors?.[0]?.message.split('\n')[0] ?? '';
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
