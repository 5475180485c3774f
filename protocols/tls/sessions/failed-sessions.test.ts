import { describe, expect, it } from 'vitest';

import { OperationTimeoutError } from '../../../core/errors.ts';
import type { OperationOptions } from '../../../core/operation.ts';
import type { Connection } from '../../../reactor/connections/connection.ts';
import { World } from '../../../reactor/simulated/world.ts';
import { TlsContext } from '../context/context.ts';
import type { TlsClientOptions, TlsServerOptions, TlsVersion } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { selfSigned } from '../certificates/self-signed.ts';
import { TlsError } from '../tls-error.ts';
import { ClientSessions } from './client-sessions.ts';
import { FailedSessions } from './failed-sessions.ts';
import { TlsSession } from './session.ts';
import { ManualClock } from '../../testing/stores/manual-clock.ts';
import { takeOrRefuse } from '../../testing/stores/refusing-server.ts';
import type { Refusal } from '../../testing/stores/refusing-server.ts';

const { certificate, key } = selfSigned({ names: ['there'] });
const versions: TlsVersion[] = ['TLSv1.2', 'TLSv1.3'];

type Answer = Refusal | 'hang' | 'take' | number;

/** A server that refuses sessions, and a function to connect to it. */
interface Scene {
  readonly world: World;
  readonly client: TlsContext;
  server: TlsContext;
  /**
   * How the server refuses from now on: `'hang'` never answers, `'take'` refuses nothing; a number is the alert that
   * it sends.
   */
  refusal: Answer;
  /** How the server refuses after the next connection. */
  next: Answer | undefined;
  /** The outcome of each connection that the server accepted. */
  readonly dials: ('served' | 'refused' | 'waits')[];
  visit(options?: OperationOptions): Promise<SecureConnection>;
}

async function scene(
  version: TlsVersion,
  use: (scene: Scene) => Promise<void>,
  options: TlsClientOptions = {},
  serverOptions: Partial<TlsServerOptions> = {},
): Promise<void> {
  const protocols = { min: version, max: version };
  const client = await TlsContext.client({ ca: { pem: certificate }, protocols, ...options });
  const server = await TlsContext.server({
    certificate: { pem: certificate },
    key: { pem: key },
    protocols,
    resumption: 'stateful',
    ...serverOptions,
  });
  const world = new World({ link: { latencyMs: 20 } });
  const here = world.machine('here');
  const there = world.machine('there');
  const set: Scene = {
    world,
    client,
    server,
    refusal: 'alert',
    next: undefined,
    dials: [],
    visit: async (how) => {
      const connection = await here.reactor.connectSecure({ host: 'there', port: 7, secure: client, ...how });
      await connection.receive();
      await connection.close();
      return connection;
    },
  };
  const serve = async (plain: Connection): Promise<void> => {
    const index = set.dials.push('waits') - 1;
    const { refusal } = set;
    set.refusal = set.next ?? refusal;
    const secure =
      refusal === 'take'
        ? plain.secure(set.server)
        : await answer(plain, set.server, refusal, () => (set.dials[index] = 'refused'));
    if (secure === undefined) return;
    await secure.send('hi\n');
    set.dials[index] = 'served';
    await secure.close();
  };
  await world.run(
    (async () => {
      const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
      listener.connections$.subscribe((plain) => void serve(plain).catch(() => undefined));
      await use(set);
      for (const { reactor } of world.machines) reactor.abort();
    })(),
  );
  client.close();
  server.close();
}

async function answer(
  plain: Connection,
  server: TlsContext,
  refusal: Exclude<Answer, 'take'>,
  refused: () => void,
): Promise<SecureConnection | undefined> {
  if (refusal === 'hang') return undefined;
  if (typeof refusal !== 'number') return takeOrRefuse(plain, server, refusal, refused);
  refused();
  await plain.receive(5);
  await plain.send(Uint8Array.of(21, 3, 3, 0, 2, 2, refusal));
  await plain.close();
  return undefined;
}

