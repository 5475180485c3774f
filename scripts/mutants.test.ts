import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { plant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';

const root = join(import.meta.dirname, '..');

describe('the list of mutants', () => {
  it('contains each name once', () => {
    const names = MUTANTS.map(({ name }) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('fits the sources: each mutant finds its code exactly once and changes it', () => {
    const misfits = MUTANTS.filter(
      (mutant) =>
        plant(readFileSync(join(root, mutant.file), 'utf8'), mutant) === undefined || mutant.find === mutant.replace,
    );
    expect(misfits.map(({ name }) => name)).toEqual([]);
  });

  it('names only existing test files', () => {
    expect(MUTANTS.filter(({ by }) => by !== undefined && !existsSync(join(root, by))).map(({ name }) => name)).toEqual(
      [],
    );
  });
});
