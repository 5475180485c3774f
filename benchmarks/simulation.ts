/**
 * Measures the speed of the simulated network. It runs alone in this process, because there is no peer to compare it
 * with.
 */
import type { Reactor } from '../reactor/index.ts';
import { World } from '../reactor/simulated/world.ts';
import type { LinkOptions } from '../reactor/simulated/link.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import { selfSigned, TlsContext } from '../protocols/tls/index.ts';

export interface SimulationResult {
  /** Awaited sends and receives per second of real time. */
  readonly operationsPerSecond: number;
  /** Milliseconds of real time for a TLS 1.3 handshake whose bytes arrive one by one. */
  readonly handshakeMs: number;
}

/** Measures both figures for about `seconds` in each round, and returns their medians over all rounds. */
export async function measureSimulation(seconds: number, rounds: number): Promise<SimulationResult> {
  const operations: number[] = [];
  const handshakes: number[] = [];
  await echoFor(0.5);
  for (let round = 0; round < rounds; round++) {
    operations.push(await echoFor(seconds));
    handshakes.push(await shakeHandsFor(seconds));
  }
  return { operationsPerSecond: median(operations), handshakeMs: median(handshakes) };
}

export function simulationTable({ operationsPerSecond, handshakeMs }: SimulationResult): string {
  return [
    'simulation: a world in memory, in real time',
    `  operations a second, without TLS                    ${Math.round(operationsPerSecond).toLocaleString('en')}`,
    `  a TLS 1.3 handshake, every byte alone               ${handshakeMs.toFixed(2)} ms`,
  ].join('\n');
}

/** Sends one message there and back, repeatedly. Each round trip has four operations. */
async function echoFor(seconds: number): Promise<number> {
  return inWorld({}, async (client, server) => {
    const startedAt = performance.now();
    const endsAt = startedAt + seconds * 1_000;
    let exchanges = 0;
    for (; performance.now() < endsAt; exchanges++) {
      await client.send('x');
      await server.receive(1);
      await server.send('y');
      await client.receive(1);
    }
    return (4 * exchanges * 1_000) / (performance.now() - startedAt);
  });
}

async function shakeHandsFor(seconds: number): Promise<number> {
  const { certificate, key } = selfSigned({ names: ['there'] });
  const contexts = {
    client: await TlsContext.client({ ca: { pem: certificate } }),
    server: await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } }),
  };
  const times: number[] = [];
  for (const endsAt = performance.now() + seconds * 1_000; performance.now() < endsAt;) {
    times.push(
      await inWorld({ segment: 1 }, async (client, server) => {
        const startedAt = performance.now();
        const ends = [client.secure(contexts.client, { serverName: 'there' }), server.secure(contexts.server)];
        await Promise.all(ends.map((end) => end.handshake()));
        return performance.now() - startedAt;
      }),
    );
  }
  contexts.client.close();
  contexts.server.close();
  return median(times);
}

/** Runs `use` with a connection between two machines of a new world. */
async function inWorld<T>(link: LinkOptions, use: (client: Connection, server: Connection) => Promise<T>): Promise<T> {
  const world = new World({ link });
  const [here, there]: { reactor: Reactor }[] = [world.machine('here'), world.machine('there')];
  const result = await world.run(
    (async () => {
      const listener = await there.reactor.listen({ host: '0.0.0.0', port: 1 });
      const [client, server] = await Promise.all([here.reactor.connect({ host: 'there', port: 1 }), listener.accept()]);
      return use(client, server);
    })(),
    Number.MAX_SAFE_INTEGER,
  );
  for (const { reactor } of [here, there]) reactor.abort();
  return result;
}

function median(values: number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[sorted.length >> 1];
}
