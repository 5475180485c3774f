/** The peers that are measured. The others are compared with the first one. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Child } from './child.ts';
import type { Scenario } from './workloads.ts';

export interface Peer {
  readonly name: string;
  readonly title: string;
  /** A program that must be installed. */
  readonly needs?: string;
  /** For a peer of another build: its name and the folder of its servers there. */
  readonly elsewhere?: { readonly name: string; readonly folder: string };
}

export const PEERS: readonly Peer[] = [
  { name: 'node', title: 'node' },
  { name: 'wantio-readiness', title: 'wantio readiness' },
  { name: 'wantio-operations', title: 'wantio operations' },
  { name: 'wantio-stateless', title: 'wantio stateless' },
  { name: 'wantio-stateful', title: 'wantio stateful' },
  { name: 'wantio-memory', title: 'wantio memory' },
  { name: 'wantio-lmdb', title: 'wantio LMDB' },
  { name: 'wantio-redis', title: 'wantio Redis', needs: 'redis-server' },
  { name: 'wantio-server', title: 'wantio session server' },
];

/**
 * @param against another build of this project, whose servers are measured too.
 * @returns the peers that have a server for this scenario and whose programs are installed.
 */
export function peersFor({ program }: Scenario, against?: string): Peer[] {
  const own = PEERS.filter(
    (peer) => existsSync(serverFile(peer, program)) && (peer.needs === undefined || isInstalled(peer.needs)),
  );
  if (against === undefined) return own;
  const folder = resolve(against, 'dist', 'benchmarks', 'servers');
  const others = own
    .filter(({ name }) => name.startsWith('wantio'))
    .map((peer): Peer => ({
      ...peer,
      name: `${peer.name}-there`,
      title: `${peer.title}, there`,
      elsewhere: { name: peer.name, folder },
    }));
  return [...own, ...others.filter((peer) => existsSync(serverFile(peer, program)))];
}

function isInstalled(needed: string): boolean {
  const isThere = spawnSync(needed, ['--version']).error === undefined;
  if (!isThere) console.error(`(${needed} is not installed: peers that need it are skipped)`);
  return isThere;
}

/**
 * Starts a server. All servers use the same processor, because only one is measured at a time. With two processors or
 * more, the load uses another one.
 */
export function startServer(peer: Peer, program: string, parameters: readonly string[]): Child {
  return new Child(`${peer.name}-${program}`, serverFile(peer, program), parameters, 0);
}

export function startLoad(): Child {
  return new Child('the load generator', join(import.meta.dirname, 'load', 'main.js'), [], 1);
}

/** Starts the server behind a proxy. */
export function startUpstream(): Child {
  return new Child('the server behind the proxy', serverFile(PEERS[0], 'echo'), [], 2);
}

function serverFile({ name: own, elsewhere }: Peer, program: string): string {
  const { name, folder } = elsewhere ?? { name: own, folder: join(import.meta.dirname, 'servers') };
  return join(folder, `${name}-${program}.js`);
}
