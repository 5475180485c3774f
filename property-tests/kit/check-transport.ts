/** What every transport must do: a list of checks, for whatever test runner. Adding a transport means passing them. */

import assert from 'node:assert/strict';

import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_READ, WANT_WRITE } from '../../core/want.ts';

/** Both ends of one channel, connected and with the handshake done. */
export interface TransportPair {
  readonly near: Transport;
  readonly far: Transport;
  /** Whether the ground tells an abort from an end; Unix sockets do not. */
  readonly tellsAborts: boolean;
  /** Lets what is on its way arrive, so that both ends know what they are ready for. */
  readonly settle: () => Promise<void>;
  /** Gives everything back, the ends that a check has left open included. */
  dispose(): Promise<void>;
}

/** One check. */
export interface Check {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/**
 * @param make makes a pair with room for a few kilobytes at least.
 * @param makeClogged makes a pair that takes less than 200 KB before it wants to write.
 */
export function checkTransport(make: () => Promise<TransportPair>, makeClogged: () => Promise<TransportPair>): Check[] {
  const check = (name: string, run: (pair: TransportPair) => Promise<void>, maker = make): Check => ({
    name,
    run: async () => {
      const pair = await maker();
      try {
        await run(pair);
      } finally {
        await pair.dispose();
      }
    },
  });

  return [
    check('a finished handshake stays finished, and nothing is held', ({ near }) => {
      assert.equal(near.handshake(), DONE);
      assert.equal(near.flush(), DONE);
      assert.equal(near.failure, undefined);
      return Promise.resolve();
    }),
    check('a read of nothing wants to read', async ({ far, settle }) => {
      await settle();
      assert.equal(far.read(new Uint8Array(8)), WANT_READ);
      assert.equal(far.hasBuffered, false);
    }),
    check('a write of nothing takes nothing', ({ near }) => {
      assert.equal(near.write(new Uint8Array(0)), 0);
      return Promise.resolve();
    }),
    check('bytes arrive in order, whatever the sizes of the reads', async ({ near, far, settle }) => {
      const sent = pattern(1_000);
      assert.equal(near.write(sent), sent.length);
      await settle();
      const received = [];
      for (const size of [1, 2, 300, 5_000]) {
        const into = new Uint8Array(size);
        const count = far.read(into);
        assert(count > 0, `read ${String(count)}`);
        received.push(into.slice(0, count));
        await settle();
      }
      assert.deepEqual(Buffer.concat(received), Buffer.from(sent));
      assert.equal(far.read(new Uint8Array(8)), WANT_READ);
    }),
    check('buffered bytes are told as long as there are any', async ({ near, far, settle }) => {
      near.write(pattern(10));
      await settle();
      const one = new Uint8Array(1);
      for (let i = 0; i < 10; i++) assert.equal(far.read(one), 1);
      assert.equal(far.read(one), WANT_READ);
      assert.equal(far.hasBuffered, false);
    }),
    check(
      'a reader that stops makes the writer want to write, and nothing is lost',
      async ({ near, far, settle }) => {
        const sent = pattern(200_000);
        const received: Uint8Array[] = [];
        let [written, read, wants] = [0, 0, 0];
        while (read < sent.length) {
          const count = written < sent.length ? near.write(sent.subarray(written)) : 0;
          if (count === WANT_WRITE) wants++;
          else assert(count >= 0, `write ${String(count)}`);
          written += Math.max(0, count);
          if (count > 0) continue;
          if (near.hasUnflushed) near.flush();
          await settle();
          for (const into = new Uint8Array(10_000); ;) {
            const got = far.read(into);
            if (got < 0) break;
            received.push(into.slice(0, got));
            read += got;
          }
          await settle();
        }
        assert(wants > 0, 'it never wanted to write');
        assert(Buffer.concat(received).equals(sent));
      },
      makeClogged,
    ),
    check(
      'an end arrives after the bytes before it, and the other direction goes on',
      async ({ near, far, settle }) => {
        near.write(pattern(100));
        assert.equal(near.shutdown(), DONE);
        await settle();
        assert.equal(far.read(new Uint8Array(200)), 100);
        await settle();
        assert.equal(far.read(new Uint8Array(8)), END);
        assert.equal(far.write(pattern(50)), 50);
        await settle();
        assert.equal(near.read(new Uint8Array(200)), 50);
      },
    ),
    check(
      'an abort is a failure at the other end, where that can be told',
      async ({ near, far, settle, tellsAborts }) => {
        near.abort();
        await settle();
        if (tellsAborts) {
          assert.throws(() => far.read(new Uint8Array(8)));
          assert.notEqual(far.failure, undefined);
        } else assert.equal(far.read(new Uint8Array(8)), END);
      },
    ),
    check('closing and aborting again does nothing', ({ near }) => {
      near.close();
      near.close();
      near.abort();
      return Promise.resolve();
    }),
  ];
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 8)) & 0xff);
}
