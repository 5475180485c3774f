/**
 * A TLS echo server whose clients resume their sessions, also in another process or on another host.
 *
 *     npm run sample -- session-server --port 7443 --processes 4
 *     openssl s_client -connect 127.0.0.1:7443 -sess_out session.pem
 *     openssl s_client -connect 127.0.0.1:7443 -sess_in session.pem
 *
 * You will see `listening 127.0.0.1:7443`, and for each client `resumed`, or why its session was not resumed. The
 * client gets this word as its first line, and then its own lines back. `npm run sample -- session-server --help`
 * explains policies and stores. Ctrl-C drains, a second one aborts.
 */

import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { closeOnSignal, formatAddress, parseTarget, Reactor } from 'wantio';
import { MemorySessionStore, openSessionStore, selfSigned, SessionServer, TicketKeys, TlsContext } from 'wantio/tls';
import type { ResumptionPolicy, SessionStore } from 'wantio/tls';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    processes: { type: 'string', default: '1' },
    resumption: { type: 'string', default: 'stateful' },
    store: { type: 'string', default: 'memory' },
    'store-key': { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const USAGE = `Usage: npm run sample -- session-server [options]
  --port N             where to listen on 127.0.0.1 (0: the system chooses)
  --processes N        how many share the port (1)
  --resumption POLICY  stateful: sessions stay here, and can be revoked; stateless: tickets, whose keys rotate;
                       off: every handshake is a full one (stateful)
  --store STORE        where sessions are kept, or the keys of tickets: memory (of the first process), files:DIR,
                       lmdb:DIR, redis://HOST:PORT, or unix:PATH, another session server (memory)
  --store-key FILE     32 secret bytes that encrypt what is stored, the same for all hosts (random bytes for this run)
  --help               this text`;

/** What all processes share. Children get it in a message, because every user can read the arguments of a process. */
interface Shared {
  readonly port: number;
  readonly store: string;
  readonly storeKey: string;
  readonly certificate: string;
  readonly key: string;
}

if (values.help) console.log(USAGE);
else if (process.send === undefined) await lead();
else {
  const [shared] = (await once(process, 'message')) as [Shared];
  const reactor = new Reactor();
  const { closed } = await serve(reactor, shared);
  process.send('listening');
  // Without the first process there are no sessions and no signals, so stop.
  process.once('disconnect', () => {
    void reactor.close();
  });
  await closed;
  if (process.connected) process.disconnect();
}

/** The first process. It also serves, and with the memory store it keeps the sessions of all processes. */
async function lead(): Promise<void> {
  const count = Number(values.processes);
  if (!Number.isInteger(count) || count < 1 || count > 64)
    throw new RangeError(`--processes must be a whole number of 1…64, not ${values.processes}`);
  policyOf(values.resumption);
  const { port: wanted } = parseTarget(`127.0.0.1:${values.port}`) as { port: number };
  const storeKey = values['store-key'] === undefined ? randomBytes(32) : await readFile(values['store-key']);
  const reactor = new Reactor();
  const folder = values.store === 'memory' && count > 1 ? await mkdtemp(join(tmpdir(), 'sessions-')) : undefined;
  const own = folder === undefined ? undefined : new MemorySessionStore();
  const path = join(folder ?? '', 'sessions.sock');
  const sessionServer = own === undefined ? undefined : await SessionServer.listen(reactor, { path, store: own });

  const shared = {
    port: wanted,
    store: folder === undefined ? values.store : `unix:${path}`,
    storeKey: storeKey.toString('base64'),
    ...selfSigned(),
  };
  const { port, closed } = await serve(reactor, shared, own);
  const children = Array.from({ length: count - 1 }, () => fork(process.argv[1], process.argv.slice(2)));
  // Ctrl-C reaches all processes. Pass on a signal that was sent to this process only.
  reactor.draining.addEventListener('abort', () => {
    for (const child of children) child.kill();
  });
  try {
    await Promise.all(children.map((child) => begin(child, { ...shared, port })));
    console.log(`listening 127.0.0.1:${String(port)}`);
  } catch (error) {
    // A signal ends the children too, at whatever point they are.
    if (!reactor.draining.aborted) {
      console.error(`session-server: ${(error as Error).message}`);
      process.exitCode = 1;
    }
    void reactor.close();
  }
  await closed;
  await Promise.all(
    children
      .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
      .map((child) => once(child, 'exit')),
  );
  await sessionServer?.close();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
}

/** Starts `child`; resolves when it listens. */
function begin(child: ChildProcess, shared: Shared): Promise<void> {
  return new Promise((resolve, reject) => {
    child
      .once('message', () => {
        resolve();
      })
      .on('error', reject)
      .once('exit', (code, signal) => {
        reject(
          new Error(
            `a process has ended before it listened, ${signal === null ? `with exit code ${String(code)}` : `by ${signal}`}`,
          ),
        );
      });
    // The 'exit' handler reports a child that does not receive this.
    child.send(shared, () => undefined);
  });
}

/** @returns the port, and a promise that resolves when the server has closed. */
async function serve(
  reactor: Reactor,
  { port, store: where, storeKey, certificate, key }: Shared,
  own?: SessionStore,
): Promise<{ port: number; closed: Promise<void> }> {
  const secret = Buffer.from(storeKey, 'base64');
  const store = own ?? openSessionStore(where, reactor);
  const resumption = policyOf(values.resumption);
  const ticketKeys = resumption === 'stateless' ? new TicketKeys({ store, storeKey: secret }) : undefined;
  await ticketKeys?.ready(AbortSignal.timeout(5_000));
  const context = await TlsContext.server({
    certificate: { pem: certificate },
    key: { pem: key },
    resumption,
    ...(resumption === 'stateful' ? { sessionStore: store, sessionStoreKey: secret } : { ticketKeys }),
  });
  const listener = await reactor.listen({ host: '127.0.0.1', port, reusePort: true });
  listener.on('clientError', (error, client) => {
    console.error(`${formatAddress(client.remoteAddress)}: ${error.message}`);
  });
  listener.serve({ secure: context, timeouts: { blockMs: 60_000 } }, async (connection, { signal }) => {
    console.log(`${String(process.pid)}: ${connection.resumption}`);
    await connection.send(`${connection.resumption}\n`);
    for await (const line of connection.lines({ maxBytes: 4096, signal })) await connection.send(`${line}\n`);
  });
  const closed = closeOnSignal(reactor).then(async () => {
    await context.sessions.saved();
    context.close();
    ticketKeys?.close();
    await store.close?.();
  });
  return { port: (listener.address as { port: number }).port, closed };
}

function policyOf(policy: string): ResumptionPolicy {
  if (policy === 'stateful' || policy === 'stateless' || policy === 'off') return policy;
  throw new RangeError(`--resumption must be stateful, stateless or off, not ${policy}`);
}
