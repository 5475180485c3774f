import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { plant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';

const root = join(import.meta.dirname, '..');

describe('the list of mutants', () => {
  it('names each one once', () => {
    const names = MUTANTS.map(({ name }) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('fits the sources: the place of each stands there exactly once, and is another one then', () => {
    const misfits = MUTANTS.filter(
      (mutant) =>
        plant(readFileSync(join(root, mutant.file), 'utf8'), mutant) === undefined || mutant.find === mutant.replace,
    );
    expect(misfits.map(({ name }) => name)).toEqual([]);
  });

  it('names tests that are there, to be tried first', () => {
    expect(MUTANTS.filter(({ by }) => by !== undefined && !existsSync(join(root, by))).map(({ name }) => name)).toEqual(
      [],
    );
  });
});
