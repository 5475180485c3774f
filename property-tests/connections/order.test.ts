// Law: all bytes that arrived before a reset or a truncation are delivered before the error is reported. This holds for
// every way to read, and for readers of any speed.

import fc from 'fast-check';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';

import { OperationTimeoutError, WantioError } from '../../core/errors.ts';
import { END } from '../../core/want.ts';
import { Relay } from '../../protocols/relay.ts';
import { TlsError } from '../../protocols/tls/tls-error.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { toDuplex } from '../../reactor/streams/to-duplex.ts';
import type { World } from '../../reactor/simulated/world.ts';
import { buffers, harmlessFaults, link, payload } from '../kit/arbitraries.ts';
import { replaying, tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import type { Contexts } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

/** The bytes that a reader got, and how its reading ended: an error, or `undefined` for a clean end. */
interface Heard {
  readonly bytes: Buffer;
  readonly end: unknown;
}

type Style = (connection: Connection, world: World, pausesMs: readonly number[]) => Promise<Heard>;

const pause = (pausesMs: readonly number[], turn: number): number => pausesMs[turn % pausesMs.length];

/** The ways to read, each with a pause before every step. */
const STYLES: Record<string, Style> = {
  async receive(connection, world, pausesMs) {
    const pieces: Uint8Array[] = [];
    for (let turn = 0; ; turn++) {
      await world.sleep(pause(pausesMs, turn));
      const outcome = await connection.receive('*s').catch((error: unknown) => error);
      if (!(outcome instanceof Uint8Array)) return { bytes: Buffer.concat(pieces), end: outcome };
      if (outcome.length === 0) return { bytes: Buffer.concat(pieces), end: undefined };
      pieces.push(outcome);
    }
  },
  async everything(connection, world, pausesMs) {
    await world.sleep(pause(pausesMs, 0));
    const outcome = await connection.receive('*a').catch((error: unknown) => error);
    if (outcome instanceof WantioError) return { bytes: Buffer.from(outcome.partial ?? []), end: outcome };
    return { bytes: Buffer.from(outcome as Uint8Array), end: undefined };
  },
  async readiness(connection, world, pausesMs) {
    const pieces: Uint8Array[] = [];
    for (let turn = 0; ; turn++) {
      await world.sleep(pause(pausesMs, turn));
      try {
        const bytes = connection.tryReceive(7);
        if (bytes === END) return { bytes: Buffer.concat(pieces), end: undefined };
        if (typeof bytes === 'number') await firstValueFrom(connection.readable$, { defaultValue: connection });
        else pieces.push(bytes);
      } catch (error) {
        return { bytes: Buffer.concat(pieces), end: error };
      }
    }
  },
  async 'stream that flows'(connection, world, pausesMs) {
    const stream = toDuplex(connection, { allowHalfOpen: true });
    const pieces: Uint8Array[] = [];
    let isOver = false;
    const over = new Promise<unknown>((resolve) => {
      stream
        .on('data', (piece: Uint8Array) => pieces.push(piece))
        .once('end', resolve)
        .once('error', resolve);
    }).finally(() => {
      isOver = true;
    });
    for (let turn = 0; !isOver; turn++) {
      if (stream.writable && stream.writableLength < 10_000) stream.write(Buffer.alloc(5_000));
      await world.sleep(pause(pausesMs, turn) + 1);
    }
    stream.destroy();
    return { bytes: Buffer.concat(pieces), end: await over };
  },
  stream: async (connection, world, pausesMs) => streamed(connection, world, pausesMs, false),
  'stream that is written to': async (connection, world, pausesMs) => streamed(connection, world, pausesMs, true),
};

/** Reads a stream by single reads. When it writes as well, the write may report the reset first. */
async function streamed(
  connection: Connection,
  world: World,
  pausesMs: readonly number[],
  writes: boolean,
): Promise<Heard> {
  const stream = toDuplex(connection, { allowHalfOpen: true, highWaterMark: pausesMs[0] % 2 === 0 ? 64 : 16_384 });
  const pieces: Buffer[] = [];
  let error: unknown;
  const over = new Promise<void>((resolve) => {
    stream
      .once('close', resolve)
      .once('end', resolve)
      .on('error', (failure) => {
        error = failure;
      });
  });
  let isOver = false;
  void over.then(() => {
    isOver = true;
  });
  stream.on('readable', () => undefined);
  for (let turn = 0; !isOver; turn++) {
    await world.sleep(pause(pausesMs, turn) + 1);
    if (writes && stream.writable && !stream.writableNeedDrain) stream.write('on and on');
    // A destroyed stream delivers no more bytes to iteration, pipes or listeners.
    if (stream.destroyed) break;
    const piece = stream.read() as Buffer | null;
    if (piece !== null) pieces.push(piece);
  }
  await over;
  const bytes = Buffer.concat(pieces);
  if (!stream.destroyed) stream.destroy();
  return { bytes, end: error };
}

const plan = fc.record({
  link: link(),
  buffers: buffers(),
  faults: harmlessFaults(),
  data: payload(2_000),
  pausesMs: fc.array(fc.nat(300), { minLength: 1, maxLength: 5 }),
  resetsAfterMs: fc.oneof(fc.nat(2_000), fc.nat(20)),
  listens: fc.boolean(),
});

/**
 * Makes a connection whose peer sends and then resets it.
 * @returns the reading end, and a lower bound of the bytes that had arrived there.
 */
async function broken(
  world: World,
  {
    buffers: hosts,
    data,
    resetsAfterMs,
  }: { buffers: { sendBuffer: number; receiveBuffer: number }; data: Uint8Array; resetsAfterMs: number },
  contexts?: Contexts,
) {
  const here = world.machine('here', hosts);
  const there = world.machine('there', hosts);
  const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
  const [plainClient, plainServer] = await Promise.all([
    here.reactor.connect({ host: 'there', port: 7 }),
    listener.accept(),
  ]);
  const client = contexts === undefined ? plainClient : plainClient.secure(contexts.client, { serverName: 'there' });
  const server = contexts === undefined ? plainServer : plainServer.secure(contexts.server);
  if (contexts !== undefined) await Promise.all([client.handshake(), server.handshake()]);
  const arrived = { atLeast: 0 };
  const breaking = (async () => {
    const sending = server.send(data).then(
      () => true,
      () => false,
    );
    await world.sleep(resetsAfterMs);
    // Acknowledged bytes have arrived. Over TLS they count only when all of them are acknowledged, because a part of a
    // record cannot be read.
    const { acknowledged } = server.basis.socket;
    const isSent =
      server.statistics.bytesOut === data.length &&
      server.basis.socket.unacknowledged === 0 &&
      !server.transport.hasUnflushed;
    arrived.atLeast = contexts === undefined ? acknowledged : isSent ? data.length : 0;
    server.abort();
    await sending;
  })();
  return { here, client, breaking, arrived };
}

async function law(style: Style, contexts: Contexts | undefined, count: number): Promise<void> {
  await tryLaw(
    plan,
    count,
    ({ link: carrying, faults, ...drawn }) =>
      simulate({ link: carrying, faults }, async (world) => {
        const { client, breaking, arrived } = await broken(world, drawn, contexts);
        const told: string[] = [];
        if (drawn.listens) {
          client.on('broken', () => told.push('broken'));
          client.signal.addEventListener('abort', () => told.push('signal'));
        }
        const [{ bytes, end }] = await Promise.all([style(client, world, drawn.pausesMs), breaking]);
        expect(bytes.length).toBeGreaterThanOrEqual(arrived.atLeast);
        expect(bytes.equals(drawn.data.subarray(0, bytes.length))).toBe(true);
        expect(end).toBeInstanceOf(WantioError);
        if (drawn.listens) expect(told).toContain('signal');
        client.abort();
      }),
    false,
  );
}

describe.each(Object.entries(STYLES))(
  'bytes that arrived before a reset are delivered before it, by %s',
  (_, style) => {
    it('over TCP', () => law(style, undefined, 400), 600_000);

    it('over TLS', async () => law(style, await contextsFor('TLSv1.3'), 60), 600_000);
  },
);

describe('a relay', () => {
  it.each([
    ['plain', false],
    ['TLS', true],
  ])(
    'delivers all bytes that arrived before its %s source broke, even to a slow reader, and then an error',
    async (_, isSecure) => {
      const contexts = isSecure ? await contextsFor('TLSv1.3') : undefined;
      await tryLaw(
        plan,
        isSecure ? 60 : 600,
        ({ link: carrying, faults, ...drawn }) =>
          simulate({ link: carrying, faults }, async (world) => {
            const { here, client: source, breaking, arrived } = await broken(world, drawn, contexts);
            const left = world.machine('left', drawn.buffers);
            const front = await here.reactor.listen({ host: '0.0.0.0', port: 8 });
            const [reader, first] = await Promise.all([
              left.reactor.connect({ host: 'here', port: 8 }),
              front.accept(),
            ]);
            // The reader's pauses are shorter than the idle limit, but the whole reading may take long.
            const relay = new Relay(first, source, { close: { timeoutMs: 10_000_000, minBytesPerSecond: 0 } });
            const [{ bytes, end }, ended] = await Promise.all([
              STYLES.receive(reader, world, drawn.pausesMs),
              relay.done.catch((error: unknown) => error),
              breaking,
            ]);
            expect(bytes.length).toBeGreaterThanOrEqual(arrived.atLeast);
            expect(bytes.equals(drawn.data.subarray(0, bytes.length))).toBe(true);
            expect([end, ended]).toEqual([expect.any(WantioError), expect.any(WantioError)]);
            expect(relay.statistics.backward).toBe(bytes.length);
          }),
        false,
      );
    },
    600_000,
  );
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('when a %s peer ends the connection with an alert', (version) => {
  it.each(['receive', 'everything', 'readiness', 'stream', 'single bytes'])(
    'its bytes are delivered before the error although this side is sending, by %s',
    async (name) => {
      const contexts = await contextsFor(version);
      const style = STYLES[name] ?? byteByByte;
      let whole = 0;
      await tryLaw(plan, 60, ({ link: carrying, faults, ...drawn }) =>
        simulate({ link: carrying, faults }, async (world) => {
          const { client, server } = await pairIn(world, drawn.buffers, contexts);
          await Promise.all([client.handshake(), server.handshake()]);
          let atLeast = 0;
          let isSpoiling = false;
          const failing = server.receive('*a').catch(() => undefined);
          const peer = (async () => {
            await server.send(drawn.data);
            await world.sleep(drawn.resetsAfterMs);
            if (server.basis.socket.unacknowledged === 0 && !server.transport.hasUnflushed) atLeast = drawn.data.length;
            isSpoiling = true;
            await spoil(client, world);
            isSpoiling = false;
            await failing;
          })();
          const sender = (async () => {
            for (let turn = 0; ; turn++) {
              await world.sleep(pause(drawn.pausesMs, turn) + 1);
              if (isSpoiling || client.transport.hasUnflushed) continue;
              const failure = await client.send('on and on', { timeouts: { totalMs: 50 } }).then(
                () => undefined,
                (error: unknown) => error,
              );
              if (failure !== undefined && !(failure instanceof OperationTimeoutError)) return failure;
            }
          })();
          const [{ bytes, end }, failure] = await Promise.all([style(client, world, drawn.pausesMs), sender, peer]);
          expect(bytes.length).toBeGreaterThanOrEqual(atLeast);
          expect(bytes.equals(drawn.data.subarray(0, bytes.length))).toBe(true);
          expect([end, failure]).toEqual([expect.any(WantioError), expect.any(WantioError)]);
          if (end instanceof TlsError && end.side === 'remote') whole++;
          client.abort();
          server.abort();
        }),
      );
      if (!replaying()) expect(whole).toBeGreaterThan(0);
    },
    600_000,
  );
});

/** Reads one byte at a time, so that the rest waits in the connection. */
async function byteByByte(connection: Connection, world: World, pausesMs: readonly number[]): Promise<Heard> {
  const pieces: Uint8Array[] = [];
  for (let turn = 0; ; turn++) {
    const outcome = await connection.receive(1).catch((error: unknown) => error);
    await world.sleep(pause(pausesMs, turn) / 100);
    if (!(outcome instanceof Uint8Array)) return { bytes: Buffer.concat(pieces), end: outcome };
    pieces.push(outcome);
  }
}

/** Writes bytes below the TLS layer that are no valid TLS record, so that the peer refuses them with an alert. */
async function spoil(connection: Connection, world: World): Promise<void> {
  const { socket } = connection.basis;
  for (
    let rest = Uint8Array.from({ length: 90 }, (_, index) => [23, 3, 3, 0, 85][index] ?? 1);
    rest.length > 0 && !connection.closed;
  ) {
    rest = rest.subarray(Math.max(0, socket.write(rest)));
    await world.sleep(1);
  }
}
