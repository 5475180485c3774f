/**
 * Measures one scenario. The peers take turns, A B A B …, so that other work of the machine affects all of them alike.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CertificateFiles } from './certificate.ts';
import type { Child } from './child.ts';
import type { Count, Endpoint, LoadRequest, Memory, ServerRequest } from './messages.ts';
import { peersFor, startLoad, startServer, startUpstream, type Peer } from './peers.ts';
import type { Scenario } from './workloads.ts';

export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
  /** Another build of this project that is measured too. */
  readonly against?: string | undefined;
}

export interface Sample {
  /** The result in the scenario's unit: per second, or KiB for each connection. */
  readonly rate: number;
  /** The work per second of processor time of the server; absent for memory. */
  readonly ratePerCpuSecond?: number;
}

export interface PeerResult {
  readonly peer: Peer;
  readonly samples: readonly Sample[];
}

export async function measure(
  scenario: Scenario,
  effort: Effort,
  files: CertificateFiles,
  tell: (progress: string) => void,
): Promise<PeerResult[]> {
  const upstream = scenario.program === 'proxy' ? startUpstream() : undefined;
  const load = startLoad();
  const parameters = scenario.tls ? ['--certificate', files.certificate, '--key', files.key] : [];
  try {
    if (upstream) {
      const { host, port } = await upstream.listening();
      parameters.push('--upstream', `${host}:${port}`);
    }
    const start = async (peer: Peer): Promise<RunningPeer> => {
      const server = startServer(peer, scenario.program, parameters);
      const endpoint = { ...(await server.listening()), authority: scenario.tls ? files.certificate : undefined };
      return { peer, server, endpoint };
    };
    return await (scenario.unit === 'KiB' ? measureMemory : measureThroughput)({ scenario, effort, load, start, tell });
  } finally {
    await Promise.all([load.stop(), upstream?.stop()]);
  }
}

interface RunningPeer {
  readonly peer: Peer;
  readonly server: Child;
  readonly endpoint: Endpoint;
}

interface Measurement {
  readonly scenario: Scenario;
  readonly effort: Effort;
  readonly load: Child;
  readonly start: (peer: Peer) => Promise<RunningPeer>;
  readonly tell: (progress: string) => void;
}

async function measureThroughput({ scenario, effort, load, start, tell }: Measurement): Promise<PeerResult[]> {
  const running: (RunningPeer & { samples: Sample[] })[] = [];
  try {
    for (const peer of peersFor(scenario, effort.against)) running.push({ ...(await start(peer)), samples: [] });
    for (let round = 1; round <= effort.rounds; round++) {
      for (const { peer, server, endpoint, samples } of running) {
        tell(`round ${round} of ${effort.rounds}: ${peer.title}`);
        await ask(load, { ask: 'open', plan: scenario.plan, endpoint });
        await sleep(round === 1 ? FIRST_WARM_UP_MS : WARM_UP_MS);
        const before = await mark(load, server);
        await sleep(effort.seconds * 1000);
        const after = await mark(load, server);
        await ask(load, { ask: 'close' });
        samples.push(sampleBetween(before, after, scenario));
      }
    }
    return running.map(({ peer, samples }) => ({ peer, samples }));
  } catch (error) {
    throw causeOf(
      error,
      running.map(({ server }) => server),
    );
  } finally {
    await Promise.all(running.map(async ({ server }) => server.stop()));
  }
}

/** Starts a new server for every round, because a process seldom returns memory to the system. */
async function measureMemory({ scenario, effort, load, start, tell }: Measurement): Promise<PeerResult[]> {
  const results = peersFor(scenario, effort.against).map((peer) => ({ peer, samples: [] as Sample[] }));
  for (let round = 1; round <= effort.rounds; round++) {
    for (const { peer, samples } of results) {
      tell(`round ${round} of ${effort.rounds}: ${peer.title}`);
      const { server, endpoint } = await start(peer);
      try {
        // The first connections load code, which is not part of the cost of a connection.
        await ask(load, { ask: 'open', plan: { ...scenario.plan, connections: FIRST_CONNECTIONS }, endpoint });
        await ask(load, { ask: 'close' });
        await sleep(SETTLE_MS);
        const before = await askServer(server, { ask: 'memory' });
        await ask(load, { ask: 'open', plan: scenario.plan, endpoint });
        await sleep(SETTLE_MS);
        const after = await askServer(server, { ask: 'memory' });
        await ask(load, { ask: 'count' }); // fails if a connection was lost
        samples.push({ rate: (after.rssBytes - before.rssBytes) / 1024 / scenario.plan.connections });
        await ask(load, { ask: 'close' });
      } catch (error) {
        throw causeOf(error, [server]);
      } finally {
        await server.stop();
      }
    }
  }
  return results;
}

interface Mark {
  readonly done: Count;
  readonly processorSeconds: number;
  readonly atMs: number;
}

/** Takes both numbers, each with its own time, because a busy load generator may answer a little late. */
async function mark(load: Child, server: Child): Promise<Mark> {
  const usage = { processorSeconds: server.processorSeconds, atMs: performance.now() };
  return { ...usage, done: await ask<Count>(load, { ask: 'count' }) };
}

function sampleBetween(before: Mark, after: Mark, { unit }: Scenario): Sample {
  const amount = (after.done.count - before.done.count) / (unit === 'MB' ? 1e6 : 1);
  if (amount === 0) throw new Error('nothing came back: the server answers no request');
  const rate = (amount * 1000) / (after.done.atMs - before.done.atMs);
  const processors = ((after.processorSeconds - before.processorSeconds) * 1000) / (after.atMs - before.atMs);
  return { rate, ratePerCpuSecond: rate / processors };
}

/** If a server has ended, that is the cause of every error of the load. */
function causeOf(error: unknown, servers: readonly Child[]): unknown {
  return servers.find(({ ended }) => ended)?.ended ?? error;
}

async function ask<Answer = undefined>(load: Child, request: LoadRequest): Promise<Answer> {
  return load.ask<Answer>(request);
}

async function askServer(server: Child, request: ServerRequest): Promise<Memory> {
  return server.ask<Memory>(request);
}

/** Enough time for the JIT compilers of both processes. */
const FIRST_WARM_UP_MS = 2_500;
const WARM_UP_MS = 500;
/** The handshake of a client ends before that of the server. */
const SETTLE_MS = 500;
const FIRST_CONNECTIONS = 200;
