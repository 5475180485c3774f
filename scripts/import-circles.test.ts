import { describe, expect, it } from 'vitest';

import { circlesOf } from './import-circles.ts';
import { importsOf } from './import-rules.ts';

const graph = (edges: Record<string, string[]>): Map<string, string[]> => new Map(Object.entries(edges));

describe('circles of imports', () => {
  it('are not found when all imports go in one direction', () => {
    expect(circlesOf(graph({ a: ['b', 'c'], b: ['c'], c: [] }))).toEqual([]);
  });

  it('are found with all their files, however long they are', () => {
    expect(circlesOf(graph({ a: ['b'], b: ['c'], c: ['d'], d: ['b'], e: ['a'] }))).toEqual([['b', 'c', 'd']]);
  });

  it('are found separately when there are several', () => {
    expect(circlesOf(graph({ a: ['b'], b: ['a', 'c'], c: ['d'], d: ['c'] }))).toEqual([
      ['c', 'd'],
      ['a', 'b'],
    ]);
  });

  it('are found where a file imports itself', () => {
    expect(circlesOf(graph({ a: ['a'] }))).toEqual([['a']]);
  });

  it('count the imports of types', () => {
    expect(
      importsOf(
        'core/a.ts',
        `import type { B } from './b.ts';\nexport type { C } from '../core/c.ts';\nlet d: import('./d.ts').D;\nimport 'node:fs';`,
      ),
    ).toEqual(['core/b.ts', 'core/c.ts', 'core/d.ts']);
  });
});
