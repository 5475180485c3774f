/**
 * Servers for the test matrix of resumption: wantio and node:tls, stateful and stateless, which keep their sessions or
 * ticket keys in the process, in files or in Redis. The argument is a JSON object of `MatrixSettings`. The process
 * prints `listening` with the port of each server. For each line of its input it waits until no save is pending, and
 * then prints `settled` with the outcome of the last client of each server.
 */

import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { createServer } from 'node:tls';

import { Reactor } from '../reactor/reactor.ts';
import { TlsContext } from '../protocols/tls/context/context.ts';
import type { ResumptionPolicy } from '../protocols/tls/sessions/resumption.ts';
import type { SessionStore } from '../protocols/stores/store.ts';
import { FileSessionStore } from '../protocols/stores/files/file-store.ts';
import { MemorySessionStore } from '../protocols/stores/memory-store.ts';
import { RedisSessionStore } from '../protocols/stores/redis-store.ts';
import { TicketKeys } from '../protocols/tls/sessions/ticket-keys.ts';

/** The settings that all server processes share. */
interface MatrixSettings {
  readonly certificate: string;
  readonly key: string;
  readonly folder: string;
  readonly redisPort: number | undefined;
}

const { certificate, key, folder, redisPort } = JSON.parse(process.argv[2] ?? '') as MatrixSettings;
const secret = Buffer.alloc(32, 3);
const [cert, pem] = [readFileSync(certificate, 'utf8'), readFileSync(key, 'utf8')];
const reactor = new Reactor();
const ports: Record<string, number> = {};
const outcomes: Record<string, string> = {};
let saving = 0;
const settled: (() => void)[] = [];

/** Wraps a store so that its pending saves are counted. */
function counted(store: SessionStore): SessionStore {
  return {
    get: (name) => store.get(name),
    remove: (name) => store.remove(name),
    set: async (name, value, ttlMs) => {
      saving++;
      try {
        await store.set(name, value, ttlMs);
      } finally {
        if (--saving === 0) for (const resolve of settled.splice(0)) resolve();
      }
    },
  };
}

async function serveWantio(name: string, resumption: ResumptionPolicy, store: SessionStore | undefined): Promise<void> {
  const ticketKeys = resumption === 'stateless' ? new TicketKeys({ store, storeKey: store && secret }) : undefined;
  await ticketKeys?.ready();
  const context = await TlsContext.server({
    certificate: { pem: cert },
    key: { pem },
    resumption,
    ticketKeys,
    ...(resumption === 'stateful' && store !== undefined ? { sessionStore: store, sessionStoreKey: secret } : {}),
  });
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  listener.serve({ secure: context }, async (connection) => {
    outcomes[name] = connection.resumption;
    await connection.send('hello\n');
    await connection.receive('*a').catch(() => undefined);
  });
  ports[name] = (listener.address as { port: number }).port;
}

async function serveNode(name: string, resumption: ResumptionPolicy, store: SessionStore | undefined): Promise<void> {
  const isStateful = resumption === 'stateful';
  const server = createServer(
    {
      cert,
      key: pem,
      sessionIdContext: 'matrix',
      allowHalfOpen: false,
      secureOptions: isStateful ? constants.SSL_OP_NO_TICKET : 0,
      ticketKeys: isStateful || store === undefined ? undefined : Buffer.alloc(48, 3),
    },
    (socket) => {
      outcomes[name] = socket.isSessionReused() ? 'resumed' : 'full';
      socket.on('error', () => undefined).resume();
      // A write in this turn would overtake the tickets.
      setImmediate(() => socket.write('hello\n'));
    },
  );
  if (isStateful) {
    const kept = store ?? new MemorySessionStore();
    server.on('newSession', (id: Buffer, session: Buffer, done: () => void) => {
      void Promise.resolve(kept.set(id.toString('base64url'), session, 1_000_000)).then(done);
    });
    server.on('resumeSession', (id: Buffer, done: (error: Error | null, session: Buffer | null) => void) => {
      void Promise.resolve(kept.get(id.toString('base64url'))).then((found) => {
        done(null, found === undefined ? null : Buffer.from(found));
      });
    });
  }
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  ports[name] = (server.address() as AddressInfo).port;
}

const stores: [string, SessionStore | undefined][] = [
  ['itself', undefined],
  ['files', counted(new FileSessionStore({ directory: folder }))],
];
if (redisPort !== undefined)
  stores.push(['redis', counted(new RedisSessionStore({ url: `redis://127.0.0.1:${String(redisPort)}` }))]);
for (const resumption of ['stateful', 'stateless'] as const)
  for (const [place, store] of stores) {
    await serveWantio(`wantio ${resumption} ${place}`, resumption, store);
    await serveNode(`node:tls ${resumption} ${place}`, resumption, store);
  }
console.log(`listening ${JSON.stringify(ports)}`);

for await (const _ of createInterface({ input: process.stdin })) {
  // The saves of this turn begin before the next turn. Wait for that turn, so that `saving` counts them.
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  if (saving > 0)
    await new Promise<void>((resolve) => {
      settled.push(resolve);
    });
  console.log(`settled ${JSON.stringify(outcomes)}`);
}
process.exit();
