// Law: a peer that sends as fast as it can and never reads cannot make our memory grow. Two amounts stay within a
// bound: the bytes read from the system but not delivered to the caller, and the bytes accepted from the caller but not
// written to the system. This holds however much the peer sends and whatever our code does with it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BoundsError, OperationTimeoutError, WantioError } from '../../core/errors.ts';
import { Relay } from '../../protocols/relay.ts';
import { SecureConnection } from '../../protocols/tls/secure-connection.ts';
import { TlsTransport } from '../../protocols/tls/tls-transport.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { SimulatedMachine, World } from '../../reactor/simulated/world.ts';
import { harmlessFaults, link } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import type { Evidence } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const size = fc.integer({ min: 1_024, max: 65_536 });
const plan = fc.record({
  link: link().map(({ latencyMs, segment = 1 }) => ({ latencyMs, segment: Math.max(512, segment) })),
  buffers: fc.record({ sendBuffer: size, receiveBuffer: size }),
  faults: harmlessFaults(),
  victim: fc.constantFrom(
    'echoes',
    'echoes lines',
    'sends and receives',
    'only sends',
    'only receives',
    'does nothing',
    'relays' as const,
  ),
  /** The most bytes that the peer sends, and the size of its pieces. */
  total: fc.integer({ min: 600_000, max: 2_000_000 }),
  piece: fc.integer({ min: 4_000, max: 150_000 }),
  lineEvery: fc.option(fc.integer({ min: 500, max: 5_000 }), { nil: undefined }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

/** How many bytes the victim's code has received, and how many its sends have accepted. */
interface Account {
  received: number;
  accepted: number;
}

/** Uses the connection in the victim's way until the connection ends. */
async function suffer(
  victim: Plan['victim'],
  connection: Connection,
  account: Account,
  further: () => PromiseLike<Connection>,
): Promise<void> {
  const send = async (data: Uint8Array | string): Promise<void> => {
    await connection.send(data);
    account.accepted += data.length;
  };
  const pour = async (): Promise<void> => {
    for (;;) await send(new Uint8Array(30_000));
  };
  const swallow = async (then: (bytes: Uint8Array) => Promise<void> | void): Promise<void> => {
    for await (const bytes of connection) {
      account.received += bytes.length;
      await then(bytes);
    }
  };
  switch (victim) {
    case 'echoes':
      return swallow(send);
    case 'echoes lines':
      for await (const line of connection.lines({ maxBytes: 4_096 })) {
        account.received += line.length + 1;
        await send(`${line}\n`);
      }
      return;
    case 'sends and receives':
      await Promise.all([pour(), swallow(() => undefined)]);
      return;
    case 'only sends':
      return pour();
    case 'only receives':
      return swallow(() => undefined);
    case 'does nothing':
      return new Promise((resolve) =>
        connection.once('close', () => {
          resolve();
        }),
      );
    case 'relays':
      await new Relay(connection, await further()).done;
      return;
  }
}

/** How many bytes a machine has read from the system (`taken`) and written to it (`given`). */
function carried({ trace }: Evidence, machine: string): { taken: number; given: number } {
  const sum = (call: 'recv' | 'send'): number =>
    trace.entries.reduce(
      (all, entry) => (entry.host === machine && entry.call === call && entry.result > 0 ? all + entry.result : all),
      0,
    );
  return { taken: sum('recv'), given: sum('send') };
}

async function storm(
  world: World,
  evidence: Evidence,
  { buffers, victim, total, piece, lineEvery }: Plan,
  contexts?: Contexts,
): Promise<void> {
  const [here, there, beyond]: SimulatedMachine[] = ['here', 'there', 'beyond'].map((name) =>
    world.machine(name, buffers),
  );
  const account: Account = { received: 0, accepted: 0 };
  const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
  const deaf = await beyond.reactor.listen({ host: '0.0.0.0', port: 8 });
  const failures: unknown[] = [];
  listener.on('clientError', (error) => failures.push(error));
  listener.serve({ ...(contexts && { secure: contexts.server }) }, (connection) =>
    suffer(victim, connection, account, () => there.reactor.connect({ host: 'beyond', port: 8 })),
  );
  const client =
    contexts === undefined
      ? await here.reactor.connect({ host: 'there', port: 7 })
      : await here.reactor.connectSecure({ host: 'there', port: 7, secure: contexts.client });

  const data = new Uint8Array(piece).fill(46);
  if (lineEvery !== undefined) for (let at = lineEvery; at < piece; at += lineEvery) data[at] = 10;
  const check = (): void => {
    const { taken, given } = carried(evidence, 'there');
    // TLS adds bytes of its own. A reader or a relay that keeps up has passed on almost all of the rest.
    const handedOn = victim === 'relays' ? given : account.received;
    // A victim that refuses a line closes gracefully, and drops the bytes that still come.
    const dropped = failures.length > 0 ? DROPPED : 0;
    expect(taken * (1 - OVERHEAD) - handedOn - dropped, 'read but not delivered').toBeLessThan(HELD);
    // `accepted` counts a send when it resolves, and it resolves when none of its bytes is held back.
    if (victim !== 'relays')
      expect(account.accepted - given, 'accepted but not written to the system').toBeLessThan(HELD);
  };
  let sent = 0;
  try {
    while (sent < total) {
      await client.send(data, { timeouts: { blockMs: 2_000 } });
      sent += piece;
      check();
    }
  } catch (error) {
    // The sender was stopped by back-pressure, or by a victim that refuses so long a line.
    if (!(error instanceof OperationTimeoutError) && !failures.some((failure) => failure instanceof BoundsError))
      throw error;
  }
  await world.sleep(1_000);
  check();
  const { taken } = carried(evidence, 'there');
  const room = buffers.sendBuffer + buffers.receiveBuffer;
  // A victim that passes bytes on stops reading when its peer stops reading. A victim that does not receive reads
  // nothing after the handshake.
  if (victim === 'echoes' || victim === 'relays') expect(taken).toBeLessThan(room + HELD);
  if (victim === 'does nothing' || victim === 'only sends')
    expect(taken).toBeLessThan(contexts === undefined ? 1 : HANDSHAKE);
  for (const failure of failures) expect(failure).toBeInstanceOf(WantioError);
  deaf.close();
}

const run = (each: Plan, contexts?: Contexts) =>
  simulate({ link: each.link, faults: each.faults }, (world, evidence) => storm(world, evidence, each, contexts));

describe('a storm of data from a peer that never reads', () => {
  it('stays within the bound over a plain connection', () => tryLaw(plan, 1_000, (each) => run(each)), 600_000);
  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'stays within the bound over %s',
    async (version) => {
      const contexts = await contextsFor(version);
      await tryLaw(plan, 200, (each) => run(each, contexts));
    },
    600_000,
  );
});

it('a storm of key updates from a peer that never reads does not make the memory of the server grow', async () => {
  const contexts = await contextsFor('TLSv1.3');
  const updates = fc.record({
    link: link(),
    buffers: fc.record({
      sendBuffer: fc.integer({ min: 20, max: 500 }),
      receiveBuffer: fc.integer({ min: 20, max: 500 }),
    }),
    times: fc.integer({ min: 50, max: 400 }),
  });
  await tryLaw(
    updates,
    200,
    ({ link: carrying, buffers, times }) =>
      simulate({ link: carrying }, async (world) => {
        const { client, server } = await pairIn(world, buffers, contexts);
        await Promise.all([client.handshake(), server.handshake()]);
        if (!(client instanceof SecureConnection) || !(server.transport instanceof TlsTransport))
          throw new Error('the connection is not secure');
        const receiving = server.receive('*a', { timeouts: { totalMs: 60_000 } }).catch(() => undefined);
        for (let time = 0; time < times; time++) {
          // The storm ends when the server stops reading because it cannot write its answers.
          const isTaken = await client.updateKeys({ peerToo: true, timeouts: { blockMs: 100 } }).then(
            () => true,
            () => false,
          );
          expect(server.transport.unflushedBytes).toBeLessThan(HELD);
          if (!isTaken) break;
        }
        client.abort();
        server.abort();
        await receiving;
      }),
    false,
  );
}, 600_000);

// The bytes of one read, encrypted and decrypted, the encrypted bytes that wait to be written, and one line.
const HELD = 224 * 1024;
// The most bytes that a graceful close drops.
const DROPPED = 256 * 1024;
// A record of 16 KiB has about 22 bytes of overhead. The last record of a piece is shorter, so its share is larger.
const OVERHEAD = 0.03;
// What a client sends in a handshake, and what arrives in the same read as the end of it.
const HANDSHAKE = 72 * 1024;
