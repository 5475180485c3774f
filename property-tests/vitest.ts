/**
 * wantio/testing/vitest: a setup file for vitest. With it, every property starts from the seed in `WANTIO_SEED`, if
 * that is set. The command that replays a failing law names the test. `task.meta.laws` shows reporters on how many
 * plans each law was tried.
 */

import fc from 'fast-check';
import { afterEach, beforeEach } from 'vitest';
import type { RunnerTestCase, RunnerTestSuite } from 'vitest';

import { watchLaws } from './kit/law.ts';
import type { LawPlace } from './kit/law-failure.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** The laws that the test tried: the number of plans of each, and the time in milliseconds. */
    laws?: { readonly plans: number; readonly ms: number }[];
  }
}

const { WANTIO_SEED: wanted } = process.env;
if (wanted !== undefined) {
  const seed = Number(wanted);
  if (wanted === '' || !Number.isInteger(seed)) throw new RangeError(`WANTIO_SEED must be an integer, not "${wanted}"`);
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
}

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
