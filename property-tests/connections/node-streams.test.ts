// Law: when Node streams and connections are stacked on each other, every byte arrives once and in order, in both
// directions at once, whatever the sizes of the pieces. A connection over a Node stream, with or without TLS over it,
// passes the conformance checks of all transports.

import type { Duplex } from 'node:stream';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Connection } from '../../reactor/connections/connection.ts';
import { toDuplex } from '../../reactor/streams/to-duplex.ts';
import { Reactor } from '../../reactor/reactor.ts';
import { fromDuplex } from '../../reactor/streams/from-duplex.ts';
import { streamPair } from '../../reactor/testing/stream-pair.ts';
import { livingTlsTransports } from '../../protocols/tls/tls-transport.ts';
import { payload } from '../kit/arbitraries.ts';
import { checkTransport } from '../kit/check-transport.ts';
import type { TransportPair } from '../kit/check-transport.ts';
import { checkLaw } from '../kit/law.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

const [tls13, tls12] = await Promise.all([contextsFor('TLSv1.3'), contextsFor('TLSv1.2')]);

type Ends = [near: Connection, far: Connection];
type Layers = readonly (typeof tls13)[];

/** Two connections over one pair of streams, with one layer of TLS for each element of `layers`. */
function connections(
  reactor: Reactor,
  highWaterMark: number,
  layers: Layers,
  between: (connection: Connection) => Connection = (connection) => connection,
): Ends {
  const [near, far] = streamPair(highWaterMark);
  let ends: Ends = [between(fromDuplex(reactor, near, { role: 'client' })), between(fromDuplex(reactor, far))];
  for (const { client, server } of layers)
    ends = [between(ends[0].secure(client, { serverName: 'there', role: 'client' })), between(ends[1].secure(server))];
  return ends;
}

/** Writes `data` in pieces whose sizes repeat, waits for `drain` when a write returns false, and ends the stream. */
async function write(stream: Duplex, data: Uint8Array, sizes: readonly number[]): Promise<void> {
  for (let at = 0, index = 0; at < data.length; index++) {
    const piece = data.subarray(at, at + sizes[index % sizes.length]);
    at += piece.length;
    if (!stream.write(piece)) await new Promise((resolve) => stream.once('drain', resolve));
  }
  stream.end();
}

/** Reads to the end. Each read takes at most the next of the repeating sizes. */
async function read(stream: Duplex, sizes: readonly number[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let index = 0;
  stream.on('readable', () => {
    for (;;) {
      const size = Math.min(sizes[index++ % sizes.length], stream.readableLength);
      const piece = (size > 0 ? stream.read(size) : stream.read()) as Buffer | null;
      if (piece === null) return;
      pieces.push(piece);
    }
  });
  await new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
  return Buffer.concat(pieces);
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 9, max: 3_000 })), {
  minLength: 1,
  maxLength: 4,
});
const direction = fc.record({ data: payload(), written: sizes, read: sizes });
const mark = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 20_000 }));

describe('Node streams over connections over Node streams', () => {
  it('carry bytes once and in order, both ways at once', async () => {
    const reactor = new Reactor();
    const before = livingTlsTransports();
    const plan = fc.record({
      forth: direction,
      back: direction,
      below: mark,
      above: mark,
      layers: fc.constantFrom<Layers>([], [], [], [tls13], [tls12]),
      twice: fc.boolean(),
    });
    await checkLaw(
      fc.asyncProperty(plan, async ({ forth, back, below, above, layers, twice }) => {
        const again = (connection: Connection): Connection =>
          fromDuplex(reactor, toDuplex(connection, { highWaterMark: above, allowHalfOpen: true }), {
            role: connection.basis.role,
          });
        const [near, far] = connections(reactor, below, layers, twice ? again : undefined).map((connection) =>
          toDuplex(connection, { highWaterMark: above, allowHalfOpen: true }),
        );
        const closed = [near, far].map((stream) => new Promise((resolve) => stream.once('close', resolve)));
        const [atFar, atNear] = await Promise.all([
          read(far, forth.read),
          read(near, back.read),
          write(near, forth.data, forth.written),
          write(far, back.data, back.written),
        ]);
        expect(atFar.equals(forth.data)).toBe(true);
        expect(atNear.equals(back.data)).toBe(true);
        await Promise.all(closed);
      }),
      300,
    );
    await reactor.close();
    expect([reactor.connections.size, reactor.loop.deadlines.size, livingTlsTransports() - before]).toEqual([0, 0, 0]);
  }, 600_000);
});

describe.each<[string, Layers]>([
  ['', []],
  ['TLS 1.3 over ', [tls13]],
  ['TLS 1.2 over ', [tls12]],
  ['TLS over TLS over ', [tls12, tls13]],
])('%sNode streams', (_, layers) => {
  const make = (highWaterMark: number) => async (): Promise<TransportPair> => {
    const reactor = new Reactor();
    const [near, far] = connections(reactor, highWaterMark, layers);
    await Promise.all([near.handshake(), far.handshake()]);
    return {
      near: near.transport,
      far: far.transport,
      tellsAborts: true,
      // The first turn handles the events so far, the second their consequences.
      settle: async () => {
        for (let turn = 0; turn < 2; turn++) await reactor.select({}, 1);
      },
      dispose: async () => {
        reactor.abort();
        await reactor.close();
      },
    };
  };
  for (const check of checkTransport(make(16 * 1024), make(5_000))) it(check.name, check.run);
});
