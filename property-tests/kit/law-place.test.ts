import fc from 'fast-check';
import { expect, it, vi } from 'vitest';

import { placeOf } from './law-failure.ts';
import { checkLaw, watchLaws } from './law.ts';

it('the replay command of a law names the test file even without a setup file', async () => {
  watchLaws({ place: () => undefined, tried: () => undefined });
  const error = await checkLaw(
    fc.property(fc.nat(), (number) => number < 1),
    10,
  ).catch((reason: unknown) => reason);
  expect((error as Error).message).toMatch(
    /\nreplay: WANTIO_SEED=-?\d+ WANTIO_PATH=[\d:]+ npx vitest run property-tests\/kit\/law-place\.test\.ts$/,
  );
});

it('a law uses the seed of WANTIO_SEED even without a setup file', async () => {
  watchLaws({ place: () => undefined, tried: () => undefined });
  const { seed, ...others } = fc.readConfigureGlobal();
  fc.configureGlobal(others);
  vi.stubEnv('WANTIO_SEED', '42');
  const error = await checkLaw(
    fc.property(fc.nat(), (number) => number < 1),
    10,
  ).catch((reason: unknown) => reason);
  vi.unstubAllEnvs();
  fc.configureGlobal({ ...others, seed });
  expect((error as Error).message).toContain('{ seed: 42, path: ');
});

it('the place of a law is the test file in its stack, or else the first file of its caller', () => {
  const stack = (...files: string[]) =>
    ['Error', ...files.map((file) => `    at run (${file}:1:2)`), '    at node:internal/process:1:2'].join('\n');
  const kit = `${import.meta.dirname}/law.ts`;
  expect(placeOf(stack(kit, '/elsewhere/helper.ts', `file://${process.cwd()}/a/b.test.ts`))).toEqual({
    file: 'a/b.test.ts',
  });
  expect(placeOf(stack(kit, `${process.cwd()}/laws/all.ts`))).toEqual({ file: 'laws/all.ts' });
  expect(placeOf(stack(kit))).toBeUndefined();
  expect(placeOf(undefined)).toBeUndefined();
});
