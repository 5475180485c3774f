/** The command line of the benchmarks. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { WORKLOADS, type Scenario, type Workload } from './workloads.ts';

export interface Command {
  readonly scenarios: readonly (readonly [Workload, Scenario])[];
  /** Whether the simulated network is measured as well. */
  readonly simulation: boolean;
  /** Whether the store in memory is measured as well. */
  readonly memoryStore: boolean;
  readonly seconds: number;
  readonly rounds: number;
  /** The folder of another build of this project. */
  readonly against: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
}

/** An error of the command line. Its message is one line. */
export class UsageError extends Error {}

export function parseCommand(parameters: readonly string[]): Command {
  const { values, positionals } = parse(parameters);
  return {
    scenarios:
      positionals.length === 0
        ? scenariosOf(WORKLOADS)
        : positionals.filter((name) => name !== SIMULATION && name !== MEMORY_STORE).flatMap(scenariosNamed),
    simulation: positionals.length === 0 || positionals.includes(SIMULATION),
    memoryStore: positionals.length === 0 || positionals.includes(MEMORY_STORE) || positionals.includes('sessions'),
    seconds: positive('--seconds', values.seconds, 2),
    rounds: Math.ceil(positive('--rounds', values.rounds, 3)),
    against: buildAt(values.against),
    json: values.json === true,
    help: values.help === true,
  };
}

const SIMULATION = 'simulation';
const MEMORY_STORE = 'sessions/memory-store';

export const HELP = `npm run bench -- [WORKLOAD …] [--seconds S] [--rounds R] [--against DIR] [--json]

Measures servers side by side on this machine: the peers take turns, each in a process of
its own, and the medians of all rounds are shown. Without a WORKLOAD, all of them run.

workloads:
${WORKLOADS.map(({ name, about, scenarios }) => `  ${name.padEnd(14)} ${about}\n${' '.repeat(17)}${[...scenarios.map((scenario) => `${name}/${scenario.name}`), ...(name === 'sessions' ? [MEMORY_STORE] : [])].join('  ')}`).join('\n')}
  simulation     the simulated network, in this process: operations a second, and a handshake byte by byte

options:
  --seconds S    how long each round of each peer is measured, after its warm-up (2)
  --rounds R     how many rounds (3)
  --against DIR  also measures the servers of another build of this project, such as one from
                 before a change; simulation and the memory store are measured in this build only
  --json         print one JSON document instead of tables
  --help         this text`;

function parse(parameters: readonly string[]) {
  try {
    return parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: {
        seconds: { type: 'string' },
        rounds: { type: 'string' },
        against: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]); // the rest of Node's message is about quoting
  }
}

/** `tcp-echo` means all its scenarios, `tcp-echo/50x64` means one. */
function scenariosNamed(name: string): (readonly [Workload, Scenario])[] {
  const scenarios = scenariosOf(WORKLOADS).filter(
    ([workload, scenario]) => name === workload.name || name === `${workload.name}/${scenario.name}`,
  );
  if (scenarios.length === 0)
    throw new UsageError(
      `no workload "${name}". There are: ${[...WORKLOADS.map((workload) => workload.name), MEMORY_STORE, SIMULATION].join(', ')}`,
    );
  return scenarios;
}

function scenariosOf(workloads: readonly Workload[]): (readonly [Workload, Scenario])[] {
  return workloads.flatMap((workload) => workload.scenarios.map((scenario) => [workload, scenario] as const));
}

function buildAt(folder: string | undefined): string | undefined {
  if (folder === undefined || existsSync(join(folder, 'dist', 'benchmarks', 'servers'))) return folder;
  throw new UsageError(
    `--against takes the folder of a build of this project, and "${folder}" has no dist/benchmarks/servers: run npm ci && npm run build there`,
  );
}

function positive(option: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0 && value < Infinity)) throw new UsageError(`${option} takes a number above 0, not "${text}"`);
  return value;
}
