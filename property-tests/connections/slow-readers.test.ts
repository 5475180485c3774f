// Law: a closing connection stays open while its reader takes bytes within the limits, and delivers all of them. When
// the reader takes too few, the connection is dropped as soon as a limit passes.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TICK_MS } from '../../core/clock.ts';
import { WantioError } from '../../core/errors.ts';
import { buffers, harmlessFaults, link, payload } from '../kit/arbitraries.ts';
import { checkLaw, tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const contexts = await contextsFor('TLSv1.3');

const reading = fc.record({
  link: link(),
  buffers: buffers(),
  faults: harmlessFaults(),
  data: payload(3_000),
  takes: fc.integer({ min: 1, max: 500 }),
  pausesMs: fc.array(fc.nat(700), { minLength: 1, maxLength: 4 }),
  isServed: fc.boolean(),
  isSecure: fc.boolean(),
});

describe('a closing connection', () => {
  it(
    'delivers everything to a slow reader',
    () =>
      tryLaw(reading, 500, ({ link: carrying, buffers: hosts, faults, data, takes, pausesMs, isServed, isSecure }) =>
        simulate({ link: carrying, faults }, async (world) => {
          // The reader takes some bytes after each pause. The sender sees progress when there is room for a segment, or
          // half of the reader's buffer is free. Over TLS the reader empties a whole record before it reads from the
          // socket again, so the idle limit must be longer.
          const { segment = 1 } = carrying;
          const taken = Math.min(segment, hosts.receiveBuffer / 2);
          const idleMs = isSecure ? 3_000_000 : 10_000 + 700 * Math.ceil(taken / takes);
          const limits = { timeoutMs: 100_000_000, idleMs, minBytesPerSecond: 0 };
          const { client, closing } = await (async () => {
            if (!isServed) {
              const { client, server } = await pairIn(world, hosts, isSecure ? contexts : undefined);
              await Promise.all([client.handshake(), server.handshake()]);
              const sending = server.send(data);
              void sending.catch(() => undefined);
              return { client, closing: server.close(limits) };
            }
            const [here, there] = [world.machine('here', hosts), world.machine('there', hosts)];
            const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
            listener.serve(
              { close: limits, ...(isSecure ? { secure: contexts.server } : {}), handshakeMs: 10_000_000 },
              async (connection) => {
                await connection.send(data);
              },
            );
            const client = await (isSecure
              ? here.reactor.connectSecure({ host: 'there', port: 7, secure: contexts.client })
              : here.reactor.connect({ host: 'there', port: 7 }));
            return { client, closing: Promise.resolve() };
          })();
          const pieces: Uint8Array[] = [];
          for (let turn = 0; ; turn++) {
            await world.sleep(pausesMs[turn % pausesMs.length]);
            const into = Buffer.alloc(takes);
            const count = await client.receiveInto(into);
            if (count === 0) break;
            pieces.push(into.subarray(0, count));
          }
          expect(Buffer.concat(pieces).equals(data)).toBe(true);
          await Promise.all([client.close(limits), closing]);
        }),
      ),
    600_000,
  );

  it(
    'is dropped at its limits when the reader takes too little',
    () =>
      checkLaw(
        fc.asyncProperty(
          fc.record({
            timeoutMs: fc.integer({ min: 0, max: 20_000 }),
            idleMs: fc.integer({ min: 1, max: 5_000 }),
            minBytesPerSecond: fc.constantFrom(0, 1, 100, 10_000),
            takes: fc.integer({ min: 0, max: 50 }),
            everyMs: fc.integer({ min: 1, max: 6_000 }),
            // Bytes that the reader sends do not count as progress.
            sends: fc.constantFrom(0, 1, 40),
            size: fc.integer({ min: 5_000, max: 50_000 }),
          }),
          async ({ timeoutMs, idleMs, minBytesPerSecond, takes, everyMs, sends, size }) => {
            // With segments of one byte, each byte that the reader takes makes room for the next one.
            await simulate({ link: { segment: 1 } }, async (world) => {
              const { client, server } = await pairIn(world, { sendBuffer: 100_000, receiveBuffer: 64 });
              await server.send(Buffer.alloc(size));
              const startedAt = world.now();
              let overAt = Infinity;
              const closed = server.close({ timeoutMs, idleMs, minBytesPerSecond }).then(() => {
                overAt = world.now();
              });
              let taken = 0;
              let lastTakenAt = startedAt;
              while (overAt === Infinity) {
                await world.sleep(everyMs);
                if (overAt !== Infinity) break;
                try {
                  if (sends > 0) client.trySend(Buffer.alloc(sends));
                } catch (error) {
                  if (!(error instanceof WantioError)) throw error;
                }
                if (takes > 0 && taken < size) {
                  const count = await client.receiveInto(Buffer.alloc(takes)).catch((error: unknown) => {
                    if (!(error instanceof WantioError)) throw error;
                    return 0;
                  });
                  taken += count;
                  if (count > 0 && overAt === Infinity) lastTakenAt = world.now();
                }
              }
              await closed;
              const lasted = overAt - startedAt;
              const slack = TICK_MS + idleMs / 2;
              expect(lasted).toBeLessThanOrEqual(timeoutMs + TICK_MS);
              // The close lasts neither longer nor shorter than its limits.
              const idle = lastTakenAt - startedAt + idleMs;
              expect(lasted).toBeLessThanOrEqual(idle + slack);
              if (minBytesPerSecond > 0)
                expect(lasted).toBeLessThanOrEqual(idleMs + ((taken + 128) / minBytesPerSecond) * 1_000 + slack);
              const isWithinRate = minBytesPerSecond === 0;
              if (isWithinRate && takes > 0 && everyMs < idleMs / 2 && (size / takes) * everyMs > timeoutMs * 2)
                expect(lasted).toBeGreaterThanOrEqual(timeoutMs);
            });
          },
        ),
        300,
      ),
    600_000,
  );
});
