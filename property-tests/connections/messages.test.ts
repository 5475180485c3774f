// Law: messages arrive once and in order, in every style of receiving. A receiver that stops, or that is stopped by a
// limit or an error, loses no byte.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ClosedError, FramingError, OperationTimeoutError } from '../../core/errors.ts';
import type { Framing } from '../../core/framing.ts';
import { END, WANT_WRITE } from '../../core/want.ts';
import { delimited, lengthPrefixed, netstrings, varintPrefixed } from '../../protocols/framing/index.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { SimulatedMachine } from '../../reactor/simulated/world.ts';
import { buffers, harmlessFaults, link } from '../kit/arbitraries.ts';
import { tryLaw } from '../kit/law.ts';
import { pairIn } from '../kit/scenarios.ts';
import { simulate } from '../kit/simulate.ts';
import { contextsFor } from '../kit/tls-contexts.ts';

type Bytes = Framing<Uint8Array, string | Uint8Array>;
const framings: Record<string, Bytes> = {
  delimited: delimited('\r\n'),
  'length prefixed': lengthPrefixed({ bytes: 3, order: 'little' }),
  varint: varintPrefixed(),
  netstring: netstrings(),
};
const styles = ['messages', 'receive', 'receive with short limits', 'tryReceive'] as const;

/** Receives up to `most` messages in a style; fewer when the peer ends. */
async function take(
  { reactor }: SimulatedMachine,
  connection: Connection,
  framing: Bytes,
  style: (typeof styles)[number],
  most: number,
): Promise<string[]> {
  const received: string[] = [];
  const add = (message: Uint8Array): void => {
    received.push(Buffer.from(message).toString('latin1'));
  };
  const isEnd = (error: unknown): boolean =>
    error instanceof ClosedError && (error.partial?.length ?? 0) === 0 && received.length < most;
  switch (style) {
    case 'messages':
      if (most === 0) break;
      for await (const message of connection.messages(framing)) {
        add(message);
        if (received.length === most) break;
      }
      break;
    case 'receive':
    case 'receive with short limits':
      while (received.length < most) {
        const timeouts = style === 'receive' ? {} : { blockMs: 3, totalMs: 20 };
        try {
          add(await connection.receive(framing, { timeouts }));
        } catch (error) {
          if (isEnd(error)) break;
          if (!(error instanceof OperationTimeoutError)) throw error;
          if (error.partial !== undefined) connection.unread(error.partial);
        }
      }
      break;
    case 'tryReceive':
      while (received.length < most) {
        const result = connection.tryReceive(framing);
        if (result === END) break;
        if (typeof result === 'object') add(result.message);
        else await reactor.select(result === WANT_WRITE ? { write: [connection] } : { read: [connection] });
      }
  }
  return received;
}

const plan = fc.record({
  link: link(),
  faults: harmlessFaults(),
  buffers: buffers(),
  framing: fc.constantFrom(...Object.keys(framings)),
  sent: fc.array(fc.stringMatching(/^[a-z]{0,300}$/), { maxLength: 12 }),
  parts: fc.array(fc.record({ style: fc.constantFrom(...styles), most: fc.nat(4) }), { maxLength: 6 }),
  lastStyle: fc.constantFrom(...styles),
  isSecure: fc.boolean(),
});

describe('messages of a framing', () => {
  it('arrive once and in order, in every style and after every change of style', async () => {
    const contexts = await contextsFor('TLSv1.3');
    await tryLaw(plan, 400, ({ link: carrying, faults, buffers: hosts, framing: name, sent, parts, ...rest }) =>
      simulate({ link: carrying, faults }, async (world) => {
        const framing = framings[name];
        const { there, client, server } = await pairIn(world, hosts, rest.isSecure ? contexts : undefined);
        const sending = (async () => {
          for (const message of sent) await client.sendMessage(framing, message);
          await client.shutdown('send');
        })();
        const received = [];
        for (const { style, most } of parts) {
          const left = Math.min(most, sent.length - received.length);
          received.push(...(await take(there, server, framing, style, left)));
        }
        received.push(...(await take(there, server, framing, rest.lastStyle, Infinity)));
        expect(received).toEqual(sent);
        await sending;
        await Promise.all([client.close(), server.close()]);
      }),
    );
  }, 600_000);

  it('leave the bytes of an unfinished or invalid message in the connection', () =>
    tryLaw(
      fc.record({
        link: link(),
        faults: harmlessFaults(),
        before: fc.array(fc.constantFrom('', 'a', 'bcd'), { maxLength: 4 }),
        last: fc.constantFrom('3:ab', '3', '3:abc', 'x', '3:abcd1:a,', '03:'),
      }),
      300,
      ({ link: carrying, faults, before, last }) =>
        simulate({ link: carrying, faults }, async (world) => {
          const { client, server } = await pairIn(world);
          await client.send([...before.map((text) => `${String(text.length)}:${text},`), last]);
          await client.shutdown('send');
          const received: string[] = [];
          const error = await (async () => {
            for await (const message of server.messages(netstrings())) received.push(Buffer.from(message).toString());
          })().catch((reason: unknown) => reason);
          expect(received).toEqual(before);
          const isWrong = ['x', '3:abcd1:a,', '03:'].includes(last);
          expect(error).toBeInstanceOf(isWrong ? FramingError : ClosedError);
          if (error instanceof FramingError) {
            const begin = before.reduce((sum, text) => sum + text.length + 3, 0);
            expect(error.position).toBe(begin + error.offset);
          }
          expect(Buffer.from(await server.receive('*a')).toString()).toBe(last);
          await Promise.all([client.close(), server.close()]);
        }),
    ));
});
