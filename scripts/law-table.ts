/** The table of the laws of a test run. */

/** One law, with the number of its plans and the time that they took. */
export interface TriedLaw {
  readonly name: string;
  readonly plans: number;
  readonly ms: number;
}

/** @returns a table with the slowest law first and a last line for the sum. */
export function lawTable(laws: readonly TriedLaw[]): string {
  const sum = laws.reduce(
    (all, { plans, ms }) => ({ name: `${String(laws.length)} laws`, plans: all.plans + plans, ms: all.ms + ms }),
    { name: '', plans: 0, ms: 0 },
  );
  const line = ({ name, plans, ms }: TriedLaw): string =>
    `${shortened(name).padEnd(WIDTH)} ${String(plans).padStart(9)} ${(ms / 1_000).toFixed(1).padStart(9)}`;
  return [
    `${'law'.padEnd(WIDTH)} ${'plans'.padStart(9)} ${'seconds'.padStart(9)}`,
    ...[...laws].sort((a, b) => b.ms - a.ms).map(line),
    line(sum),
  ].join('\n');
}

/** @returns the laws of several runs. The numbers of laws with the same name are added up. */
export function together(runs: readonly (readonly TriedLaw[])[]): TriedLaw[] {
  const laws = new Map<string, TriedLaw>();
  for (const { name, plans, ms } of runs.flat()) {
    const before = laws.get(name);
    laws.set(name, { name, plans: plans + (before?.plans ?? 0), ms: ms + (before?.ms ?? 0) });
  }
  return [...laws.values()];
}

function shortened(name: string): string {
  return name.length <= WIDTH ? name : `${name.slice(0, WIDTH - 1)}…`;
}

const WIDTH = 100;
