/** Measures the tables of docs/sessions.md: which clients resume a session, and where. */

import { readFileSync } from 'node:fs';
import { connect as connectPlain, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { compiledOf } from '../../../reactor/testing/compiled.ts';
import { certificateFiles, fileOf, isInstalled, missing, Program } from '../../testing/tls/program.ts';
import { host } from '../../testing/tls/peer-program.ts';
import { localhost, withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import { newFolder } from '../../testing/stores/folder.ts';
import { startRedis } from '../../testing/stores/redis-server.ts';
import type { RedisServer } from '../../testing/stores/redis-server.ts';
import type { TlsSession } from './session.ts';

type Version = 'TLSv1.2' | 'TLSv1.3';
/** Connects twice, the second time with the session of the first connection. */
type Client = (port: number, version: Version) => Promise<void>;

const clients: Record<string, { needs: string[]; visit: Client }> = {
  wantio: { needs: [], visit: visitWithWantio },
  'node:tls': { needs: [], visit: visitWithNode },
  'openssl s_client': { needs: ['openssl'], visit: visitWithOpenssl },
  'gnutls-cli': { needs: ['gnutls-cli'], visit: visitWithGnutls },
};
const places = { 'same process': 'itself', 'other process': 'files', 'other host': 'redis' } as const;
const versions = { 'TLS 1.2': 'TLSv1.2', 'TLS 1.3': 'TLSv1.3' } as const;
const hasRedis = isInstalled('redis-server');

/** Two processes with the same servers. */
interface Served {
  readonly program: Program;
  readonly ports: Record<string, number>;
}
let served: [Served, Served];
let redis: RedisServer | undefined;
const { folder, remove } = newFolder();

beforeAll(async () => {
  redis = hasRedis ? await startRedis() : undefined;
  const settings = JSON.stringify({ ...certificateFiles(), folder: join(folder, 'sessions'), redisPort: redis?.port });
  const start = async (): Promise<Served> => {
    const program = new Program(
      process.execPath,
      compiledOf(join(import.meta.dirname, '../../../scripts/session-matrix-servers.ts')),
      settings,
    );
    return { program, ports: JSON.parse((await program.says(/^listening (.*)$/m))[1]) as Record<string, number> };
  };
  // Start one after the other: the second process finds the keys that the first one stored.
  served = [await start(), await start()];
});

afterAll(async () => {
  for (const { program } of served) await program.kill();
  await redis?.stop();
  remove();
});

/** Waits until no store operation is pending. @returns the outcome of the last client of each server. */
async function settled({ program }: Served): Promise<Record<string, string>> {
  program.write('\n');
  return JSON.parse((await program.saysNext(/^settled (.*)\n/m))[1]) as Record<string, string>;
}

/**
 * Lets a client connect twice: the first time to `here`, the second time to `there`.
 * @returns the outcome that the second server reports.
 */
async function outcome(visit: Client, name: string, version: Version, here: Served, there: Served): Promise<string> {
  let visits = 0;
  const forwarder = createServer((client) => {
    const isFirst = visits++ === 0;
    client.on('error', () => undefined);
    void settled(here).then(() => {
      const server = connectPlain((isFirst ? here : there).ports[name], host);
      server.on('error', () => client.destroy());
      client.on('close', () => server.destroy());
      client.pipe(server).pipe(client);
    });
  }).listen(0, host);
  await once(forwarder, 'listening');
  try {
    await visit((forwarder.address() as AddressInfo).port, version);
    expect(visits).toBe(2);
    return (await settled(there))[name];
  } finally {
    forwarder.close();
  }
}

/**
 * Reads the table below a heading of docs/sessions.md.
 * @returns its cells by the first three cells of the row and the name of the column.
 */
function table(heading: string): Map<string, string> {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/sessions.md'), 'utf8');
  const lines = (page.split(`\n### ${heading}\n`)[1] ?? '')
    .split(/\n#/)[0]
    .split('\n')
    .filter((line) => line.startsWith('|'));
  const [names, , ...rows] = lines.map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
  return new Map(
    rows.flatMap((row) => row.slice(3).map((cell, index) => [[...row.slice(0, 3), names[index + 3]].join(', '), cell])),
  );
}

describe.each(['wantio', 'node:tls'])('a server of %s', (server) => {
  describe.each(Object.entries(clients))('and a client of %s', (client, { needs, visit }) => {
    for (const [place, store] of Object.entries(places)) {
      const needed = [...needs, ...(store === 'redis' ? ['redis-server'] : [])];
      it.skipIf(missing(...needed) !== '')(
        `resume sessions as docs/sessions.md says: ${place}${missing(...needed)}`,
        async () => {
          const [here, there] = [served[0], place === 'same process' ? served[0] : served[1]];
          const published = table(`A server of ${server}`);
          const measured: Record<string, string> = {};
          const expected: Record<string, string | undefined> = {};
          for (const [shown, version] of Object.entries(versions))
            for (const policy of ['stateful', 'stateless']) {
              const cell = `${shown}, ${policy}, ${place}, ${client}`;
              measured[cell] = await outcome(visit, `${server} ${policy} ${store}`, version, here, there);
              expected[cell] = published.get(cell);
            }
          expect(measured).toEqual(expected);
        },
      );
    }
  });
});

async function visitWithWantio(port: number, version: Version): Promise<void> {
  await withSecureReactor(async (secure) => {
    const client = await secure.client({ protocols: { min: version, max: version } });
    let session: TlsSession | undefined;
    for (let visit = 0; visit < 2; visit++) {
      const connection = await secure.reactor.connectSecure({
        host: 'localhost',
        port,
        secure: client.with({ session, peer: String(visit) }),
      });
      expect(await connection.receive()).toBe('hello');
      while (connection.session?.resumable === false) await connection.receive('*s');
      session = connection.session;
      await connection.close();
    }
  });
}

async function visitWithNode(port: number, version: Version): Promise<void> {
  let session: Buffer | undefined;
  for (let visit = 0; visit < 2; visit++) {
    const socket = connectTls({
      port,
      host,
      servername: 'localhost',
      ca: localhost.certificate,
      minVersion: version,
      maxVersion: version,
      session,
    });
    const given = once(socket, 'session');
    const heard = once(socket.resume(), 'data');
    // Only under TLS 1.3 does a resumed connection get another session.
    const [got] = visit === 0 ? await Promise.all([given, heard]) : [[session]];
    await heard;
    session = (got as [Buffer])[0];
    socket.end();
    await once(socket, 'close');
  }
}

async function visitWithOpenssl(port: number, version: Version): Promise<void> {
  const file = fileOf('kept.pem', '');
  for (const args of [
    ['-sess_out', file],
    ['-sess_in', file],
  ]) {
    const program = new Program(
      'openssl',
      's_client',
      '-connect',
      `${host}:${String(port)}`,
      '-servername',
      'localhost',
      version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3',
      ...args,
    );
    // The session arrives before this line, and s_client writes it to the file at once.
    await program.says(/hello\n/);
    program.end();
    await program.exit();
  }
}

async function visitWithGnutls(port: number, version: Version): Promise<void> {
  const program = new Program(
    'gnutls-cli',
    '--resume',
    '--insecure',
    '--sni-hostname',
    'localhost',
    '--priority',
    `NORMAL:-VERS-ALL:+VERS-TLS${version.slice(4)}`,
    '--port',
    String(port),
    host,
  );
  await program.says(/Connecting again[^]*Simple Client Mode[^]*hello/);
  program.end();
  await program.exit();
}
