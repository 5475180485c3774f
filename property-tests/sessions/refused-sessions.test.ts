// Law: a session that makes connections fail costs each process at most one failed operation, and none where
// `connectSecure` can connect again. A process never offers such a session twice. A client stops offering sessions to a
// server that keeps refusing them.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TlsContext } from '../../protocols/tls/context/context.ts';
import type { TlsVersion } from '../../protocols/tls/context/options.ts';
import type { SecureConnection } from '../../protocols/tls/secure-connection.ts';
import { selfSigned } from '../../protocols/tls/certificates/self-signed.ts';
import { ClientSessions } from '../../protocols/tls/sessions/client-sessions.ts';
import type { TlsSession } from '../../protocols/tls/sessions/session.ts';
import { MapStore } from '../../protocols/testing/stores/map-store.ts';
import { REFUSALS, takeOrRefuse } from '../../protocols/testing/stores/refusing-server.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { SimulatedMachine, World } from '../../reactor/simulated/world.ts';
import { harmlessFaults, link } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { simulate } from '../kit/simulate.ts';

const { certificate, key } = selfSigned({ names: ['there'] });
const PORT = 7;
const VISITS = 8;

const plan = fc.record({
  link: link(),
  faults: harmlessFaults(),
  refusal: fc.constantFrom(...REFUSALS),
  /** Where the client gets its sessions from. */
  source: fc.constantFrom('kept', 'shared', 'given', 'copied'),
  policy: fc.constantFrom('stateful', 'stateless'),
  /** Whether the caller uses `connectSecure`, or puts TLS over a connection itself. */
  inOne: fc.boolean(),
});

/** Serves for ever, and adds each refused session to `refused`. */
async function serve(
  world: World,
  context: TlsContext,
  refusal: (typeof REFUSALS)[number],
  refused: string[],
): Promise<void> {
  const listener = await world.machine('there').reactor.listen({ host: '0.0.0.0', port: PORT });
  const use = async (plain: Connection): Promise<void> => {
    const secure = await takeOrRefuse(plain, context, refusal, (session) => refused.push(session));
    await secure?.send('hi\n');
    await secure?.close();
  };
  listener.connections$.subscribe((plain) => {
    plain.timeouts = { totalMs: 60_000 };
    void use(plain).catch(() => {
      plain.abort();
    });
  });
}

/** How a client connects. */
interface Way {
  readonly client: SimulatedMachine;
  readonly context: TlsContext;
  readonly inOne: boolean;
  readonly session: TlsSession | undefined;
  readonly from: SecureConnection | undefined;
}

async function visit({ client: { reactor }, context, inOne, session, from }: Way): Promise<SecureConnection> {
  const secure = session === undefined ? context : context.with({ session });
  if (inOne) {
    const connection = await reactor.connectSecure({ host: 'there', port: PORT, secure });
    await connection.receive();
    return connection;
  }
  const plain = await reactor.connect({ host: 'there', port: PORT });
  const connection = plain.secure(secure);
  if (from !== undefined) connection.copySessionFrom(from);
  try {
    await connection.handshake();
    await connection.receive();
  } catch (error) {
    connection.abort();
    throw error;
  }
  return connection;
}

describe.each<TlsVersion>(['TLSv1.2', 'TLSv1.3'])('under %s', (version) => {
  it('a session that makes connections fail costs at most one failed operation', async () => {
    await tryLaw(plan, 60, async ({ link: carrying, faults, refusal, source, policy, inOne }) => {
      const store = source === 'shared' ? new MapStore() : undefined;
      const shared = store === undefined ? {} : { store, storeKey: Buffer.alloc(32, 1) };
      const sessions = [new ClientSessions(shared), new ClientSessions(shared)].slice(0, source === 'shared' ? 2 : 1);
      const options = { ca: { pem: certificate }, protocols: { min: version, max: version } };
      const contexts = await Promise.all(
        sessions.map((each) =>
          TlsContext.client({ ...options, sessions: source === 'kept' || source === 'shared' ? each : 'off' }),
        ),
      );
      const server = await TlsContext.server({
        certificate: { pem: certificate },
        key: { pem: key },
        resumption: policy,
      });
      const refused: string[] = [];
      const run = await simulate({ link: carrying, faults, steps: 4_000_000 }, async (world) => {
        await serve(world, server, refusal, refused);
        const client = world.machine('here');
        const outcomes: string[] = [];
        let [session, from]: [TlsSession | undefined, SecureConnection | undefined] = [undefined, undefined];
        for (let index = 0; index < VISITS * contexts.length; index++) {
          try {
            const connection = await visit({
              client,
              context: contexts[index % contexts.length],
              inOne: inOne && source !== 'copied',
              session,
              from,
            });
            outcomes.push('served');
            if (source === 'given') session ??= connection.session;
            if (source === 'copied') from ??= connection;
            else await connection.close();
          } catch {
            outcomes.push('failed');
          }
          // Pending writes and removals reach the store before the next visit.
          await Promise.all(sessions.map((each) => each.saved()));
        }
        from?.abort();
        return outcomes;
      });
      for (const context of contexts) context.close();
      server.close();
      const ways = contexts.map((_, process) => run.result.filter((__, index) => index % contexts.length === process));
      for (const way of ways) {
        const failed = way.filter((outcome) => outcome === 'failed').length;
        const isRetried = inOne && source !== 'copied' && (refusal === 'alert' || refusal === 'garbage');
        expect(failed).toBeLessThanOrEqual(isRetried ? 0 : source === 'kept' || source === 'shared' ? 2 : 1);
        // Two failures in a row need a new session in between, and only another process can have stored one.
        if (source !== 'shared') expect(way.join(' ')).not.toContain('failed failed');
      }
      // A process may have taken a session before another process learns that the server refuses it.
      const times = new Map(refused.map((session) => [session, refused.filter((other) => other === session).length]));
      for (const count of times.values()) expect(count).toBeLessThanOrEqual(contexts.length);
      expect(refused.length).toBeLessThanOrEqual(2 * contexts.length);
      expect(refused.length).toBeGreaterThan(0);
      return run;
    });
  });
});
