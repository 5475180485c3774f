/** Results as tables for people, and as JSON for programs. */
import { cpus, release } from 'node:os';
import type { PeerResult, Sample } from './measure.ts';
import type { Scenario, Workload } from './workloads.ts';

export function machine(): string {
  const [first] = cpus();
  return `Node.js ${process.versions.node}, OpenSSL ${process.versions.openssl}, Linux ${release()}, ${cpus().length} × ${first?.model.trim() ?? process.arch}`;
}

/** The medians of one scenario, each compared with the first peer. */
export function table({ name }: Workload, scenario: Scenario, results: readonly PeerResult[]): string {
  const isMemory = scenario.unit === 'KiB';
  const values = isMemory ? rates : perCpu;
  const base = values(results[0]?.samples ?? []);
  const header = isMemory
    ? ['peer', 'KiB per connection', 'spread', `of ${results[0]?.peer.title}'s`]
    : [
        'peer',
        `${scenario.unit}/s`,
        `${scenario.unit} per server CPU second`,
        'spread',
        `times ${results[0]?.peer.title}`,
      ];
  const rows = results.map(({ peer, samples }) => {
    const value = median(values(samples));
    const own = isMemory ? [format(value)] : [format(median(rates(samples))), format(value)];
    // Compares within each round, because the load of the machine changes over time.
    const ratio = median(values(samples).map((each, round) => each / base[round]));
    return [peer.title, ...own, spread(values(samples)), ratio.toFixed(2)];
  });
  return [`${name}/${scenario.name}: ${scenario.title}`, ...align([header, ...rows])].join('\n');
}

export function json(workload: Workload, scenario: Scenario, results: readonly PeerResult[]): object {
  return {
    workload: workload.name,
    scenario: scenario.name,
    unit: scenario.unit,
    lessIsBetter: scenario.unit === 'KiB',
    peers: results.map(({ peer, samples }) => ({
      peer: peer.name,
      rate: median(rates(samples)),
      ratePerCpuSecond: scenario.unit === 'KiB' ? undefined : median(perCpu(samples)),
      samples,
    })),
  };
}

const rates = (samples: readonly Sample[]): number[] => samples.map(({ rate }) => rate);
const perCpu = (samples: readonly Sample[]): number[] => samples.map(({ ratePerCpuSecond }) => ratePerCpuSecond ?? NaN);

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The largest distance of a round from the median. */
function spread(values: readonly number[]): string {
  const middle = median(values);
  const farthest = Math.max(...values.map((value) => Math.abs(value - middle)));
  return `±${((100 * farthest) / middle).toFixed(0)} %`;
}

function format(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 });
}

/** Aligns the first column to the left and all others to the right. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map(
    (row) =>
      `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ')}`,
  );
}
