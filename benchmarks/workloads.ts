/** The workloads that are measured. */
import type { LoadPlan } from './messages.ts';

export interface Workload {
  readonly name: string;
  readonly about: string;
  readonly scenarios: readonly Scenario[];
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** The program that is measured, as in `servers/PEER-PROGRAM.ts`. */
  readonly program: 'echo' | 'bulk' | 'proxy' | 'resume' | 'stored';
  readonly tls: boolean;
  readonly plan: LoadPlan;
  /** The unit of the result. `KiB` is the resident memory of one idle connection, where less is better. */
  readonly unit: 'requests' | 'connections' | 'MB' | 'KiB';
}

export const WORKLOADS: readonly Workload[] = [
  { name: 'tcp-echo', about: 'messages there and back over plain TCP', scenarios: echoes(false) },
  { name: 'tls-echo', about: 'messages there and back over TLS 1.3', scenarios: echoes(true) },
  {
    name: 'tls-handshake',
    about: 'full TLS 1.3 handshakes: connect, handshake, close',
    scenarios: [
      {
        name: '16',
        title: '16 at a time',
        program: 'echo',
        tls: true,
        plan: { kind: 'handshake', connections: 16, size: 0 },
        unit: 'connections',
      },
    ],
  },
  {
    name: 'tls-resume',
    about: 'resumed TLS handshakes, with one message of 64 B each',
    scenarios: [resume('TLSv1.3', 'resume'), resume('TLSv1.2', 'resume')],
  },
  {
    name: 'sessions',
    about:
      'the same, with sessions in stores (node: in a Map, under TLS 1.2 only); and a million sessions in the memory store',
    scenarios: [resume('TLSv1.3', 'stored'), resume('TLSv1.2', 'stored')],
  },
  {
    name: 'tls-bulk',
    about: 'one direction at full speed over TLS 1.3, in writes of 64 KiB',
    scenarios: [bulk('download'), bulk('upload')],
  },
  {
    name: 'idle-memory',
    about: 'resident memory of an idle connection',
    scenarios: [idle('tcp', 10_000), idle('tls', 5_000)],
  },
  {
    name: 'proxy',
    about: 'TLS 1.3 in front, a plain echo server behind',
    scenarios: [
      {
        name: '50x64',
        title: '50 connections × 64 B',
        program: 'proxy',
        tls: true,
        plan: { kind: 'echo', connections: 50, size: 64 },
        unit: 'requests',
      },
      {
        name: 'new',
        title: 'new connections, one message of 64 B each, 16 at a time',
        program: 'proxy',
        tls: true,
        plan: { kind: 'exchange', connections: 16, size: 64 },
        unit: 'connections',
      },
    ],
  },
];

function echoes(tls: boolean): Scenario[] {
  const shapes = [
    [1, 64],
    [50, 64],
    [1000, 64],
    [50, 16384],
  ];
  return shapes.map(([connections, size]) => ({
    name: `${connections}x${size}`,
    title: `${connections} connection${connections === 1 ? '' : 's'} × ${size} B`,
    program: 'echo',
    tls,
    plan: { kind: 'echo', connections, size },
    unit: 'requests',
  }));
}

function resume(version: 'TLSv1.2' | 'TLSv1.3', program: 'resume' | 'stored'): Scenario {
  return {
    name: version.slice(4),
    title: `${version}, 16 at a time`,
    program,
    tls: true,
    plan: { kind: 'exchange', connections: 16, size: 64, resumes: version },
    unit: 'connections',
  };
}

function bulk(kind: 'download' | 'upload'): Scenario {
  return {
    name: kind,
    title: `${kind} over 4 connections`,
    program: 'bulk',
    tls: true,
    plan: { kind, connections: 4, size: 64 * 1024 },
    unit: 'MB',
  };
}

function idle(name: 'tcp' | 'tls', connections: number): Scenario {
  return {
    name,
    title: `${connections} ${name.toUpperCase()} connections`,
    program: 'echo',
    tls: name === 'tls',
    plan: { kind: 'idle', connections, size: 0 },
    unit: 'KiB',
  };
}