describe.each(versions)('a session that makes a handshake fail, under %s,', (version) => {
  it('is forgotten when the first receive after the handshake fails', () =>
    scene(version, async (set) => {
      await set.visit();
      set.refusal = 'late garbage';
      await expect(set.visit()).rejects.toThrow(TlsError);
      expect(set.dials).toEqual(['served', 'refused']);
      expect((await set.visit()).resumption).toBe('not offered');
      expect(set.client.sessions.statistics.resumption).toEqual({ 'not offered': 2, resumed: 1, failed: 1 });
    }));

  it('is kept when a connection breaks after it has received data', () =>
    scene(version, async (set) => {
      await set.visit();
      set.refusal = 'take';
      const connection = await set.world.machines[0].reactor.connectSecure({
        host: 'there',
        port: 7,
        secure: set.client,
      });
      await connection.receive();
      for (const each of set.world.machines[1].reactor.connections) each.abort();
      await connection.receive().catch(() => undefined);
      connection.abort();
      expect(connection.resumption).toBe('resumed');
      expect((await set.visit()).resumption).toBe('resumed');
    }));

  it('is kept when a timeout or the caller ends the handshake', () =>
    scene(version, async (set) => {
      await set.visit();
      set.refusal = 'hang';
      await expect(set.visit({ timeouts: { totalMs: 100 } })).rejects.toBeInstanceOf(OperationTimeoutError);
      const controller = new AbortController();
      const aborted = set.visit({ signal: controller.signal });
      await set.world.sleep(100);
      controller.abort();
      await expect(aborted).rejects.toMatchObject({ code: 'ERR_WANTIO_ABORTED' });
      set.refusal = 'take';
      expect(set.client.sessions.statistics.resumption.failed).toBeUndefined();
      // Under TLS 1.3 each of the two attempts has used up one session.
      expect((await set.visit()).resumption).toBe(version === 'TLSv1.2' ? 'resumed' : 'not offered');
    }));

  it('leaves the retry only the rest of the total timeout', () =>
    scene(version, async (set) => {
      await set.visit();
      const startedAt = set.world.now();
      set.next = 'hang';
      await expect(set.visit({ timeouts: { totalMs: 500 } })).rejects.toMatchObject({ mode: 'total' });
      expect(set.world.now() - startedAt).toBeGreaterThanOrEqual(500);
      expect(set.world.now() - startedAt).toBeLessThan(510);
      expect(set.dials).toEqual(['served', 'refused', 'waits']);
    }));

  it('is not offered by the context again when the caller passed it', () =>
    scene(
      version,
      async (set) => {
        const first = await set.visit();
        expect(first.resumption).toBe('off');
        const plain = await set.world.machines[0].reactor.connectSecure({ host: 'there', port: 7, secure: set.client });
        await plain.receive();
        const session = plain.session as TlsSession;
        plain.abort();
        const secure = set.client.with({ session });
        for (let index = 0; index < 3; index++) {
          const connection = await set.world.machines[0].reactor.connectSecure({ host: 'there', port: 7, secure });
          await connection.receive();
          expect(connection.resumption).toBe('failed');
          connection.abort();
        }
        expect(set.dials.filter((dial) => dial === 'refused')).toHaveLength(1);
      },
      { sessions: 'off' },
    ));
});

describe('a server that keeps refusing sessions', () => {
  it.each(versions)(
    'is offered none for a minute, then for two minutes; the count starts over once it has resumed one, under %s',
    async (version) => {
      const clock = new ManualClock(Date.now());
      await scene(
        version,
        async (set) => {
          const offers = async (): Promise<boolean> => {
            const before = set.dials.length;
            await set.visit();
            return set.dials.length > before + 1;
          };
          // After the first refusal alone, the client still offers sessions.
          expect([await offers(), await offers(), await offers(), await offers()]).toEqual([false, true, true, false]);
          clock.pass(59_999);
          expect(await offers()).toBe(false);
          clock.pass(1);
          expect([await offers(), await offers(), await offers()]).toEqual([false, true, false]);
          clock.pass(119_999);
          expect(await offers()).toBe(false);
          clock.pass(1);
          set.refusal = 'take';
          expect((await set.visit()).resumption).toBe('not offered');
          expect((await set.visit()).resumption).toBe('resumed');
          set.refusal = 'alert';
          expect([await offers(), await offers(), await offers()]).toEqual([true, true, false]);
        },
        { sessions: new ClientSessions({ now: clock.now }) },
      );
    },
  );
});

describe("a session in the server's own cache", () => {
  it('is not erased by a client that offers its id with another key (TLS 1.2)', () =>
    scene('TLSv1.2', async (set) => {
      set.refusal = 'take';
      const { reactor } = set.world.machines[0];
      const first = await reactor.connectSecure({ host: 'there', port: 7, secure: set.client });
      await first.receive();
      const session = first.session as TlsSession;
      first.abort();
      // The same id, another key: OCTET STRING (4) of 48 bytes, after the id.
      const der = Buffer.from(session.toDer());
      const at = der.indexOf(Buffer.of(4, 48));
      der.fill(0x5a, at + 2, at + 50);
      const stolen = TlsSession.fromDer(der);
      expect(stolen.id).toBe(session.id);
      const stranger = await TlsContext.client({
        ca: { pem: certificate },
        protocols: { max: 'TLSv1.2' },
        sessions: 'off',
      });
      const plain = await reactor.connect({ host: 'there', port: 7 });
      await expect(plain.secure(stranger.with({ session: stolen })).handshake()).rejects.toBeInstanceOf(TlsError);
      stranger.close();
      const again = await reactor.connectSecure({ host: 'there', port: 7, secure: set.client.with({ session }) });
      await again.receive();
      expect(again.resumption).toBe('resumed');
      again.abort();
    }));
});

describe('FailedSessions', () => {
  it('remembers the last thousand sessions, separately for each server', () => {
    const failed = new FailedSessions();
    failed.add('aa', 'one');
    expect([failed.has('aa', 'one'), failed.has('aa', 'two'), failed.has('bb', 'one')]).toEqual([true, false, false]);
    for (let index = 0; index < 999; index++) failed.add(String(index), 'one');
    failed.add('aa', 'one');
    failed.add('last', 'one');
    expect([failed.has('aa', 'one'), failed.has('0', 'one'), failed.has('1', 'one')]).toEqual([true, false, true]);
  });
});
