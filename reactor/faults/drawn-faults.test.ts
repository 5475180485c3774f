import { describe, expect, it } from 'vitest';

import { drawnFaults } from './drawn-faults.ts';
import type { Fault } from './fault.ts';

/** The faults of the first thousand calls. */
function draws(seed: number, name: string): Fault[] {
  const faults = drawnFaults(seed);
  faults.restart(name);
  return Array.from({ length: 1_000 }, (_, index) =>
    faults.rule({ call: index % 2 === 0 ? 'recv' : 'send', fd: 3, index, bytes: 100 }),
  );
}

describe('drawn faults', () => {
  it('are the same for the same seed and name, and others for others', () => {
    expect(draws(7, 'a test')).toEqual(draws(7, 'a test'));
    expect(draws(7, 'a test')).not.toEqual(draws(8, 'a test'));
    expect(draws(7, 'a test')).not.toEqual(draws(7, 'another test'));
  });

  it('are about one in four, of every harmless kind', () => {
    const happened = draws(0, 'a test').filter(({ kind }) => kind !== 'pass');
    expect(happened.length).toBeGreaterThan(180);
    expect(happened.length).toBeLessThan(320);
    expect(new Set(happened.map((fault) => (fault.kind === 'errno' ? fault.code : fault.kind)))).toEqual(
      new Set(['EINTR', 'EAGAIN', 'zero', 'delay', 'short']),
    );
  });

  it('never ask for more bytes than there are', () => {
    for (const fault of draws(3, 'a test')) if (fault.kind === 'short') expect(fault.bytes).toBeLessThanOrEqual(100);
  });
});
