import { describe, expect, it } from 'vitest';

import { drawnFaults } from './drawn-faults.ts';
import type { Fault } from './fault.ts';

/** @returns the faults of the first 1,000 calls. */
function draws(seed: number, name: string): Fault[] {
  const faults = drawnFaults(seed);
  faults.restart(name);
  return Array.from({ length: 1_000 }, (_, index) =>
    faults.rule({ call: index % 2 === 0 ? 'recv' : 'send', fd: 3, index, bytes: 100 }),
  );
}

describe('drawn faults', () => {
  it('are the same for the same seed and name, and differ for another seed or name', () => {
    expect(draws(7, 'a test')).toEqual(draws(7, 'a test'));
    expect(draws(7, 'a test')).not.toEqual(draws(8, 'a test'));
    expect(draws(7, 'a test')).not.toEqual(draws(7, 'another test'));
  });

  it('hit about one call in four, and have every harmless kind', () => {
    const happened = draws(0, 'a test').filter(({ kind }) => kind !== 'pass');
    expect(happened.length).toBeGreaterThan(180);
    expect(happened.length).toBeLessThan(320);
    expect(new Set(happened.map((fault) => (fault.kind === 'errno' ? fault.code : fault.kind)))).toEqual(
      new Set(['EINTR', 'EAGAIN', 'zero', 'delay', 'short']),
    );
  });

  it('never shorten a call to more bytes than it has', () => {
    for (const fault of draws(3, 'a test')) if (fault.kind === 'short') expect(fault.bytes).toBeLessThanOrEqual(100);
  });
});
