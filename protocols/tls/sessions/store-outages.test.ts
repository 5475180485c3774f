// Real stores in separate processes, which die, hang, return and fail over during real handshakes.

import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';

import { compiledOf } from '../../../reactor/testing/compiled.ts';
import type { TlsContext } from '../context/context.ts';
import type { TlsVersion } from '../context/options.ts';
import { isInstalled, missing, Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';
import { RedisSessionStore } from '../../stores/redis-store.ts';
import type { Resumption } from './resumption.ts';
import type { TlsSession } from './session.ts';
import { SessionServerStore } from '../../stores/session-server/session-server-store.ts';
import type { SessionStore } from '../../stores/store.ts';
import { withFolder } from '../../testing/stores/folder.ts';
import { startRedis } from '../../testing/stores/redis-server.ts';
import { comeBack, sessionFrom } from '../../testing/stores/visits.ts';

const present = isInstalled('redis-server');
const program = fileURLToPath(new URL('../../testing/stores/session-server-program.ts', import.meta.url));
const lookupMs = 200;

/** A TLS server with a store, and functions that connect to it. */
interface Venue {
  readonly server: TlsContext;
  /** Connects for the first time. @returns the client's session, once the server has saved it. */
  first(): Promise<TlsSession>;
  /** Connects with a session. The handshake completes, whatever is wrong with the store. */
  again(session: TlsSession): Promise<Resumption>;
  /** Connects until the session is resumed: the server may still leave a recovered store alone. */
  until(session: TlsSession): Promise<void>;
  /**
   * Like `until`, with a new session each time: the server may leave the store alone longer for saves than for lookups.
   */
  untilAnew(): Promise<void>;
}

async function venue(secure: SecureReactor, store: SessionStore, version: TlsVersion): Promise<Venue> {
  const options = { protocols: { min: version, max: version } };
  const server = await secure.server({
    resumption: 'stateful',
    sessionStore: store,
    sessionStoreKey: Buffer.alloc(32, 9),
    sessionLookupMs: lookupMs,
  });
  const first = async (): Promise<TlsSession> => {
    const session = await sessionFrom(secure, server, options);
    await server.sessions.saved();
    return session;
  };
  const again = (session: TlsSession): Promise<Resumption> => comeBack(secure, session, server, options);
  const until = async (visit: () => Promise<Resumption>): Promise<void> => {
    for (const endsAt = performance.now() + 25_000; (await visit()) !== 'resumed';) {
      if (performance.now() > endsAt) throw new Error('the session was not resumed again');
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
  };
  return {
    server,
    first,
    again,
    until: (session) => until(() => again(session)),
    untilAnew: () => until(async () => again(await first())),
  };
}

/** Connects while the store is out of order. Failed saves count as failures too, so the store may rest by the end. */
async function duringOutage({ again }: Venue, session: TlsSession): Promise<void> {
  for (let visit = 0; visit < 3; visit++)
    expect(['store failed', 'store late', 'store resting']).toContain(await again(session));
}

/** An address behind which one server replaces another, like a virtual IP address or a service of a cluster. */
class Address {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #port: number;

  private constructor(port: number) {
    this.#port = port;
    this.#server = createServer((near) => {
      const far = createConnection(this.#port, '127.0.0.1');
      for (const [one, other] of [
        [near, far],
        [far, near],
      ]) {
        this.#open.add(one);
        one
          .on('error', () => other.destroy())
          .on('close', () => {
            this.#open.delete(one);
            other.destroy();
          })
          .pipe(other);
      }
    });
  }

  static async of(port: number): Promise<Address> {
    const address = new Address(port);
    address.#server.listen(0, '127.0.0.1');
    await once(address.#server, 'listening');
    return address;
  }

  get url(): string {
    return `redis://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  /** Forwards to another port from now on, and cuts the open connections. */
  move(port: number): void {
    this.#port = port;
    for (const socket of this.#open) socket.destroy();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }
}

describe.skipIf(!present).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `sessions in Redis under %s${missing('redis-server')}`,
  (version) => {
    it('survive the failover of a server to its replica', () =>
      withSecureReactor(async (secure) => {
        const primary = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
        const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(primary.port)] });
        const address = await Address.of(primary.port);
        const store = new RedisSessionStore({ url: address.url });
        const place = await venue(secure, store, version);
        const session = await place.first();
        expect(await place.again(session)).toBe('resumed');
        const client = new Redis({ port: primary.port });
        expect(await client.wait(1, 20_000)).toBe(1);
        client.disconnect();

        await primary.stop();
        await duringOutage(place, session);
        const promoted = new Redis({ port: replica.port });
        await promoted.call('REPLICAOF', 'NO', 'ONE');
        promoted.disconnect();
        address.move(replica.port);
        await place.until(session);
        // New sessions are saved there too.
        await place.untilAnew();
        store.close();
        address.close();
        await replica.stop();
      }));

    it('delay handshakes until the lookup deadline while the server hangs, and are resumed when it continues', () =>
      withSecureReactor(async (secure) => {
        const redis = await startRedis();
        const store = new RedisSessionStore({ url: `redis://127.0.0.1:${String(redis.port)}`, timeoutMs: 1_000 });
        const place = await venue(secure, store, version);
        const session = await place.first();
        process.kill(redis.program.pid, 'SIGSTOP');
        await duringOutage(place, session);
        process.kill(redis.program.pid, 'SIGCONT');
        await place.until(session);
        store.close();
        await redis.stop();
      }));
  },
);

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('sessions in a session server under %s', (version) => {
  it('cost full handshakes while it hangs or is dead, and new ones are stored by its successor', () =>
    withFolder((folder) =>
      withSecureReactor(async (secure) => {
        const path = join(folder, 'sessions.sock');
        const start = async (): Promise<Program> => {
          const running = new Program(process.execPath, compiledOf(program), path);
          await running.says(/serving/);
          return running;
        };
        const first = await start();
        const store = new SessionServerStore(secure.reactor, { path });
        const place = await venue(secure, store, version);
        const session = await place.first();
        expect(await place.again(session)).toBe('resumed');
        process.kill(first.pid, 'SIGSTOP');
        await duringOutage(place, session);
        process.kill(first.pid, 'SIGCONT');
        await place.until(session);

        await first.kill('SIGKILL');
        await duringOutage(place, session);
        const second = await start();
        // The sessions in the memory of the first server are lost.
        let outcome: Resumption;
        do outcome = await place.again(session);
        while (outcome !== 'unknown');
        await place.untilAnew();
        await store.close();
        await second.kill('SIGKILL');
      }),
    ));
});
