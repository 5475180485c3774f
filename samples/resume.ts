/**
 * A client that resumes its session, and what that saves.
 *
 *     npm run sample -- resume
 *     npm run sample -- resume --connect example.org:443
 *
 * You will see a full handshake, then some that resume the session of the previous one, each with its milliseconds and
 * its bytes in and out. By default the sample starts its own server. `npm run sample -- resume --help` explains how to
 * keep the session for the next run, and how to share it with other clients.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { epollGround, parseTarget, Reactor } from 'wantio';
import { ClientSessions, openSessionStore, selfSigned, TlsContext, TlsSession } from 'wantio/tls';

const { values } = parseArgs({
  options: {
    connect: { type: 'string' },
    times: { type: 'string', default: '3' },
    insecure: { type: 'boolean', default: false },
    'tls1.2': { type: 'boolean', default: false },
    save: { type: 'string' },
    load: { type: 'string' },
    store: { type: 'string' },
    'store-key': { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const USAGE = `Usage: npm run sample -- resume [options]
  --connect HOST:PORT  the server (a server that the sample starts)
  --times N            how often to connect again after the first connection (3)
  --insecure           accept any certificate
  --tls1.2             use TLS 1.2 at most
  --save FILE          write the last session in PEM, as openssl s_client -sess_in takes it; keep it secret: a program
                       that has the file can resume your session
  --load FILE          offer such a session on the first connection
  --store STORE        where sessions are shared with other clients: files:DIR, lmdb:DIR, redis://HOST:PORT, or
                       unix:PATH, a session server
  --store-key FILE     32 secret bytes that encrypt what is stored, the same for all clients
  --help               this text`;
if (values.help) {
  console.log(USAGE);
  process.exit();
}
const times = Number(values.times);
if (!Number.isInteger(times) || times < 0) throw new RangeError(`--times must be a whole number, not ${values.times}`);
if ((values.store === undefined) !== (values['store-key'] === undefined))
  throw new RangeError('--store and --store-key go together');
const target = values.connect === undefined ? undefined : parseTarget(values.connect);
const storeKey = values['store-key'] === undefined ? undefined : await readFile(values['store-key']);

// Count the bytes on the wire at the system calls.
const bytes = { in: 0, out: 0 };
const reactor = new Reactor(
  epollGround((calls) => ({
    ...calls,
    recv: (fd, into) => counted('in', calls.recv(fd, into)),
    send: (fd, from) => counted('out', calls.send(fd, from)),
  })),
);
const made = selfSigned();
const server =
  target === undefined
    ? await TlsContext.server({
        certificate: { pem: made.certificate },
        key: { pem: made.key },
        resumption: 'stateful',
      })
    : undefined;
const store = values.store === undefined ? undefined : openSessionStore(values.store, reactor);
// A client also keeps its sessions without this object. It is needed only to share them.
const sessions = new ClientSessions({ store, storeKey });
const client = await TlsContext.client({
  dangerouslyVerifyNobody: values.insecure,
  ca: server === undefined ? 'bundled' : { pem: made.certificate },
  protocols: values['tls1.2'] ? { max: 'TLSv1.2' } : {},
  sessions,
});
const far = new Reactor();
const where = target ?? (await serveHere());
/** The loaded session, and later the newest one. */
let session = values.load === undefined ? undefined : TlsSession.fromPem(await readFile(values.load, 'utf8'));

try {
  for (let visit = 0; visit <= times; visit++) await connect(visit === 0 ? session : undefined);
  if (values.save !== undefined && session !== undefined)
    await writeFile(values.save, session.toPem(), { mode: 0o600 });
  await sessions.saved();
} finally {
  await store?.close?.();
  await reactor.close({ timeoutMs: 0 });
  await far.close({ timeoutMs: 0 });
}
session?.dispose();
client.close();
server?.close();

async function serveHere(): Promise<{ host: string; port: number }> {
  const listener = await far.listen({ host: '127.0.0.1', port: 0 });
  listener.serve({ secure: server }, async (connection) => {
    await connection.send('hello\n');
  });
  return { host: 'localhost', port: (listener.address as { port: number }).port };
}

/**
 * One visit: completes the handshake, waits a moment for the server's data (under TLS 1.3 the session comes with it),
 * and disconnects.
 */
async function connect(given: TlsSession | undefined): Promise<void> {
  const plain = await reactor.connect({ ...where, timeouts: { totalMs: 10_000 } });
  const connection = plain.secure(client.with({ session: given }), {
    serverName: 'host' in where ? where.host : 'localhost',
  });
  const got = new Promise<void>((resolve) => {
    connection.session$.subscribe((next) => {
      session?.dispose();
      session = next;
      resolve();
    });
  });
  const [startedAt, before] = [performance.now(), { ...bytes }];
  await connection.handshake({ timeouts: { totalMs: 10_000 } });
  const ms = performance.now() - startedAt;
  const { protocol, cipher } = connection.info();
  console.log(
    `${connection.reused ? 'resumed' : `full (${connection.resumption})`}: ${ms.toFixed(1)} ms, ${String(bytes.in - before.in)} bytes in, ${String(bytes.out - before.out)} out; ${protocol}, ${cipher}`,
  );
  // Wait no longer than this for a server that sends no session.
  const heard = connection.receive('*a', { timeouts: { totalMs: 500 } }).catch(() => undefined);
  await Promise.race([got, heard]);
  connection.abort();
}

function counted(direction: 'in' | 'out', count: number): number {
  bytes[direction] += Math.max(0, count);
  return count;
}
