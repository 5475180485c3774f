// Law: web streams over connections, and connections over web streams, carry every byte once and in order, in both
// directions at once, whatever the sizes of the pieces and the memory that readers bring.

import type { ReadableStream, WritableStream } from 'node:stream/web';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ClosedError, OperationTimeoutError } from '../../core/errors.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import { fromWebStreams, toWebStreams } from '../../reactor/streams/web-streams.ts';
import { buffers, harmlessFaults, link, payload } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

/** Reads to the end; with `sizes`, into memory of these sizes. */
async function read(stream: ReadableStream<Uint8Array>, sizes: readonly number[]): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  if (sizes.length === 0) for await (const piece of stream) pieces.push(piece);
  else {
    const reader = stream.getReader({ mode: 'byob' });
    for (let index = 0; ; index++) {
      const { done, value } = await reader.read(new Uint8Array(sizes[index % sizes.length]));
      if (done) break;
      pieces.push(value);
    }
  }
  return Buffer.concat(pieces);
}

async function write(stream: WritableStream<Uint8Array>, data: Uint8Array, size: number): Promise<void> {
  const writer = stream.getWriter();
  for (let at = 0; at < data.length; at += size) {
    await writer.ready;
    void writer.write(data.slice(at, at + size)).catch(() => undefined);
  }
  await writer.close();
}

const direction = fc.record({
  data: payload(),
  size: fc.integer({ min: 1, max: 3_000 }),
  reads: fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 3 }),
});

describe('web streams over connections', () => {
  it('carry bytes once and in order, both ways at once, and close the connection', async () => {
    const contexts = await contextsFor('TLSv1.3');
    const plan = fc.record({
      link: link(),
      faults: harmlessFaults(),
      buffers: buffers(),
      forth: direction,
      back: direction,
      highWaterMark: fc.constantFrom(1, 100, 5_000),
      isSecure: fc.boolean(),
      twice: fc.boolean(),
    });
    await tryLaw(plan, 300, ({ link: carrying, faults, buffers: hosts, forth, back, highWaterMark, ...rest }) =>
      simulate({ link: carrying, faults }, async (world) => {
        const { here, there, client, server } = await pairIn(world, hosts, rest.isSecure ? contexts : undefined);
        // A connection over a stream does not see how fast the stream passes its bytes on, so a slow link would exceed
        // the idle limit of its close.
        const isTwice = rest.twice && carrying.latencyMs === 0 && carrying.bandwidth === undefined;
        const streams = [
          [here, client],
          [there, server],
        ] as const;
        const [near, far] = streams.map(([{ reactor }, connection]) => {
          const outer = toWebStreams(connection, { highWaterMark });
          return isTwice ? toWebStreams(fromWebStreams(reactor, outer)) : outer;
        });
        const closed = [client, server].map(
          (connection: Connection) => new Promise((resolve) => connection.once('close', resolve)),
        );
        const [atFar, atNear] = await Promise.all([
          read(far.readable, forth.reads),
          read(near.readable, back.reads),
          write(near.writable, forth.data, forth.size),
          write(far.writable, back.data, back.size),
        ]);
        expect(atFar.equals(forth.data)).toBe(true);
        expect(atNear.equals(back.data)).toBe(true);
        await Promise.all(closed);
      }),
    );
  }, 600_000);

  it('give what was received before a reset, then the error', () =>
    tryLaw(
      fc.record({ link: link(), faults: harmlessFaults(), data: payload(2_000), reads: direction.map((d) => d.reads) }),
      200,
      ({ link: carrying, faults, data, reads }) =>
        simulate({ link: carrying, faults }, async (world) => {
          const { client, server } = await pairIn(world);
          const { readable, writable } = toWebStreams(server);
          const writing = writable.getWriter().closed.catch((error: unknown) => error);
          await client.send(data);
          await client.breakOff();
          const pieces: Uint8Array[] = [];
          const failure = await (async () => {
            if (reads.length === 0) for await (const piece of readable) pieces.push(piece);
            else {
              const reader = readable.getReader({ mode: 'byob' });
              for (let index = 0; ; index++) {
                const { done, value } = await reader.read(new Uint8Array(reads[index % reads.length]));
                if (done) return undefined;
                pieces.push(value);
              }
            }
          })().catch((error: unknown) => error);
          expect(Buffer.concat(pieces).equals(data)).toBe(true);
          expect(failure).toMatchObject({ code: 'ECONNRESET' });
          expect(await writing).toMatchObject({ code: 'ECONNRESET' });
        }),
    ));

  it('release the connection whichever way they end', () =>
    tryLaw(
      fc.record({
        link: link(),
        faults: harmlessFaults(),
        ends: fc.constantFrom(
          'cancel and close',
          'close and cancel',
          'abort',
          'cancel while reading',
          'destroyed',
          'a write times out',
          'abort while writing',
          'a read times out',
          'a chunk is not bytes',
        ),
      }),
      200,
      ({ link: carrying, faults, ends }) =>
        simulate({ link: carrying, faults }, async (world) => {
          const { there, client, server } = await pairIn(world, { sendBuffer: 2_000, receiveBuffer: 2_000 });
          const { readable, writable } = toWebStreams(server);
          const closed = new Promise((resolve) => server.once('close', resolve));
          // A peer that does not read makes writes time out.
          const peer = (
            ends === 'a write times out' || ends === 'abort while writing' ? closed : client.receive('*a')
          ).then(
            () => client.close(),
            () => client.close(),
          );
          if (ends === 'cancel while reading') {
            const reader = readable.getReader();
            const reading = reader.read();
            await world.sleep(1);
            await reader.cancel('enough');
            expect((await reading).done).toBe(true);
            expect(there.reactor.operations()).toEqual([]);
            await writable.close();
          } else if (ends === 'cancel and close') {
            await readable.cancel('enough');
            await writable.close();
          } else if (ends === 'close and cancel') {
            await writable.close();
            await readable.cancel('enough');
          } else if (ends === 'a write times out') {
            server.timeouts = { totalMs: 50 };
            const writer = writable.getWriter();
            await expect(writer.write(new Uint8Array(50_000))).rejects.toThrow(OperationTimeoutError);
            await readable.cancel('enough');
          } else if (ends === 'abort while writing') {
            const writer = writable.getWriter();
            const writing = writer.write(new Uint8Array(50_000)).catch((error: unknown) => error);
            await world.sleep(1_000);
            await writer.abort(new Error('enough'));
            expect(await writing).toBeInstanceOf(Error);
          } else if (ends === 'a chunk is not bytes') {
            await expect(writable.getWriter().write('text' as never)).rejects.toThrow(TypeError);
            await readable.cancel('enough');
          } else if (ends === 'a read times out') {
            server.timeouts = { totalMs: 50 };
            await expect(readable.getReader().read()).rejects.toThrow(OperationTimeoutError);
            await writable.close();
          } else if (ends === 'abort') await writable.abort(new Error('broken'));
          else {
            server.abort();
            await expect(readable.getReader().read()).rejects.toThrow(ClosedError);
          }
          await closed;
          await peer;
        }),
    ));
});
