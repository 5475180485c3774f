/** `npm run bench`: runs workloads and prints the results. */
import { makeCertificate } from './certificate.ts';
import { Child } from './child.ts';
import { HELP, parseCommand, UsageError, type Command } from './command-line.ts';
import { measure } from './measure.ts';
import { measureMemoryStore, memoryStoreTable } from './memory-store.ts';
import { measureSimulation, simulationTable } from './simulation.ts';
import { json, machine, table } from './report.ts';

process.on('exit', () => {
  Child.killAll();
});
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

try {
  const command = parseCommand(process.argv.slice(2));
  if (command.help) console.log(HELP);
  else await run(command);
} catch (error) {
  console.error(error instanceof UsageError ? error.message : `the benchmark failed: ${(error as Error).message}`);
  process.exit(error instanceof UsageError ? 2 : 1);
}

async function run({
  scenarios,
  simulation,
  memoryStore,
  seconds,
  rounds,
  against,
  json: asJson,
}: Command): Promise<void> {
  const files = makeCertificate();
  const documents: object[] = [];
  if (!asJson) console.log(`${machine()}\n${rounds} rounds of ${seconds} s, medians\n`);
  for (const [workload, scenario] of scenarios) {
    const results = await measure(scenario, { rounds, seconds, against }, files, (progress) => {
      tell(`${workload.name}/${scenario.name}, ${progress}`);
    });
    tell('');
    documents.push(json(workload, scenario, results));
    if (!asJson) console.log(`${table(workload, scenario, results)}\n`);
  }
  if (memoryStore) {
    const results = measureMemoryStore(tell);
    tell('');
    documents.push({ workload: 'sessions', scenario: 'memory-store', results });
    if (!asJson) console.log(`${memoryStoreTable(results)}\n`);
  }
  if (simulation) {
    const result = await measureSimulation(seconds, rounds);
    documents.push({ workload: 'simulation', ...result });
    if (!asJson) console.log(simulationTable(result));
  }
  if (asJson) console.log(JSON.stringify({ machine: machine(), seconds, rounds, results: documents }, null, 2));
}

/** Prints a line of progress that the next one replaces, if the output is a terminal. */
function tell(progress: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${progress}`);
}
