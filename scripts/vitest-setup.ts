/** Runs before each test file: every property starts from the run's one seed, so that `WANTIO_SEED` replays it, and laws know where they stand. */
import fc from 'fast-check';
import { afterEach, beforeEach } from 'vitest';
import type { RunnerTestCase, RunnerTestSuite } from 'vitest';
import { watchLaws } from '../property-tests/kit/law.ts';
import type { LawPlace } from '../property-tests/kit/law-failure.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** The laws that the test tried: on how many plans, and how long that took. */
    laws?: { readonly plans: number; readonly ms: number }[];
  }
}

const seed = Number(process.env.WANTIO_SEED);
if (!Number.isInteger(seed)) throw new Error(`WANTIO_SEED must be an integer, not "${process.env.WANTIO_SEED ?? ''}"`);
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });

let place: LawPlace | undefined;
let tried: { plans: number; ms: number }[] = [];
watchLaws({ place: () => place, tried: (plans, ms) => tried.push({ plans, ms }) });

beforeEach(({ task }) => {
  place = { file: task.file.name, name: nameOf(task) };
  tried = [];
});
afterEach(({ task }) => {
  if (tried.length > 0) task.meta.laws = tried;
});

/** The name that `vitest -t` looks for. */
function nameOf(task: RunnerTestCase | RunnerTestSuite): string {
  return task.suite === undefined ? task.name : `${nameOf(task.suite)} ${task.name}`;
}
