/**
 * Ends a test run with a table of its laws, the commands that replay its failures, and the line
 * `N passed, N failed, N skipped`.
 */
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';
import { lawTable } from './law-table.ts';
import type { TriedLaw } from './law-table.ts';

export class SummaryReporter implements Reporter {
  readonly #failOnSkipped: boolean;
  readonly #lawFile: string | undefined;

  /**
   * @param options.failOnSkipped whether a skipped test fails the run. In CI every test must be able to run.
   * @param options.lawFile a file for the table of laws, as JSON. With it, the table is not printed.
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
      // A file that cannot be loaded, or whose hooks fail, contains no failed test. It counts as one failure.
      if (module.state() === 'failed' && count.failed === before) count.failed += 1;
      if (count.failed > before)
        failedFiles.set(
          module.project.name,
          (failedFiles.get(module.project.name) ?? new Set()).add(module.relativeModuleId),
        );
    }

    this.#tellLaws(modules);
    count.failed += tellFaults(modules);
    // Repeats the failures at the end, because they may have scrolled away.
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

/** @returns the laws of one file. The tests of the kit contain no laws of wantio. */
function lawsOf(module: TestModule): TriedLaw[] {
  if (!/^property-tests\/(?!kit\/)/.test(module.relativeModuleId)) return [];
  return [...module.children.allTests()].flatMap((test) =>
    (test.meta().laws ?? []).map((law) => ({
      ...law,
      name: `${basename(module.relativeModuleId, '.test.ts')}: ${test.fullName}`,
    })),
  );
}

/**
 * Prints the number of faults that happened to the tests under faults.
 * @returns 1 if there should have been faults but were none.
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
  // A few files may use no sockets, but not four or more.
  if (all > 0 || files.length < 4) return 0;
  print('no fault happened: the tests did not run under faults');
  process.exitCode = 1;
  return 1;
}

function firstLine(test: TestCase): string {
  return test.result().errors?.[0]?.message.split('\n')[0] ?? '';
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
